"""The files of ``reports/<task>/`` as typed, checked objects."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from pydantic import Field, ValidationError

from knotwork.errors import UserError
from knotwork.files import read_json
from knotwork.params import MULTITASK
from knotwork.report.names import ADAPTERS, TASKS
from knotwork.report.records import (
    Card,
    ClassificationMetrics,
    ClassificationPictures,
    MultitaskCard,
    Record,
    SonnetMetrics,
    SonnetPictures,
)

SCHEMA_VERSION = 1
HISTORY_COLUMNS = ("seed", "epoch", "step", "train_loss", "selection_loss", "selection_metric")
REMEDY = "delete the file and run `dvc repro` to write it anew"


@dataclass(frozen=True)
class TaskResult:
    """Everything the report says about one task; ``member``: as a member of multitask."""

    metrics: ClassificationMetrics | SonnetMetrics
    card: Card
    history: pd.DataFrame
    pictures: ClassificationPictures | SonnetPictures
    member: bool = False

    @property
    def task(self) -> str:
        """The task's name in params.yaml."""
        return self.card.task

    @property
    def key(self) -> str:
        """What tells it from all other results of a run."""
        return f"{MULTITASK}-{self.task}" if self.member else self.task

    @property
    def name(self) -> str:
        """The task's name in a sentence."""
        return TASKS.get(self.task, self.card.title or self.task) + self._within

    @property
    def title(self) -> str:
        """The task's name in a heading."""
        return self.card.title + self._within if self.card.title else self.name

    @property
    def _within(self) -> str:
        return f" ({MULTITASK})" if self.member else ""

    @property
    def adapter(self) -> str:
        """The adapter's name in a sentence; faithful variants are told apart."""
        name = ADAPTERS.get(self.card.adapter, self.card.adapter)
        faithful = self.card.parameters.get(f"{self.card.adapter}.faithful")
        return f"faithful {name}" if faithful else name

    @property
    def is_classification(self) -> bool:
        """Whether the task is answered by a class (otherwise: by a text)."""
        return isinstance(self.metrics, ClassificationMetrics)

    @property
    def course(self) -> pd.DataFrame:
        """Means over seeds by epoch, as far as all seeds went: the rest would be a course of those that went on."""
        known = self.history.dropna(subset=list(HISTORY_COLUMNS[3:]))
        epochs = known.groupby("epoch")
        everywhere = epochs["seed"].nunique() == known["seed"].nunique()
        return epochs[list(HISTORY_COLUMNS[3:])].mean()[everywhere]

    @property
    def selected_on_dev(self) -> bool:
        """Whether the epoch was chosen on dev, the paper's protocol."""
        return self.card.selection == "dev"


def read_results(folder: Path) -> list[TaskResult]:
    """Read the results of a task, or of each member of multitask.

    Raises:
        UserError: a file is missing, broken, or of another schema version.
    """
    if folder.name != MULTITASK:
        return [read_task(folder)]
    _read_object(folder / "metrics.json", versioned=True)
    card = folder / "card.json"
    members = _check(card, MultitaskCard, _read_object(card, versioned=True)).members
    pictures, curves = _read_object(folder / "pictures.json"), folder / "history.csv"
    results = []
    for member in members:
        name = str(member.card.get("task"))
        own = {f"{name}_{column}": column for column in HISTORY_COLUMNS[3:]}
        history = read_columns(curves, own).drop(columns=list(own.values())).rename(columns=own)
        if history["train_loss"].isna().all():
            history = history.iloc[:0]  # nothing of the adapter serves it
        shown = pictures.get(name, {})
        results.append(_result(folder, member.metrics, member.card, history, shown, member=True))
    return results


def read_task(folder: Path) -> TaskResult:
    """Read one task's results.

    Raises:
        UserError: a file is missing, broken, or of another schema version.
    """
    metrics = _read_object(folder / "metrics.json", versioned=True)
    card = _read_object(folder / "card.json", versioned=True)
    if card.get("task", folder.name) != folder.name:
        raise UserError(
            f"{folder / 'card.json'}: is the card of task {card['task']!r}, not {folder.name!r}; {REMEDY}"
        )
    return _result(
        folder, metrics, card, read_history(folder / "history.csv"), _read_object(folder / "pictures.json")
    )


