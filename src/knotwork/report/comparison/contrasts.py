"""Which runs may be compared, and what paired tests say of their differences.

Runs are compared task by task, within groups that share the dev file, the prompt, the base, the selection protocol
and the sampling of sonnets. In each group every run is held against the group's first one that has the measure in
question.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from scipy.stats import norm

from knotwork import tasks
from knotwork.errors import UserError
from knotwork.params import TASKS
from knotwork.report import formats
from knotwork.report.comparison.scores import Scores
from knotwork.report.read import TaskResult
from knotwork.report.records import Card
from knotwork.significance import exact_mcnemar, holm, paired_difference, smallest_difference
from knotwork.statistics import CorpusScore, Interval

LEVEL, POWER = 0.05, 0.8
IDENTITY = ("example", "text", "true class")
TOLERANCE = 1e-4  # metrics.json holds six digits, scores.tsv as many decimals


@dataclass(frozen=True)
class Measure:
    """A score that runs are compared by.

    Attributes:
        key: its name in ``metrics.json``.
        title: its name in a heading.
        phrase: its name in a sentence about one run, after the verb; ``{}`` stands for the task.
        sign: 1 if more is better, -1 if less is.
        scale: shown values per value; 100 for a fraction shown in percent.
        unit: of a shown difference.
        of: the score as a formula over examples; None where it cannot be computed.
        split: of the examples.
        examples: what those are, in words.
    """

    key: str
    title: str
    phrase: str
    sign: int
    scale: float
    unit: str
    of: Callable[[Scores], CorpusScore | None]
    split: str = "dev"
    examples: str = "dev examples"

    @property
    def name(self) -> str:
        """Its name within a sentence."""
        return self.title[0].lower() + self.title[1:]

    def value(self, value: float) -> str:
        """A value as text."""
        return formats.percent(value) if self.scale == 100 else formats.decimal(value)

    def interval(self, low: float, high: float) -> str:
        """The ends of a score's interval as text, without a unit."""
        return formats.interval(self.scale * low, self.scale * high)

    def difference(self, value: float) -> str:
        """A difference as text, without a unit."""
        return formats.signed(self.scale * value)

    def differences(self, low: float, high: float) -> str:
        """The ends of a difference's interval as text, without a unit."""
        return formats.signed_interval(self.scale * low, self.scale * high)


ACCURACY = Measure("accuracy", "Accuracy", "on {}", 1, 100, " points", Scores.accuracy)
EXTRAPOLATION = Measure(
    "extrapolation_accuracy",
    "Extrapolation accuracy",
    "in extrapolation on {}",
    1,
    100,
    " points",
    Scores.accuracy,
    "extrapolation",
    "formulas deeper than any that was trained on",
)
ACCURACIES = (ACCURACY, EXTRAPOLATION)
CHRF = Measure("chrf_generated", "chrF of generated lines", "in chrF on {}", 1, 1, "", Scores.chrf_generated)
PERPLEXITY = Measure("perplexity", "Perplexity", "in perplexity on {}", -1, 1, "", Scores.perplexity)


def measures(result: TaskResult) -> tuple[Measure, ...]:
    """What a run of a task can be compared by, the most telling first."""
    if not result.is_classification:
        return CHRF, PERPLEXITY
    return ACCURACIES if result.metrics.extrapolation_accuracy is not None else (ACCURACY,)


@dataclass(frozen=True)
class Entry:
    """What one run reached on one task.

    Attributes:
        run: its name.
        result: its figures and how they came about.
        splits: what it answered, by split.
    """

    run: str
    result: TaskResult
    splits: Mapping[str, Scores]

    @property
    def scores(self) -> Scores:
        """What it answered on dev."""
        return self.splits["dev"]

    def on(self, measure: Measure) -> Scores:
        """What it answered on the examples of a measure that it has.

        Raises:
            UserError: its files contradict each other: there are none.
        """
        if measure.split not in self.splits:
            raise UserError(
                f"{self.run}, {self.result.task}: scores.tsv holds no {measure.split} rows, metrics.json has "
                f"{measure.key}; they are not of one run, run `dvc repro` to write both anew"
            )
        return self.splits[measure.split]

    @property
    def card(self) -> Card:
        """How it came about."""
        return self.result.card

    def clusters(self, measure: Measure) -> list[str] | None:
        """The groups of a measure's examples, see :meth:`knotwork.tasks.task.Task.clusters`."""
        known = self.result.task in TASKS  # results of a task that another version has may be compared too
        return tasks.get(self.result.task).clusters(self.on(measure).ids) if known else None

    def score(self, measure: Measure) -> Interval:
        """A score with its own interval, as ``metrics.json`` has it."""
        low, high = f"{measure.key}_low", f"{measure.key}_high"
        return Interval(*(getattr(self.result.metrics, name) for name in (measure.key, low, high)))


