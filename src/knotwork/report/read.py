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
from knotwork.report.names import ADAPTERS, TASKS
from knotwork.report.records import (
    Card,
    ClassificationMetrics,
    ClassificationPictures,
    Record,
    SonnetMetrics,
    SonnetPictures,
)

SCHEMA_VERSION = 1
HISTORY_COLUMNS = ("seed", "epoch", "step", "train_loss", "selection_loss", "selection_metric")
REMEDY = "delete the file and run `dvc repro` to write it anew"


@dataclass(frozen=True)
class TaskResult:
    """Everything the report says about one task."""

    metrics: ClassificationMetrics | SonnetMetrics
    card: Card
    history: pd.DataFrame
    pictures: ClassificationPictures | SonnetPictures

    @property
    def task(self) -> str:
        """The task's name in params.yaml."""
        return self.card.task

    @property
    def name(self) -> str:
        """The task's name in a sentence."""
        return TASKS.get(self.task, self.card.title or self.task)

    @property
    def title(self) -> str:
        """The task's name in a heading."""
        return self.card.title or self.name

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
    def selected_on_dev(self) -> bool:
        """Whether the epoch was chosen on dev, the paper's protocol."""
        return self.card.selection == "dev"


def read_task(folder: Path) -> TaskResult:
    """Read one task's results.

    Raises:
        UserError: a file is missing, broken, or of another schema version.
    """
    metrics_path = folder / "metrics.json"
    metrics = _read_object(metrics_path, versioned=True)
    if "accuracy" in metrics:
        kinds = ClassificationMetrics, ClassificationPictures
    elif "chrf_whole" in metrics:
        kinds = SonnetMetrics, SonnetPictures
    else:
        raise UserError(f"{metrics_path}: holds neither `accuracy` nor `chrf_whole`; {REMEDY}")
    card_path = folder / "card.json"
    card = _check(card_path, Card, _read_object(card_path, versioned=True))
    if card.task != folder.name:
        raise UserError(f"{card_path}: is the card of task {card.task!r}, not {folder.name!r}; {REMEDY}")
    pictures_path = folder / "pictures.json"
    return TaskResult(
        metrics=_check(metrics_path, kinds[0], metrics),
        card=card,
        history=read_history(folder / "history.csv"),
        pictures=_check(pictures_path, kinds[1], _read_object(pictures_path)),
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
