"""The declared runs: which are finished, how the others are made, and their pages."""

import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from knotwork.errors import UserError
from knotwork.files import read_json
from knotwork.report import formats
from knotwork.study.declaration import (
    SWEEP,
    Cell,
    Study,
    agrees,
    cells,
    load_study,
    parameters,
    read_recipe,
    with_settings,
)
from knotwork.study.figures import against
from knotwork.study.grid import grid_map
from knotwork.study.keep import KEPT, keep_cell
from knotwork.study.pages import FAILED, FINISHED, NOT_REACHED, OUTDATED, write_pages
from knotwork.study.queue import Queue
from knotwork.study.workplace import LOGS, PLACE, Workplace, committed, uncommitted, workplace

SONNETS = PLACE / "data/raw/sonnet/dev.txt"


@dataclass(frozen=True)
class Plan:
    """What is declared: the declaration, its runs in order, and the parameters of params.yaml and the recipe."""

    declared: Study
    cells: list[Cell]
    values: dict[str, Any]


def plan(bases: Sequence[str] = ()) -> Plan:
    """Read the declaration, with further bases for groups that are about their size.

    Raises:
        UserError: the declaration is wrong, or the checkout is no clone of the project.
    """
    declared = load_study()
    values = yaml.safe_load(committed(Path.cwd(), "params.yaml"))
    values = with_settings(values, read_recipe(Path("recipes") / declared.recipe))
    return Plan(declared, cells(declared, bases), values)


def make(
    chosen: Sequence[Cell], values: dict[str, Any], minutes: float | None = None, jobs: int | None = None
) -> dict[str, str]:
    """Make the cells that are not finished.

    Args:
        chosen: the cells.
        values: the parameters of params.yaml and the recipe.
        minutes: one after the other, and none is begun after so many; None: no limit.
        jobs: so many at a time, by DVC's queue; None: one after the other, without it.

    Returns:
        What went wrong, by the name of the cell.
    """
    left = [cell for cell in chosen if state(cell, values) != FINISHED]
    print(f"{len(chosen)} runs, {len(chosen) - len(left)} of them finished, {len(left)} left", flush=True)
    if not left or minutes == 0:
        return {}
    signal.signal(signal.SIGTERM, _interrupt)
    with workplace(Path.cwd()) as place:
        print(f"commit {place.commit}, in {PLACE}", flush=True)
        if uncommitted(Path.cwd()):
            print("note: uncommitted changes are not part of it", flush=True)
        return Queue(place, values).work(left, jobs) if jobs else _one_by_one(left, place, values, minutes)


def _one_by_one(
    left: Sequence[Cell], place: Workplace, values: dict[str, Any], minutes: float | None
) -> dict[str, str]:
    start = time.monotonic()
    failed: dict[str, str] = {}
    seconds: dict[str, list[float]] = {}
    for index, cell in enumerate(left):
        if minutes is not None and time.monotonic() - start > 60 * minutes:
            print(f"{minutes:g} minutes are over: {len(left) - index} runs not reached", flush=True)
            break
        print(f"[{index + 1}/{len(left)}] {cell.name}", flush=True)
        begun = time.monotonic()
        try:
            parameters(values, cell)
            log = LOGS / f"{cell.name.replace('/', '-')}.log"
            keep_cell(cell, place.run(cell.task, with_settings(values, cell.settings), log))
        except UserError as error:
            failed[cell.name] = str(error)
            print(f"error: {cell.name}: {error}", flush=True)
        else:
            seconds.setdefault(cell.task, []).append(time.monotonic() - begun)
            rest = left[index + 1 :]
            took = formats.seconds(seconds[cell.task][-1])
            print(f"  {took}; {len(rest)} left{_estimate(rest, seconds)}", flush=True)
    return failed


def _estimate(rest: Sequence[Cell], seconds: dict[str, list[float]]) -> str:
    """How long the rest will take, if runs of a task take as long as they did, and those of others the mean."""
    if not rest:
        return ""
    means = {task: sum(each) / len(each) for task, each in seconds.items()}
    usual = sum(means.values()) / len(means)
    return f", about {formats.seconds(sum(means.get(cell.task, usual) for cell in rest))}"


def state(cell: Cell, values: dict[str, Any]) -> str:
    """Whether its results are kept, and made as it is declared now."""
    card = KEPT / cell.name / "card.json"
    if not card.is_file():
        return NOT_REACHED
    kept = read_json(card)
    try:
        return FINISHED if agrees(kept, cell, values) else OUTDATED
    except UserError:  # a setting that is not allowed, of which its own turn tells
        return OUTDATED


def write_group(plan: Plan, name: str, failed: Mapping[str, str]) -> None:
    """Write the page of a group or of a sweep.

    Args:
        plan: what is declared.
        name: the group's.
        failed: what went wrong, by the name of the cell.

    Raises:
        UserError: kept results are broken.
    """
    own = [
        (cell, FAILED if cell.name in failed else state(cell, plan.values))
        for cell in plan.cells
        if cell.group == name
    ]
    sweep = plan.declared.sweeps.get(name.removeprefix(SWEEP)) if name.startswith(SWEEP) else None
    if sweep:
        draw = [partial(grid_map, name.removeprefix(SWEEP), sweep, grid) for grid in sweep.grids]
        write_pages(sweep.about, own, draw, KEPT, SONNETS)
    else:
        group = plan.declared.groups[name]
        write_pages(group.about, own, [partial(against, axis) for axis in group.figures], KEPT, SONNETS)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """A signal as an interruption: the run under way is stopped, and its trainer with it."""
    raise KeyboardInterrupt
