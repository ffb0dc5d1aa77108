"""``studies.yaml`` as typed objects, and the runs that it declares."""

import copy
import difflib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from knotwork.errors import UserError
from knotwork.identity import base_identity
from knotwork.params import MULTITASK, Group, Params, read_yaml, validate

DECLARATION = Path("studies.yaml")
SWEEP = "sweep-"

Settings = dict[str, Any]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Names = Annotated[list[Name], Field(min_length=1)]
Axis = Literal["rows", "base", "parameters", "seconds", "memory"]


class StudyGroup(Group):
    """Runs that belong on one page.

    Attributes:
        about: what they are to show, in a sentence without a full stop.
        tasks: in the order in which they are run.
        seeds: of every run.
        cells: names of what is run; the first is what the others are held against.
        vary: every cell in each of these ways; empty for as it is.
        figures: costs or sizes to draw scores against.
    """

    about: str
    tasks: Names
    seeds: Annotated[list[int], Field(min_length=1)]
    cells: Names
    vary: dict[Name, Settings] = Field(default_factory=dict)
    figures: list[Axis] = Field(default_factory=list)


class Sweep(Group):
    """Grids of settings on one task.

    Attributes:
        about: what they are to show, in a sentence without a full stop.
        task: the task.
        seeds: of every run.
        settings: that all points share.
        grids: by name, the values of one or two settings; every combination is a point.
    """

    about: str
    task: Name
    seeds: Annotated[list[int], Field(min_length=1)]
    settings: Settings
    grids: dict[
        Name, Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1, max_length=2)]
    ]

    @field_validator("task")
    @classmethod
    def _one_score(cls, task: str) -> str:
        if task == MULTITASK:
            raise ValueError(f"{MULTITASK} has a score for each member; name a single task")
        return task


class Study(Group):
    """All of ``studies.yaml``."""

    recipe: str
    cells: dict[Name, Settings]
    groups: dict[Name, StudyGroup]
    sweeps: dict[Name, Sweep] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_cells(self) -> "Study":
        for name, group in self.groups.items():
            for cell in group.cells:
                if cell not in self.cells:
                    raise ValueError(f"groups.{name}.cells: no cell is called {cell!r}{near(cell, self.cells)}")
        return self


@dataclass(frozen=True)
class Cell:
    """One variant on one task, with all its seeds.

    Attributes:
        group: its group's name.
        variant: its cell's name.
        variation: how that is varied; empty if it is not.
        task: the task.
        settings: what differs from params.yaml and the recipe, by dotted key; the task and the seeds too.
        base: the further base (``--base``) that it was added for; empty if it is declared.
    """

    group: str
    variant: str
    variation: str
    task: str
    settings: Settings
    base: str = ""

    @property
    def run(self) -> str:
        """The name of its run."""
        return f"{self.variant}-{self.variation}" if self.variation else self.variant

    @property
    def name(self) -> str:
        """Group, run and task: where it is kept, and how ``--only`` calls it."""
        return f"{self.group}/{self.run}/{self.task}"

    def called(self, wanted: str) -> bool:
        """Whether every part of a name such as ``adapters/sst`` or ``kan`` is one of its own."""
        return set(wanted.split("/")) <= {self.group, self.run, self.variant, self.variation, self.task}


def load_study(path: Path = DECLARATION) -> Study:
    """Read and check the declaration.

    Raises:
        UserError: the file is missing or not YAML; an unknown key, a wrong type, a cell that is not there.
    """
    try:
        return Study.model_validate(read_yaml(path))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        what = str(problem["ctx"]["error"]) if problem["type"] == "value_error" else problem["msg"].lower()
        raise UserError(f"{path}: {key + ': ' if key else ''}{what}; correct it there") from error


def cells(study: Study, bases: Sequence[str] = ()) -> list[Cell]:
    """Every declared run, in the order of the declaration.

    Args:
        study: the declaration.
        bases: further bases for groups that are drawn against the base's size: a folder, or name@revision.

    Raises:
        UserError: two runs have the same name, and would be kept in the same place.
    """
    found = []
    for name, group in study.groups.items():
        variations, added = dict(group.vary) or {"": {}}, {}
        for place in bases if "base" in group.figures else ():
            called, settings = _base(place)
            if called in variations:
                raise UserError(f"--base {place}: {name} has another base called {called!r}; rename the folder")
            variations[called], added[called] = settings, place
        for task in group.tasks:
            for variation, changes in variations.items():
                for cell in group.cells:
                    own = {"tasks": [task], "seeds": group.seeds}
                    settings = {**study.cells[cell], **changes, **own}
                    found.append(Cell(name, cell, variation, task, settings, added.get(variation, "")))
    for name, sweep in study.sweeps.items():
        points = {cell.name: cell for grid in sweep.grids for cell in grid_cells(name, sweep, grid)}
        found += points.values()  # a point that is on two grids is one run
    names = [cell.name for cell in found]
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice:
        raise UserError(f"{DECLARATION}: two runs are called {twice}; give a cell or a variation another name")
    return found


