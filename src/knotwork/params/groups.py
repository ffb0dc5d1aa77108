"""The groups of params.yaml: what may stand in each, and what must agree between them."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, field_validator, model_validator

ADAPTERS = ("head", "full", "lora", "kan", "graph")
SINGLE_TASKS = ("sst", "cfimdb", "quora", "sonnet")
MULTITASK = "multitask"
GENERATED = ("symbolic", "symbolic_choice")  # tasks whose corpus is made here, not found by a manifest
MEMBERS = (*SINGLE_TASKS, *GENERATED)  # what multitask may be made of
TASKS = (*MEMBERS, MULTITASK)

Answer = Literal["score", "words"]
Epochs = Annotated[int, Field(ge=0)]
Rows = Annotated[int, Field(ge=1)] | None
RowsMade = Annotated[int, Field(ge=4, multiple_of=4)]
LearningRate = Annotated[float, Field(gt=0, le=1)]
Part = Annotated[float, Field(gt=0, lt=1)]
Weight = Annotated[float, Field(gt=0)]
Rank = Annotated[int, Field(ge=1)] | None
BlockNumbers = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
Blocks = Literal["all"] | Annotated[int, Field(ge=1)] | BlockNumbers
Edges = Literal["dependency", "word", "sentence", "lemma", "sequence"]


class Group(BaseModel):
    """A group of params.yaml: unknown keys are errors, values are read only."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _by_task(name: str, purpose: str, tasks: tuple[str, ...], kind: Any) -> type[Group]:
    """A group with a value for each of the tasks."""
    return create_model(name, __base__=Group, __doc__=purpose, **dict.fromkeys(tasks, (kind, ...)))


MaxRows = _by_task("MaxRows", "Training rows used per task; ``None`` is all of them.", TASKS, Rows)
LossWeights = _by_task("LossWeights", "What a task's mean loss counts for in multitask.", MEMBERS, Weight)
EpochsByTask = _by_task("EpochsByTask", "Passes over the training rows per task.", TASKS, Epochs)


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
    edges: list[Edges]
    control: Literal["none", "shuffled", "empty", "sequence", "random_tree"]


class Budget(Group):
    """What the adapters may cost."""

    trainable_parameters: Annotated[int, Field(ge=1)] | None


class Answers(Group):
    """How each task's answer is read off the model."""

    sst: Answer
    cfimdb: Answer
    quora: Answer
    sonnet: Literal["text"]
    multitask: Literal["members"]
    symbolic: Answer
    symbolic_choice: Answer


class Adapter(Group):
    """Settings of an adapter."""

    learning_rate: LearningRate

    @property
    def ranks(self) -> tuple[str, ...]:
        """Keys that a budget decides instead."""
        return ()


class Head(Adapter):
    """Frozen base, trained classification head."""


class Full(Adapter):
    """Every weight trainable."""


class LowRank(Adapter):
    """Settings of an adapter with low-rank updates, or of what the paper's code built instead of it."""

    r: Rank
    alpha: float = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)
    faithful: bool

    @property
    def ranks(self) -> tuple[str, ...]:
        """Keys that a budget decides instead."""
        return ("r",)


class Lora(LowRank):
    """LoRA as PEFT implements it."""

    target_modules: list[str] = Field(min_length=1)
    use_rslora: bool
    use_dora: bool


class Kan(LowRank):
    """Hybrid KAN-LoRA."""

    spline: Literal["full", "factored", "latent"]
    spline_r: Rank
    basis: Literal["bspline", "rbf", "chebyshev"]
    grid_size: int = Field(ge=1)
    order: int = Field(ge=0)
    range: Literal["fitted"] | tuple[float, float]
    fit_rows: int = Field(ge=1)
    activation: Literal["pretrained", "silu"]
    blocks: Blocks
    l1: float = Field(ge=0)
    entropy: float = Field(ge=0)
    faithful_frozen: bool

    @property
    def ranks(self) -> tuple[str, ...]:
        """Keys that a budget decides instead; full splines have no rank."""
        return ("r",) if self.spline == "full" else ("r", "spline_r")

    @model_validator(mode="after")
    def _no_idle_rank(self) -> "Kan":
        if self.spline == "full" and self.spline_r is not None:
            raise ValueError("kan.spline_r: full splines have no rank; set it to null")
        return self

    @field_validator("range")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        if value != "fitted" and value[0] >= value[1]:
            low, high = value
            raise ValueError(f"kan.range: {low} to {high} is empty; the first number must be the smaller one")
        return value


class Graph(LowRank):
    """Graph-LoRA."""

    target_modules: list[str] = Field(min_length=1)
    graph_r: Rank
    heads: int = Field(ge=1)
    attention_dropout: float = Field(ge=0, lt=1)
    blocks: Blocks

    @property
    def ranks(self) -> tuple[str, ...]:
        """Keys that a budget decides instead."""
        return ("r", "graph_r")


