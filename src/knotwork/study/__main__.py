"""``make study``: the runs that ``studies.yaml`` declares, one after the other, and their pages."""

import argparse
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from knotwork.errors import UserError, run_main
from knotwork.files import read_json
from knotwork.report import formats
from knotwork.study.declaration import (
    Cell,
    agrees,
    cells,
    load_study,
    parameters,
    read_recipe,
    selected,
    with_settings,
)
from knotwork.study.keep import keep
from knotwork.study.pages import FINISHED, NOT_REACHED, OUTDATED, write_pages
from knotwork.study.workplace import PLACE, Workplace, committed, uncommitted, workplace

KEPT = Path("reports/study")
SONNETS = Path("data/raw/sonnet/dev.txt")
LOGS = Path(".dvc/tmp/study-logs")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="make study", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="group, run, task, or group/run/task")
    parser.add_argument("--list", action="store_true", help="say what is declared and what of it is finished")
    parser.add_argument("--minutes", type=float, help="begin no run after so many; 0: write the pages")
    parser.add_argument(
        "--base", nargs="+", metavar="BASE", default=[], help="further bases for the study of sizes: name@revision"
    )
    arguments = parser.parse_args()
    run_main(lambda: study(arguments.only, arguments.list, arguments.minutes, arguments.base))


def study(only: Sequence[str], listing: bool, minutes: float | None, bases: Sequence[str]) -> int:
    """Make what is declared and not finished, write the pages, and give the exit status.

    Raises:
        UserError: the declaration is wrong, or there is no clone to work in.
    """
    declared = load_study()
    values = yaml.safe_load(committed(Path.cwd(), "params.yaml"))
    values = with_settings(values, read_recipe(Path("recipes") / declared.recipe))
    every = cells(declared, bases)
    chosen = selected(every, only)
    if listing:
        for cell in chosen:
            print(f"{state(cell, values):12} {cell.name}")
        return 0
    failed = make(chosen, values, minutes)
    for group in dict.fromkeys(cell.group for cell in chosen):
        of_group = [cell for cell in every if cell.group == group]
        states = [(cell, failed.get(cell.name) or state(cell, values)) for cell in of_group]
        write_pages(declared.groups[group], states, KEPT, PLACE / SONNETS)
    return 2 if failed else 0


def make(chosen: Sequence[Cell], values: dict[str, Any], minutes: float | None) -> dict[str, str]:
    """Make the cells that are not finished, one after the other, as long as there is time.

    Args:
        chosen: the cells.
        values: the parameters of params.yaml and the recipe.
        minutes: none is begun after so many; None: no limit.

    Returns:
        What went wrong, by the name of the cell.
    """
    left = [cell for cell in chosen if state(cell, values) != FINISHED]
    print(f"{len(chosen)} runs, {len(chosen) - len(left)} of them finished, {len(left)} left", flush=True)
    if not left or minutes == 0:
        return {}
    # As an interruption: the run under way is stopped, and its trainer with it.
    signal.signal(signal.SIGTERM, _interrupt)
    start = time.monotonic()
    failed: dict[str, str] = {}
    seconds: dict[str, list[float]] = {}
    with workplace(Path.cwd()) as place:
        print(f"commit {place.commit}, in {place.folder}", flush=True)
        if uncommitted(Path.cwd()):
            print("note: uncommitted changes are not part of it", flush=True)
        for index, cell in enumerate(left):
            if minutes is not None and time.monotonic() - start > 60 * minutes:
                print(f"{minutes:g} minutes are over: {len(left) - index} runs not reached", flush=True)
                break
            print(f"[{index + 1}/{len(left)}] {cell.name}", flush=True)
            begun = time.monotonic()
            try:
                _make_one(cell, place, values)
            except UserError as error:
                failed[cell.name] = str(error)
                print(f"error: {cell.name}: {error}", flush=True)
            else:
                seconds.setdefault(cell.task, []).append(time.monotonic() - begun)
                rest = left[index + 1 :]
                took = formats.seconds(seconds[cell.task][-1])
                print(f"  {took}; {len(rest)} left{_estimate(rest, seconds)}", flush=True)
    return failed


def _make_one(cell: Cell, place: Workplace, values: dict[str, Any]) -> None:
    parameters(values, cell)
    log = LOGS / f"{cell.name.replace('/', '-')}.log"
    reports = place.run(cell.task, with_settings(values, cell.settings), log)
    command = f"make study ARGS='--only {cell.name}'"
    keep(reports, KEPT / cell.name, {"command": command, "settings": cell.settings})


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
    return FINISHED if agrees(read_json(card), cell, values) else OUTDATED


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
