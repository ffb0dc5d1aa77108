"""What the files of ``reports/<task>/`` hold, as typed, checked records."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

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
    """Scores of a classification task on dev: fractions from 0 to 1, NLL in nats per example.

    Formulas alone have the accuracy at each level of difficulty and on deeper ones than were trained on, and
    baselines that see their surface.
    """

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
    baseline_zero_shot: float | None = None
    accuracy_level_1: float | None = None
    accuracy_level_2: float | None = None
    accuracy_level_3: float | None = None
    extrapolation_accuracy: float | None = None
    extrapolation_accuracy_low: float | None = None
    extrapolation_accuracy_high: float | None = None
    baseline_lengths: float | None = None
    baseline_tokens: float | None = None
    baseline_char_ngrams: float | None = None


class SonnetMetrics(Metrics):
    """Scores of the sonnets on dev: chrF from 0 to 100, perplexity per token, shares from 0 to 1.

    ``perplexity`` is of the whole true sonnets, ``perplexity_continuation`` of what follows their given lines. What
    runs did not have at first may be missing.
    """

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
    perplexity_continuation: float | None = None
    perplexity_continuation_low: float | None = None
    perplexity_continuation_high: float | None = None
    ten_syllables: float | None = None
    ten_syllables_low: float | None = None
    ten_syllables_high: float | None = None
    rhyme_scheme: float | None = None
    rhyme_scheme_low: float | None = None
    rhyme_scheme_high: float | None = None
    distinct_2: float | None = None
    copied_words: float | None = None
    copied_words_low: float | None = None
    copied_words_high: float | None = None
    baseline_random_sonnet_chrf_whole: float
    baseline_random_sonnet_chrf_generated: float
    baseline_copied_lines_chrf_whole: float | None = None
    baseline_copied_lines_chrf_generated: float | None = None
    baseline_zero_shot_chrf_whole: float | None = None
    baseline_zero_shot_chrf_generated: float | None = None
    baseline_zero_shot_perplexity: float | None = None
    baseline_zero_shot_perplexity_continuation: float | None = None


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


class VerseFigures(Record):
    """The form of sonnets: shares from 0 to 1, and the longest spans in words that training sonnets have too.

    ``copied_words`` is the mean over sonnets, ``longest_copy`` the longest of all.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    ten_syllables: float
    rhyme_scheme: float
    distinct_1: float
    distinct_2: float
    distinct_3: float
    copied_words: float
    longest_copy: int


class Card(Record):
    """How a task's results came about; ``levels``: the rows of dev at each level of difficulty."""

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
    levels: dict[str, int] = {}
    per_seed: list[SeedResult] = Field(min_length=1)
    chrf_signature: str | None = None
    verse: dict[str, VerseFigures] = {}

    @property
    def samples(self) -> int:
        """Samples for each opening, of which the model's likeliest is the generated sonnet; 1 without sonnets."""
        return self.parameters.get("evaluate.generation.best_of", 1) if self.chrf_signature else 1


class MemberResult(Record):
    """What the card and the metrics of a task alone hold, of a member of multitask."""

    card: dict[str, Any]
    metrics: dict[str, Any]


class MultitaskCard(Record):
    """How multitask's results came about, member by member."""

    members: list[MemberResult] = Field(min_length=1)


class ReliabilityBin(Record):
    """Predictions whose confidence lies between ``low`` and ``high``; means are None in an empty bin."""

    low: float
    high: float
    confidence: float | None
    accuracy: float | None
    count: int


class DrawnFunction(Record):
    """A one-dimensional function that a spline learned, on evenly spaced inputs.

    Attributes:
        strength: see :class:`SplineStrength`; of the feature, over all outputs.
        base: what the pretrained path gives for this feature and output; None where the spline's input is not a
            feature of its own.
        total: with the spline.
        density: of the inputs, in any unit.
        formula: the spline as a closed formula of x, and how much of its variance that explains.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    block: int
    matrix: str
    feature: int
    output: int
    strength: float
    x: list[float] = Field(min_length=2)
    base: list[float] | None
    total: list[float]
    density: list[float]
    formula: str | None = None
    r2: float | None = None

    @model_validator(mode="after")
    def _one_value_per_input(self) -> "DrawnFunction":
        for name in ("base", "total", "density"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.x):
                raise ValueError(f"{name} has {len(values)} values for {len(self.x)} inputs")
        return self


class Matrix(Record):
    """A matrix of a block's MLP."""

    block: int
    matrix: str


class SplineStrength(Record):
    """How far a feature's splines move the output of their matrix, as a share of how far it moves at all.

    A row per matrix, its features sorted from the strongest to the weakest and averaged in bins.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    rows: list[Matrix] = Field(min_length=1)
    values: list[list[Annotated[float, Field(ge=0)]]]

    @model_validator(mode="after")
    def _one_row_per_matrix(self) -> "SplineStrength":
        if len(self.values) != len(self.rows) or not all(self.values):
            raise ValueError(f"values has not {len(self.rows)} rows that hold numbers")
        return self


class PruningPoint(Record):
    """The score without a share of the splines, the weakest first."""

    model_config = ConfigDict(allow_inf_nan=False)

    removed: float = Field(ge=0, le=1)
    score: float


class SplinePictures(Record):
    """What KAN-LoRA learned."""

    functions: list[DrawnFunction]
    strength: SplineStrength
    pruning: list[PruningPoint]
    score_name: str
    examples: int


class AttendedEdge(Record):
    """An edge of a token graph with its attention weight in every layer, means over heads."""

    source: int = Field(ge=0)
    target: int = Field(ge=0)
    kind: str
    label: str | None
    weights: list[Annotated[float, Field(ge=0, le=1.001)]]


class AttendedText(Record):
    """A text's tokens and edges; ``cut``: it goes on."""

    id: str
    tokens: list[str] = Field(min_length=1)
    cut: bool = False
    edges: list[AttendedEdge]


class KindShare(Record):
    """The share of a token's attention that edges of a kind get in a layer; ``even``: if all edges got the same."""

    layer: int
    kind: str
    weight: float
    even: float


class LabelWeight(Record):
    """The mean attention of edges with a dependency label; ``even``: if all edges of a token got the same."""

    label: str
    weight: float
    even: float
    count: int


class AttentionPictures(Record):
    """What Graph-LoRA attended to; layers are named by the number of their block."""

    layers: list[int] = Field(min_length=1)
    examples: list[AttendedText]
    kinds: list[KindShare]
    labels: list[LabelWeight]

    @model_validator(mode="after")
    def _edges_fit(self) -> "AttentionPictures":
        for text in self.examples:
            for edge in text.edges:
                if max(edge.source, edge.target) >= len(text.tokens):
                    raise ValueError(f"example {text.id}: an edge leaves its {len(text.tokens)} tokens")
                if len(edge.weights) != len(self.layers):
                    raise ValueError(f"example {text.id}: an edge has not {len(self.layers)} weights, one a layer")
        return self


class AdapterPictures(Record):
    """What an adapter has to show of its own."""

    splines: SplinePictures | None = None
    attention: AttentionPictures | None = None


class Pictures(Record):
    """What the pictures of every task hold."""

    adapter: AdapterPictures | None = None


class ClassificationPictures(Pictures):
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


class SonnetPictures(Pictures):
    """Generated sonnets."""

    examples: list[SonnetExample]
