"""The files of ``reports/<task>/`` as typed, checked objects."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from knotwork.errors import UserError
from knotwork.files import read_json
from knotwork.report.names import ADAPTERS, TASKS

SCHEMA_VERSION = 1
HISTORY_COLUMNS = ("seed", "epoch", "step", "train_loss", "selection_loss", "selection_metric")
REMEDY = "delete the file and run `dvc repro` to write it anew"


# The word dev, or a fraction of train, which some cards hold as a text.
Selection = Annotated[Literal["dev"] | float, BeforeValidator(lambda v: v if v == "dev" else float(v))]


class Record(BaseModel):
    """A record whose known keys are checked; keys that a later version adds are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class Metrics(Record):
    """What ``metrics.json`` holds for every task; seconds are means over seeds of one run."""

    model_config = ConfigDict(allow_inf_nan=False)

    trainable_parameters: float
    head_parameters: float
    train_seconds: float
    evaluate_seconds: float
    tokens_per_second: float
    peak_memory_mb: float
    padding_waste: float
    truncated: float
    stalled: float
    collapsed: float


class ClassificationMetrics(Metrics):
    """Scores of a classification task on dev: fractions from 0 to 1, NLL in nats per example."""

    accuracy: float
    accuracy_low: float
    accuracy_high: float
    accuracy_sd: float
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    nll: float
    nll_low: float
    nll_high: float
    ece: float
    baseline_largest_class: float
    baseline_tfidf: float
    baseline_tfidf_all_rows: float


class SonnetMetrics(Metrics):
    """Scores of the sonnets on dev: chrF from 0 to 100, perplexity per token."""

    chrf_whole: float
    chrf_whole_low: float
    chrf_whole_high: float
    chrf_whole_sd: float
    chrf_generated: float
    chrf_generated_low: float
    chrf_generated_high: float
    chrf_generated_sd: float
    perplexity: float
    perplexity_low: float
    perplexity_high: float
    baseline_random_sonnet_chrf_whole: float
    baseline_random_sonnet_chrf_generated: float


class Base(Record):
    """The pretrained model that was adapted."""

    name: str
    sha256: str | None = None
    parameters: int | None = None


class Corpus(Record):
    """The manifest and the hash of each split's file."""

    manifest: str
    files: dict[str, str | None] = {}


class Prompt(Record):
    """The text around an example, and its hash."""

    template: str
    sha256: str


class SeedResult(Record):
    """One trained run; scores stand under the names of ``metrics.json``."""

    seed: int
    selection_metric: float | None = None
    best_epoch: float | None = None
    epochs: float | None = None
    steps: float | None = None
    train_seconds: float | None = None
    stall: str
    collapse: str
    reasons: list[str] = []

    def score(self, name: str) -> float | None:
        """A score by its name, None where the card does not hold it."""
        value = (self.model_extra or {}).get(name)
        return float(value) if isinstance(value, int | float) else None


class Card(Record):
    """How a task's results came about."""

    task: str
    adapter: str
    seeds: list[int] = Field(min_length=1)
    title: str = ""
    command: str
    commit: str | None
    dirty: bool | None
    created: str | None = None
    machine: dict[str, Any] = {}
    versions: dict[str, Any] = {}
    base: Base
    corpus: Corpus
    prompt: Prompt
    selection: Selection
    parameters: dict[str, Any]
    rows: dict[str, int | None] = {}
    per_seed: list[SeedResult] = Field(min_length=1)
    chrf_signature: str | None = None


class ReliabilityBin(Record):
    """Predictions whose confidence lies between ``low`` and ``high``; means are None in an empty bin."""

    low: float
    high: float
    confidence: float | None
    accuracy: float | None
    count: int


class ClassificationPictures(Record):
    """The confusion matrix (rows: true class, summed over seeds) and the calibration bins."""

    classes: list[str] = Field(min_length=2)
    confusion: list[list[int]]
    reliability: list[ReliabilityBin]

    @model_validator(mode="after")
    def _square(self) -> "ClassificationPictures":
        size = len(self.classes)
        if len(self.confusion) != size or any(len(row) != size for row in self.confusion):
            raise ValueError(f"confusion is not {size} x {size}, the number of classes")
        return self


class SonnetExample(Record):
    """A sonnet's given lines, how the model went on, and how the poet did (None where not published)."""

    id: str
    opening: str
    generated: str
    truth: str | None


class SonnetPictures(Record):
    """Generated sonnets."""

    examples: list[SonnetExample]


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
    try:
        history = pd.read_csv(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; run `dvc repro` first") from error
    except (ValueError, UnicodeDecodeError) as error:  # pandas' own parser errors are ValueErrors
        raise UserError(f"{path}: not valid CSV ({' '.join(str(error).split())}); {REMEDY}") from error
    absent = [column for column in HISTORY_COLUMNS if column not in history.columns]
    if absent:
        raise UserError(f"{path}: column {absent[0]!r} is missing; {REMEDY}")
    for column in HISTORY_COLUMNS:
        numbers = pd.to_numeric(history[column], errors="coerce")
        broken = numbers.isna() & history[column].notna()
        if broken.any():
            row = int(broken.idxmax())
            value = history[column][row]
            raise UserError(f"{path}: line {row + 2}, {column}: {value!r} is not a number; {REMEDY}")
        history[column] = numbers
    return history


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