def _result(
    folder: Path,
    metrics: dict[str, Any],
    card: dict[str, Any],
    history: pd.DataFrame,
    pictures: dict[str, Any],
    member: bool = False,
) -> TaskResult:
    """A task's results, each checked as what its file holds.

    Raises:
        UserError: one of them is broken.
    """
    if "accuracy" in metrics:
        kinds = ClassificationMetrics, ClassificationPictures
    elif "chrf_whole" in metrics:
        kinds = SonnetMetrics, SonnetPictures
    else:
        raise UserError(f"{folder / 'metrics.json'}: holds neither `accuracy` nor `chrf_whole`; {REMEDY}")
    return TaskResult(
        metrics=_check(folder / "metrics.json", kinds[0], metrics),
        card=_check(folder / "card.json", Card, card),
        history=history,
        pictures=_check(folder / "pictures.json", kinds[1], pictures),
        member=member,
    )


def read_history(path: Path) -> pd.DataFrame:
    """Read the training curves: one row per seed and epoch end.

    Raises:
        UserError: the file is missing, not CSV, lacks a column or holds a text where a number belongs.
    """
    history = read_columns(path, HISTORY_COLUMNS)
    for column in HISTORY_COLUMNS:
        history[column] = numbers(path, history[column])
    return history


def read_columns(path: Path, columns: Iterable[str], **options: Any) -> pd.DataFrame:
    """Read a CSV file that has these columns; ``options`` go to pandas.

    Raises:
        UserError: the file is missing, not CSV or lacks a column.
    """
    try:
        table = pd.read_csv(path, **options)
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; run `dvc repro` first") from error
    except (ValueError, UnicodeDecodeError) as error:  # pandas' own parser errors are ValueErrors
        raise UserError(f"{path}: not valid CSV ({' '.join(str(error).split())}); {REMEDY}") from error
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise UserError(f"{path}: column {absent[0]!r} is missing; {REMEDY}")
    return table


def numbers(path: Path, column: pd.Series) -> pd.Series:
    """A column of a file as numbers; empty fields become NaN.

    Raises:
        UserError: it holds a text where a number belongs.
    """
    found = pd.to_numeric(column, errors="coerce")
    broken = found.isna() & column.notna() & (column != "")
    if broken.any():
        row = int(broken.idxmax())
        raise UserError(f"{path}: row {row + 1}, {column.name}: {column[row]!r} is not a number; {REMEDY}")
    return found


@dataclass(frozen=True)
class Timing:
    """How long a stage took when it last ran here; task and seed are None for stages without."""

    stage: str
    task: str | None
    seed: int | None
    seconds: float


class _TimingFile(Record):
    seconds: float = Field(ge=0, allow_inf_nan=False)


def read_timings(folder: Path) -> list[Timing]:
    """Read ``<stage>[-<task>[-<seed>]].json`` files; an absent folder has none.

    Raises:
        UserError: a file is broken.
    """
    timings = []
    for path in sorted(folder.glob("*.json")):
        name = re.fullmatch(r"([a-z_]+)(?:-([a-z_]+)(?:-(\d+))?)?", path.stem)
        if name is None:
            raise UserError(f"{path}: is not named <stage>-<task>-<seed>.json; delete it")
        stage, task, seed = name.groups()
        seconds = _check(path, _TimingFile, _read_object(path)).seconds
        timings.append(Timing(stage, task, int(seed) if seed else None, seconds))
    return timings


def _read_object(path: Path, versioned: bool = False) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path}: holds no JSON object; {REMEDY}")
    if versioned and value.get("schema_version") != SCHEMA_VERSION:
        found = value.get("schema_version", "missing")
        raise UserError(
            f"{path}: schema_version is {found}, this version of knotwork reads {SCHEMA_VERSION}; "
            "run `dvc repro` to write it anew"
        )
    return value


Checked = TypeVar("Checked", bound=Record)


def _check(path: Path, kind: type[Checked], value: dict[str, Any]) -> Checked:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        what = str(problem["ctx"]["error"]) if problem["type"] == "value_error" else problem["msg"].lower()
        raise UserError(f"{path}: {key + ': ' if key else ''}{what}; {REMEDY}") from error
