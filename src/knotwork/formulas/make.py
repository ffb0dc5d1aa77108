"""The splits of a generated task, written as corpus files."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from tqdm import tqdm

from knotwork.errors import UserError
from knotwork.files import whole_folder
from knotwork.formulas.expressions import depth, structure
from knotwork.formulas.forms import Choice, Equality, Form
from knotwork.formulas.groups import Group, written
from knotwork.params import Symbolic

FORMS: dict[str, Form] = {"symbolic": Equality(), "symbolic_choice": Choice()}
ROWS_OF_A_GROUP = 4
DRAWS = 200  # in vain, before a template is taken to have nothing new to give


def generate(task: str, settings: Symbolic, destination: Path) -> None:
    """Write ``<split>.csv`` for every split of a task into ``destination``, which appears whole or not at all.

    Raises:
        UserError: the settings allow too few different formulas.
    """
    form = FORMS[task]
    with whole_folder(destination) as folder:
        for split, groups in make_splits(task, settings):
            rng = Random(f"{task} {split} {settings.seed} rows")
            rows = []
            for number, group in enumerate(groups):
                for letter, row in zip("abcd", form.rows(group, rng), strict=True):
                    rows.append([f"{group.level}-{number:04d}{letter}", *row, deepest(group), group.template])
            rng.shuffle(rows)
            with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, delimiter="\t", lineterminator="\n")
                writer.writerow(["id", *form.columns, "depth", "template"])
                writer.writerows(rows)


def make_splits(task: str, settings: Symbolic) -> Iterator[tuple[str, list[Group]]]:
    """The groups of every split; no structure occurs in two splits, and none is asked about in two groups."""
    form, owners = FORMS[task], {}
    rows = settings.rows.model_dump()
    for split, count in rows.items():
        deep = split == "extrapolation"
        limits = (settings.depth + 1, settings.extrapolation_depth) if deep else (0, settings.depth)
        templates = form.templates["train" if deep else split]
        rng = Random(f"{task} {split} {settings.seed}")
        yield split, _groups(form, split, templates, limits, count // ROWS_OF_A_GROUP, owners, rng)


def _groups(
    form: Form,
    split: str,
    templates: tuple[Any, ...],
    limits: tuple[int, int],
    count: int,
    owners: dict[str, str],
    rng: Random,
) -> list[Group]:
    """``count`` groups, the templates in turn; a template that gives nothing new is passed over."""
    low, high = limits

    def fits(formulas: Sequence[str]) -> bool:
        return bool(formulas) and max(map(depth, formulas)) <= high and not owners.keys() & map(structure, formulas)

    groups, left = [], list(templates)
    with tqdm(total=count, desc=f"make {split}", unit="group", mininterval=1) as bar:
        while len(groups) < count:
            for template in rng.sample(left, min(len(left), count - len(groups))):
                for _ in range(DRAWS):
                    drawn = form.draw(template, rng.randrange(low // 2, high), fits, rng)
                    if drawn is None or shallowest(drawn) < low or deepest(drawn) > high:
                        continue
                    group, telling = written(drawn, rng)
                    if 0 <= telling <= form.telling and _claim(group, split, owners):
                        groups.append(group)
                        bar.update()
                        break
                else:
                    left.remove(template)
            if not left:
                raise UserError(
                    f"symbolic.rows.{split}: only {ROWS_OF_A_GROUP * len(groups)} rows of different structures "
                    f"found with trees of {low} to {high} levels; lower it, or raise the depth"
                )
    return groups


def deepest(group: Group) -> int:
    """Levels of the deepest tree of a group's rows."""
    return max(depth(text) for text in (*group.formulas, *group.answers))


def shallowest(group: Group) -> int:
    """Levels that every row of a group reaches on one of its sides."""
    return max(min(map(depth, group.formulas)), min(map(depth, group.answers)))


def _claim(group: Group, split: str, owners: dict[str, str]) -> bool:
    """Whether no other split has the structures of a group's answers; they belong to this one from now on."""
    asked = {structure(text) for text in group.formulas}
    # Numbers, whole or broken, have no structure to share.
    answered = {found for found in map(structure, group.answers) if "x" in found}
    if any(owners.get(text, split) != split for text in answered):
        return False
    owners.update(dict.fromkeys(asked | answered, split))
    return True