def grid_cells(name: str, sweep: Sweep, grid: str) -> list[Cell]:
    """The points of a sweep's grid, the last setting varying fastest."""
    values = sweep.grids[grid]
    found = []
    for combination in itertools.product(*values.values()):
        point = dict(zip(values, combination, strict=True))
        settings = {**sweep.settings, **point, "tasks": [sweep.task], "seeds": sweep.seeds}
        # All varied settings, so that a point has the same name on every grid that it is on.
        varied = {key: settings[key] for each in sweep.grids.values() for key in each if key in settings}
        run = "-".join(f"{key.rpartition('.')[2].replace('_', '-')}{_word(value)}" for key, value in varied.items())
        found.append(Cell(f"{SWEEP}{name}", run, "", sweep.task, settings))
    return found


def selected(declared: Sequence[Cell], wanted: Sequence[str]) -> list[Cell]:
    """The cells that are called by one of the names; all, if there is none.

    Raises:
        UserError: a name calls no cell.
    """
    names = {cell.name for cell in declared}

    def calls(name: str, cell: Cell) -> bool:
        # A whole name is that of one cell, even if a group is called as a task is.
        return cell.name == name if name in names else cell.called(name)

    for name in wanted:
        if not any(calls(name, cell) for cell in declared):
            parts = {part for cell in declared for part in (cell.group, cell.run, cell.task, cell.name)}
            raise UserError(f"--only {name}: calls no cell{near(name, parts) or '; `--list` names them all'}")
    return [cell for cell in declared if not wanted or any(calls(name, cell) for name in wanted)]


def read_recipe(path: Path) -> Settings:
    """The settings of a file of ``-S key=value`` lines.

    Raises:
        UserError: there is no such file, or a line of it is no setting.
    """
    try:
        words = path.read_text(encoding="utf-8").split()
    except OSError as error:
        known = sorted(file.name for file in path.parent.glob("*"))
        raise UserError(f"{path}: no such recipe{near(path.name, known)}") from error
    settings = [word for word in words if word != "-S"]
    for setting in settings:
        if "=" not in setting:
            raise UserError(f"{path}: {setting!r} is no setting; write -S key=value")
    found = {}
    for key, value in (setting.split("=", 1) for setting in settings):
        try:
            found[key] = yaml.safe_load(value)  # 1e-5 is a text to YAML 1.1 and a number to pydantic, as with -S
        except yaml.YAMLError as error:
            raise UserError(f"{path}: {key}={value!r} has no readable value; write -S key=value") from error
    return found


def with_settings(values: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """A copy of the parameters with some of them set, by dotted key.

    Raises:
        UserError: there is no such parameter.
    """
    changed = copy.deepcopy(values)
    for key, value in settings.items():
        *groups, name = key.split(".")
        place = changed
        for group in groups:
            place = place.get(group) if isinstance(place, dict) else None
        if not isinstance(place, dict) or name not in place:
            raise UserError(f"params.yaml: has no {key}; correct the setting in {DECLARATION}")
        place[name] = value
    return changed


def parameters(values: dict[str, Any], cell: Cell) -> Params:
    """The parameters of a cell, checked.

    Args:
        values: those of params.yaml and the recipe.
        cell: the cell.

    Raises:
        UserError: a setting is unknown or not allowed.
    """
    return validate(with_settings(values, cell.settings), f"{DECLARATION}: {cell.name}")


def agrees(card: dict[str, Any], cell: Cell, values: dict[str, Any]) -> bool:
    """Whether a kept run was made as it is declared now: by the same settings, on the same base, and with all
    parameters that decided it as they are in params.yaml, the recipe and the declaration today.

    Raises:
        UserError: a setting is unknown or not allowed.
    """
    now = _flat(parameters(values, cell).model_dump(mode="json"))
    if Path(now["base.path"]).is_dir():  # whose weights may change; a revision stays what it is
        now["base.sha256"] = _hash_of(now["base.path"])
    cards = [member["card"] for member in card["members"]] if "members" in card else [card]
    decided = [(key, value) for each in cards for key, value in _decided(each).items() if key in now]
    return card.get("settings") == cell.settings and all(now[key] == value for key, value in decided)


def _decided(card: dict[str, Any]) -> Settings:
    """What decided the results of a task, by dotted key: parameters, with those of corpus, base and graphs."""
    places = {
        "corpus.manifest": ("corpus", "manifest"),
        "base.path": ("base", "name"),
        "base.revision": ("base", "revision"),
        **{f"graphs.{name}": ("graphs", name) for name in card.get("graphs") or {}},
    }
    apart = {key: card[group][name] for key, (group, name) in places.items() if name in card.get(group, {})}
    return card["parameters"] | apart


@cache
def _hash_of(folder: str) -> str:
    return base_identity(folder, None)["sha256"]


def near(name: str, known: Sequence[str]) -> str:
    """``; did you mean ...?``, or nothing."""
    found = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def _base(place: str) -> tuple[str, Settings]:
    """A variation by another base: its name and its settings."""
    path, _, revision = place.partition("@")
    name = "".join(letter if letter.isalnum() else "-" for letter in Path(path).name.lower()).strip("-")
    local = Path(path).expanduser()
    where = str(local.resolve()) if local.is_dir() and not revision else path
    return name, {"base.path": where, "base.revision": revision or None}


def _word(value: Any) -> str:
    """A value within the name of a run, which is a folder's and an experiment's too: ``assets-base``."""
    return re.sub(r"[^\w.]+", "-", str(value)).strip("-")


def _flat(values: dict[str, Any], above: str = "") -> Settings:
    """Nested groups as dotted keys."""
    found: Settings = {}
    for key, value in values.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found