@dataclass(frozen=True)
class Contrast:
    """How a run differs from the first of its group that has a measure.

    Attributes:
        task: the task.
        run: the run.
        first: the run that it is held against.
        measure: what is compared.
        difference: of the run from the first, with its paired bootstrap interval.
        p_value: of the test alone.
        adjusted: after Holm's correction over all tests of the comparison.
        alone: examples that only the run, and that only the first, gets right; None if the test was a bootstrap.
        smallest: the smallest true difference that the examples would probably have shown; None where too few
            examples tell the two apart to say.
    """

    task: str
    run: str
    first: str
    measure: Measure
    difference: Interval
    p_value: float
    adjusted: float
    alone: tuple[int, int] | None
    smallest: float | None

    @property
    def test(self) -> str:
        """The test's name."""
        return "paired bootstrap" if self.alone is None else "exact McNemar"

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, or ``open`` if it may be chance."""
        if self.adjusted > LEVEL:
            return "open"
        return "better" if self.measure.sign * self.difference.value > 0 else "worse"


@dataclass(frozen=True)
class Group:
    """Runs that can be compared on a task, and how they differ from the first of them."""

    task: str
    entries: list[Entry]
    contrasts: list[Contrast]

    @property
    def first(self) -> Entry:
        """The run that the others are held against on dev."""
        return self.entries[0]

    @property
    def measures(self) -> list[Measure]:
        """What its runs are compared by: whatever one of them has."""
        return list(dict.fromkeys(measure for entry in self.entries for measure in measures(entry.result)))

    def compared(self, measure: Measure) -> list[Entry]:
        """The runs that a measure compares, the first of which the others are held against.

        They have the measure, on the same examples; those of dev are the same in the whole group.
        """
        first, *others = (entry for entry in self.entries if measure in measures(entry.result))
        return [first, *(other for other in others if _first_difference(first, other, measure) is None)]

    def contrast(self, run: str, measure: Measure) -> Contrast | None:
        """How a run differs in a measure; None for the first, and where nothing could be tested."""
        return next((c for c in self.contrasts if c.run == run and c.measure is measure), None)


@dataclass(frozen=True)
class Comparison:
    """Runs in the order in which they were named, and their groups, task by task."""

    runs: list[str]
    groups: list[Group]

    @property
    def entries(self) -> list[Entry]:
        """Every run's results on every task."""
        return [entry for group in self.groups for entry in group.entries]

    @property
    def contrasts(self) -> list[Contrast]:
        """Every difference that was tested."""
        return [contrast for group in self.groups for contrast in group.contrasts]

    @property
    def tasks(self) -> dict[str, list[Group]]:
        """The groups of each task; the first one holds the first run that has the task."""
        found: dict[str, list[Group]] = {}
        for group in self.groups:
            found.setdefault(group.task, []).append(group)
        return found


def matching(card: Card) -> dict[str, str]:
    """What must be the same for two runs to be compared, by name."""
    return {
        "dev file": card.corpus.files.get("dev") or "unknown",
        "prompt": card.prompt.sha256,
        "base": card.base.sha256 or card.base.name,
        "selection": str(card.selection),
        "sampling": _sampling(card),
    }


def _sampling(card: Card) -> str:
    """How sonnets were drawn: what another temperature brings is no merit of an adapter."""
    drawn = ("temperature", "top_p", "max_new_tokens") if card.chrf_signature else ()
    keys = [f"evaluate.generation.{name}" for name in drawn]
    settings = [f"{key.rpartition('.')[2]} {card.parameters[key]:g}" for key in keys if key in card.parameters]
    return ", ".join(["one text an opening" if card.samples == 1 else f"best of {card.samples}", *settings])