class Multitask(Group):
    """One adapter for several tasks."""

    members: list[Literal[MEMBERS]] = Field(min_length=1)
    temperature: float = Field(ge=1)
    loss_weights: LossWeights


class SymbolicRows(Group):
    """Rows of each split of a generated task; four belong together."""

    train: RowsMade
    dev: RowsMade
    test: RowsMade
    extrapolation: RowsMade


class Symbolic(Group):
    """How the formulas of ``symbolic`` and ``symbolic_choice`` are made."""

    seed: int = Field(ge=0)
    rows: SymbolicRows
    depth: int = Field(ge=3)
    extrapolation_depth: int

    @model_validator(mode="after")
    def _deeper(self) -> "Symbolic":
        if self.extrapolation_depth <= self.depth:
            raise ValueError(
                f"symbolic.extrapolation_depth: {self.extrapolation_depth} is not above symbolic.depth; raise it"
            )
        return self


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
    """Sampling of sonnets.

    Attributes:
        temperature: divides the logits.
        top_p: share of the probability that the drawn tokens come from.
        max_new_tokens: per text.
        seed: of the noise, which also depends on the prompt.
        best_of: samples per opening, of which the model's likeliest is kept.
    """

    temperature: float = Field(gt=0)
    top_p: float = Field(gt=0, le=1)
    max_new_tokens: int = Field(ge=1)
    seed: int = Field(ge=0)
    best_of: int = Field(ge=1)


class Evaluate(Group):
    """Evaluation."""

    batch_tokens: int = Field(ge=16)
    bootstrap: int = Field(ge=100)
    generation: Generation


class Report(Group):
    """The report."""

    examples: int = Field(ge=0)


class Member(NamedTuple):
    """A task that another one is made of; a single task is its own and only member.

    Attributes:
        task: its name.
        place: its folder below ``data/raw``, ``data/parses`` and ``data/graphs``.
        max_rows: training rows used; ``None`` is all of them.
    """

    task: str
    place: Path
    max_rows: int | None


class Params(Group):
    """All of params.yaml."""

    adapter: Literal[ADAPTERS]
    seeds: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field(min_length=1)
    tasks: list[Literal[TASKS]] = Field(min_length=1)
    corpus: Corpus
    symbolic: Symbolic
    base: Base
    graphs: Graphs
    answer: Answers
    budget: Budget
    head: Head
    full: Full
    lora: Lora
    kan: Kan
    graph: Graph
    multitask: Multitask
    train: Train
    evaluate: Evaluate
    report: Report

    @model_validator(mode="after")
    def _no_repeats(self) -> "Params":
        lists = {"seeds": self.seeds, "tasks": self.tasks, "multitask.members": self.multitask.members}
        for key, values in lists.items():
            if len(set(values)) != len(values):
                raise ValueError(f"{key}: an entry stands twice; remove one")
        return self

    @model_validator(mode="after")
    def _ranks_or_budget(self) -> "Params":
        budget, ranks = self.budget.trainable_parameters, self.chosen.ranks
        if budget is not None and not ranks:
            raise ValueError(f"budget.trainable_parameters: {self.adapter} has no ranks to choose; set it to null")
        for key in ranks:
            given = getattr(self.chosen, key)
            if budget is None and given is None:
                raise ValueError(f"{self.adapter}.{key}: null needs budget.trainable_parameters; give a number")
            if budget is not None and given is not None:
                raise ValueError(
                    f"{self.adapter}.{key}: budget.trainable_parameters decides it; set one of the two to null"
                )
        return self

    @model_validator(mode="after")
    def _one_kind_of_graphs(self) -> "Params":
        kinds = {name in GENERATED for name in self.multitask.members}
        if MULTITASK in self.tasks and self.uses_graphs and len(kinds) > 1:
            raise ValueError(
                f"multitask.members: formulas ({', '.join(GENERATED)}) have graphs of another kind than the other "
                "tasks; with adapter graph name only formulas, or none"
            )
        return self

    @property
    def chosen(self) -> Adapter:
        """The group of the chosen adapter."""
        return getattr(self, self.adapter)

    def members(self, task: str) -> list[Member]:
        """The tasks that a task is made of."""
        limits = self.corpus.max_rows
        if task != MULTITASK:
            return [Member(task, Path(task), getattr(limits, task))]
        found = []
        for name in self.multitask.members:
            given = [limit for limit in (getattr(limits, name), limits.multitask) if limit is not None]
            found.append(Member(name, Path(task) / name, min(given, default=None)))
        return found

    @property
    def uses_graphs(self) -> bool:
        """Whether the chosen adapter reads token graphs (the paper's all-pairs graph needs no parse)."""
        return self.adapter == "graph" and not self.graph.faithful
