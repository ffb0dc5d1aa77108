"""``params.yaml`` as typed, validated objects: the only place that reads it."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from knotwork.errors import UserError

ADAPTERS = ("head", "full", "lora")
TASKS = ("sst", "cfimdb", "quora", "sonnet")

Answer = Literal["score", "words"]
Epochs = Annotated[int, Field(ge=0)]
Rows = Annotated[int, Field(ge=1)] | None
LearningRate = Annotated[float, Field(gt=0, le=1)]
Part = Annotated[float, Field(gt=0, lt=1)]


class Group(BaseModel):
    """A group of params.yaml: unknown keys are errors, values are read only."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MaxRows(Group):
    """Training rows used per task; ``None`` is all of them."""

    sst: Rows
    cfimdb: Rows
    quora: Rows
    sonnet: Rows


class Corpus(Group):
    """Where the texts come from."""

    manifest: str = Field(min_length=1)
    mirror: str | None
    seed: int = Field(ge=0)
    max_rows: MaxRows


class Base(Group):
    """The pretrained model."""

    path: str = Field(min_length=1)
    revision: str | None
    max_length: int = Field(ge=16)


class Graphs(Group):
    """The dependency graphs."""

    parser: str = Field(min_length=1)


class Answers(Group):
    """How each task's answer is read off the model."""

    sst: Answer
    cfimdb: Answer
    quora: Answer
    sonnet: Literal["text"]


class Head(Group):
    """Frozen base, trained classification head."""

    learning_rate: LearningRate


class Full(Group):
    """Every weight trainable."""

    learning_rate: LearningRate


class Lora(Group):
    """LoRA as PEFT implements it."""

    learning_rate: LearningRate
    r: int = Field(ge=1)
    alpha: float = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)
    target_modules: list[str] = Field(min_length=1)
    use_rslora: bool
    use_dora: bool
    faithful: bool


class EpochsByTask(Group):
    """Passes over the training rows per task."""

    sst: Epochs
    cfimdb: Epochs
    quora: Epochs
    sonnet: Epochs


class Batch(Group):
    """How many examples make one optimiser step."""

    size: int = Field(ge=1)
    accumulation: int = Field(ge=1)


class Optimizer(Group):
    """AdamW and its schedule."""

    weight_decay: float = Field(ge=0)
    betas: tuple[Part, Part]
    max_grad_norm: float = Field(ge=0)
    schedule: Literal["linear", "cosine", "constant"]
    warmup: float = Field(ge=0, lt=1)


class Train(Group):
    """Training."""

    epochs: EpochsByTask
    selection: Literal["dev"] | Part
    patience: Annotated[int, Field(ge=1)] | None
    batch: Batch
    optimizer: Optimizer
    precision: Literal["auto", "fp32", "bf16"]
    gradient_checkpointing: bool
    checkpoint_steps: int = Field(ge=1)
    # An empty launcher comes back from `-S` as null.
    launcher: Annotated[str, BeforeValidator(lambda value: value or "")]


class Generation(Group):
    """Sampling of sonnets."""

    temperature: float = Field(gt=0)
    top_p: float = Field(gt=0, le=1)
    max_new_tokens: int = Field(ge=1)
    seed: int = Field(ge=0)


class Evaluate(Group):
    """Evaluation."""

    batch_tokens: int = Field(ge=16)
    bootstrap: int = Field(ge=100)
    generation: Generation


class Report(Group):
    """The report."""

    examples: int = Field(ge=0)


class Params(Group):
    """All of params.yaml."""

    adapter: Literal[ADAPTERS]
    seeds: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field(min_length=1)
    tasks: list[Literal[TASKS]] = Field(min_length=1)
    corpus: Corpus
    base: Base
    graphs: Graphs
    answer: Answers
    head: Head
    full: Full
    lora: Lora
    train: Train
    evaluate: Evaluate
    report: Report

    @model_validator(mode="after")
    def _no_repeats(self) -> "Params":
        for key in ("seeds", "tasks"):
            values = getattr(self, key)
            if len(set(values)) != len(values):
                raise ValueError(f"{key}: an entry stands twice; remove one")
        return self

    @property
    def chosen(self) -> Group:
        """The group of the chosen adapter."""
        return getattr(self, self.adapter)


class _UniqueKeys(yaml.CSafeLoader):
    """YAML in which a key that stands twice is an error, not a silent override."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check a parameter file.

    Raises:
        UserError: the file is missing or not YAML; an unknown key, a wrong type or a value out of range.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; run from the folder that holds params.yaml") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no parameters; restore it with `git checkout {path}`")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error.errors()[0])}") from error


def _explain(problem: dict[str, Any]) -> str:
    """One line for the first problem that pydantic found."""
    if problem["type"] == "extra_forbidden":
        near = _similar_key(problem["loc"])
        return f"{_dotted(problem['loc'])}: unknown key" + (f"; did you mean {near!r}?" if near else "; remove it")
    # Members of a union carry the type they were tried as; only the keys and indices belong to the path.
    names = {key.rsplit(".", 1)[-1] for key in _all_keys(Params)}
    key = _dotted([part for part in problem["loc"] if isinstance(part, int) or part in names])
    if problem["type"] == "missing":
        return f"{key}: missing; add it (see the committed params.yaml)"
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    reason = f"{problem['msg'][0].lower()}{problem['msg'][1:]}"
    if key == "train.selection":
        reason = "it should be a number between 0 and 1, or dev"
    hint = ""
    if problem["type"] == "literal_error" and isinstance(problem["input"], str):
        near = difflib.get_close_matches(problem["input"], problem["ctx"]["expected"].replace("'", " ").split())
        hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{key}: {problem['input']!r} is not allowed ({reason}){hint}"


def _dotted(place: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in place)


def _similar_key(place: Sequence[str | int]) -> str | None:
    """The known key most like an unknown one: of its own group, otherwise of any."""
    *groups, unknown = place
    group = Params
    for name in groups:
        group = group.model_fields[name].annotation
    keys = {key.rsplit(".", 1)[-1]: key for key in _all_keys(Params)}
    own = {name: _dotted([*groups, name]) for name in group.model_fields}
    for known, cutoff in ((own, 0.5), (keys, 0.7), (own, 0.4)):
        if near := difflib.get_close_matches(str(unknown), known, n=1, cutoff=cutoff):
            return known[near[0]]
    return None


def _all_keys(group: type[BaseModel], above: str = "") -> list[str]:
    """Every key of a group and of the groups in it, dotted."""
    keys = []
    for name, field in group.model_fields.items():
        keys.append(above + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys.extend(_all_keys(field.annotation, f"{above}{name}."))
    return keys