def compare_entries(runs: list[str], entries: Sequence[Entry]) -> Comparison:
    """Group the runs' results and test every run against the first of its group.

    Args:
        runs: the runs' names, in order.
        entries: their results, in the order of runs and tasks.

    Raises:
        UserError: two runs of a group have different dev examples, or a run's files contradict each other.
    """
    groups: list[Group] = []
    for task in dict.fromkeys(entry.result.task for entry in entries):
        alike: dict[tuple[str, ...], list[Entry]] = {}
        for entry in entries:
            if entry.result.task == task:
                alike.setdefault(tuple(matching(entry.card).values()), []).append(entry)
        groups += [Group(task, members, _contrasts(Group(task, members, []))) for members in alike.values()]
    adjusted = iter(holm([contrast.p_value for group in groups for contrast in group.contrasts]))
    corrected = [
        replace(group, contrasts=[replace(contrast, adjusted=next(adjusted)) for contrast in group.contrasts])
        for group in groups
    ]
    return Comparison(runs, corrected)


def _contrasts(group: Group) -> list[Contrast]:
    """How the others differ from the first, measure by measure; p-values are not corrected yet."""
    for entry in group.entries:
        _check_examples(group.first, entry)
    found = []
    for measure in group.measures:
        first, *others = compared = group.compared(measure)
        scores = {entry.run: _score(entry, measure) for entry in compared}
        for entry in others:
            score, reference = scores[entry.run], scores[first.run]
            if score is not None and reference is not None:
                found.append(_contrast(entry, first, measure, score, reference))
    return found


def _contrast(entry: Entry, first: Entry, measure: Measure, score: CorpusScore, reference: CorpusScore) -> Contrast:
    difference, p_value = paired_difference(score, reference)
    alone = None
    ours, theirs = entry.on(measure), first.on(measure)
    if measure in ACCURACIES and ours.seeds == theirs.seeds == 1 and first.clusters(measure) is None:
        hits, other = ours.hits[0], theirs.hits[0]
        p_value = exact_mcnemar(hits, other)
        alone = int((hits & ~other).sum()), int((~hits & other).sum())
        smallest = _smallest_in_counts(len(hits), sum(alone))
    else:
        smallest = _smallest_in_bootstrap(difference)
    return Contrast(first.result.task, entry.run, first.run, measure, difference, p_value, p_value, alone, smallest)


def _smallest_in_counts(examples: int, discordant: int) -> float | None:
    """See :func:`knotwork.significance.smallest_difference`."""
    if not discordant:
        return None
    found = smallest_difference(examples, discordant / examples, POWER, LEVEL)
    # No true difference exceeds the share of examples on which the two differ.
    return found if found < discordant / examples else None


def _smallest_in_bootstrap(difference: Interval) -> float | None:
    """By the normal approximation, with the standard error that the bootstrap interval implies."""
    level, power = norm.isf(LEVEL / 2), norm.isf(1 - POWER)
    error = (difference.high - difference.low) / (2 * level)
    return (level + power) * error or None


def _score(entry: Entry, measure: Measure) -> CorpusScore | None:
    score = measure.of(entry.on(measure))
    stated = entry.score(measure).value
    if score is not None and not math.isclose(score.value, stated, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
        raise UserError(
            f"{entry.run}, {entry.result.task}: scores.tsv gives {measure.key} {score.value:.6g}, metrics.json "
            f"{stated:.6g}; they are not of one run, run `dvc repro` to write both anew"
        )
    return score and score.clustered(entry.clusters(measure))


def _check_examples(first: Entry, other: Entry) -> None:
    """Runs with the same dev file must have the same examples."""
    problem = _first_difference(first, other, measures(first.result)[0])
    if problem is not None:
        raise UserError(
            f"{first.run} and {other.run}, {first.result.task}: the dev examples differ ({problem}) though their "
            "cards name the same dev file; evaluate both anew with `dvc repro`"
        )


def _first_difference(one: Entry, other: Entry, measure: Measure) -> str | None:
    """Where the examples of two runs differ, in words; None if they are the same."""
    ours, theirs = _identities(one, measure), _identities(other, measure)
    for pair in zip(ours, theirs, strict=False):
        if pair[0] != pair[1]:
            return " and ".join(", ".join(map(" ".join, zip(IDENTITY, row, strict=False))) for row in pair)
    return None if len(ours) == len(theirs) else f"{len(ours)} and {len(theirs)} of them"


def _identities(entry: Entry, measure: Measure) -> list[tuple[str, ...]]:
    """What each example is. Of a sonnet the hash alone: one run may hold its text and another not."""
    scores = entry.on(measure)
    gold = [scores.gold] if entry.result.is_classification else []
    return list(zip(scores.ids, scores.hashes, *gold, strict=True))
