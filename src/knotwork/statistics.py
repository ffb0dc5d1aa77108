"""Scores with bootstrap intervals (means, macro F1, perplexity, chrF), and calibration.

Every score here is a formula over sums over examples: hits, confusion counts, negative log-likelihoods,
n-gram matches. A :class:`CorpusScore` holds the summands, so one bootstrap serves all scores, and another
statistic is one more function that returns a :class:`CorpusScore`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sacrebleu.metrics import CHRF

Floats = NDArray[np.float64]

RESAMPLES = 10_000
GIVEN_LINES = 3
"""Lines of a sonnet that are given; the rest is to be written."""

_CHUNK_CELLS = 1 << 20  # resamples x rows counted at once: 8 MiB per array
_BINOMIAL_COST = 20  # one binomial draw of a multinomial takes about as long as drawing this many examples


class Interval(NamedTuple):
    """A score with the ends of its interval, in the score's unit."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class CorpusScore:
    """A score of several runs (training seeds) on the same examples.

    Attributes:
        summands: seeds x examples (or clusters of them) x terms; what each adds to each term.
        formula: maps sums over examples, shape (..., terms), to scores, shape (...).
        signature: how the score was computed, where the library that defines it has such a text.

    Raises:
        ValueError: the summands are not of that shape, are empty, or contain a value that is not finite.
    """

    summands: Floats
    formula: Callable[[Floats], Floats]
    signature: str = ""

    def __post_init__(self) -> None:
        """Reject what would turn into a meaningless interval."""
        if self.summands.ndim != 3 or self.summands.size == 0:
            raise ValueError(f"expected seeds x examples x terms, none empty; got {self.summands.shape}")
        if not np.isfinite(self.summands).all():
            raise ValueError("a value that is not finite (NaN or infinite) cannot be scored")

    @property
    def per_seed(self) -> Floats:
        """The score of each seed, shape (seeds,)."""
        return self.formula(self.summands.sum(axis=1))

    @property
    def value(self) -> float:
        """The mean of the seeds' scores."""
        return float(self.per_seed.mean())

    @property
    def standard_deviation(self) -> float:
        """The standard deviation of the seeds' scores, see :func:`standard_deviation`."""
        return standard_deviation(self.per_seed)

    def clustered(self, clusters: Sequence[str] | None) -> "CorpusScore":
        """The same score, to be resampled by clusters of examples that depend on each other (Field and Welsh 2007).

        Args:
            clusters: for each example the name of its cluster; None: every example stands alone.

        Raises:
            ValueError: there is not a name for each example.
        """
        if clusters is None:
            return self
        seeds, examples, terms = self.summands.shape
        if len(clusters) != examples:
            raise ValueError(f"{len(clusters)} names of clusters for {examples} examples")
        names, places = np.unique(np.asarray(clusters), return_inverse=True)
        sums = np.zeros((seeds, len(names), terms))
        np.add.at(sums, (slice(None), places), self.summands)
        return replace(self, summands=sums)

    def interval(self, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95) -> Interval:
        """Percentile bootstrap interval of :attr:`value` over examples and seeds.

        Each resample draws the seeds with replacement and the examples with replacement, the same examples
        for all its seeds (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13).
        With one seed the interval is over examples alone. With two or three it understates what another
        seed could do: ``n`` resampled seeds show (n - 1) / n of their variance.

        Args:
            resamples: number of bootstrap resamples.
            seed: of the random generator; the same seed gives the same interval.
            level: share of the resampled scores between ``low`` and ``high``.
        """
        rng = np.random.default_rng(seed)
        seeds, examples, terms = self.summands.shape
        columns = self.summands.transpose(1, 0, 2).reshape(examples, seeds * terms)
        scores = self.formula(resampled_sums(columns, resamples, rng).reshape(resamples, seeds, terms))
        times_drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
        means = (scores * times_drawn).sum(axis=1) / seeds
        low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
        return Interval(self.value, float(low), float(high))


def mean(values: ArrayLike) -> CorpusScore:
    """Mean of a value per example: accuracy (hits as 0 and 1), negative log-likelihood.

    Args:
        values: seeds x examples, or examples for one seed.
    """
    array = np.atleast_2d(np.asarray(values, dtype=np.float64))
    return CorpusScore(np.stack([array, np.ones_like(array)], axis=-1), _ratio)


def share(hits: ArrayLike, of: ArrayLike) -> CorpusScore:
    """Share of hits among all chances: lines of the right length, say, among all lines of all texts.

    Args:
        hits: of each text, seeds x texts.
        of: chances of each text, at least 1; the same shape.
    """
    hits, of = np.asarray(hits, dtype=np.float64), np.asarray(of, dtype=np.float64)
    if hits.shape != of.shape or (of < 1).any():
        raise ValueError(f"hits {hits.shape} of chances {of.shape}, of which every text needs one")
    return CorpusScore(np.stack([hits, of], axis=-1), _ratio)


def macro_f1(gold: ArrayLike, predictions: ArrayLike) -> CorpusScore:
    """F1 averaged over the classes that occur in gold or predictions, as scikit-learn does by default.

    Args:
        gold: class of each example, integers from 0, shape (examples,).
        predictions: seeds x examples, or examples for one seed.
    """
    predictions = np.atleast_2d(np.asarray(predictions, dtype=np.intp))
    gold = np.broadcast_to(_same_length(np.asarray(gold, dtype=np.intp), predictions), predictions.shape)
    if min(gold.min(initial=0), predictions.min(initial=0)) < 0:
        raise ValueError("a negative class cannot be scored; leave out examples without a label")
    one_hot = np.eye(max(gold.max(initial=0), predictions.max(initial=0)) + 1)
    actual, predicted = one_hot[gold], one_hot[predictions]
    return CorpusScore(np.concatenate([actual * predicted, actual + predicted], axis=-1), _macro_f1)


def perplexity(nll: ArrayLike, tokens: ArrayLike) -> CorpusScore:
    """Perplexity per token, exp(sum of negative log-likelihoods / sum of tokens).

    Args:
        nll: summed negative log-likelihood of each text in nats; seeds x texts, or texts for one seed.
        tokens: number of scored tokens of each text, at least 1; the same shape, or texts if all seeds agree.
    """
    nll = np.atleast_2d(np.asarray(nll, dtype=np.float64))
    tokens = np.broadcast_to(_same_length(np.asarray(tokens, dtype=np.float64), nll), nll.shape)
    if (tokens < 1).any():
        raise ValueError("a text without scored tokens has no perplexity")
    return CorpusScore(np.stack([nll, tokens], axis=-1), lambda sums: np.exp(_ratio(sums)))


def chrf(hypotheses: Sequence[Sequence[str]], references: Sequence[str]) -> CorpusScore:
    """Corpus chrF2, 0 to 100, with sacrebleu's defaults and signature (Popović 2015; Post 2018).

    Args:
        hypotheses: seeds x texts.
        references: the true text of each.
    """
    if not references or any(len(texts) != len(references) for texts in hypotheses):
        raise ValueError(f"expected one hypothesis per reference from every seed, for {len(references)} references")
    metric = CHRF(references=[list(references)])
    # Not public, but what sacrebleu's own significance tests resample; a test holds it against corpus_score.
    counts = [metric._extract_corpus_statistics(list(texts), None) for texts in hypotheses]
    return CorpusScore(np.asarray(counts, dtype=np.float64), _chrf2, str(metric.get_signature()))


def sonnet_chrf(written: Sequence[Sequence[str]], truth: Sequence[str]) -> dict[str, CorpusScore]:
    """chrF of whole sonnets (the paper's figure, to which the given lines contribute) and of the generated lines.

    Args:
        written: seeds x whole sonnets.
        truth: the true ones.
    """
    endings = [[generated_lines(text) for text in texts] for texts in written]
    return {
        "chrf_whole": chrf(written, truth),
        "chrf_generated": chrf(endings, [generated_lines(text) for text in truth]),
    }


def standard_deviation(values: ArrayLike) -> float:
    """Sample standard deviation (n - 1 in the denominator) of a figure over seeds; 0.0 for one seed."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.std(ddof=1)) if array.size > 1 else 0.0


def reliability(probabilities: ArrayLike, gold: ArrayLike, bins: int = 10) -> list[dict[str, Any]]:
    """Confidence against accuracy in bins of equal width, ``(low, high]``, for a reliability diagram.

    Args:
        probabilities: examples x classes; the confidence is the largest of a row.
        gold: class of each example, integers from 0.
        bins: number of bins over 0 to 1.

    Returns:
        For each bin that holds examples ``{"low", "high", "confidence", "accuracy", "count"}``, the third and
        fourth being means over its examples.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    gold = _same_length(np.asarray(gold), probabilities[:, 0])
    confidence, hits = probabilities.max(axis=1), probabilities.argmax(axis=1) == gold
    edges = np.linspace(0, 1, bins + 1)
    # Rounded probabilities may come to a hair above 1.
    member_of = np.clip(np.searchsorted(edges, confidence) - 1, 0, bins - 1)
    return [
        {
            "low": float(edges[bin_]),
            "high": float(edges[bin_ + 1]),
            "confidence": float(confidence[member_of == bin_].mean()),
            "accuracy": float(hits[member_of == bin_].mean()),
            "count": int((member_of == bin_).sum()),
        }
        for bin_ in np.unique(member_of)
    ]


def expected_calibration_error(probabilities: ArrayLike, gold: ArrayLike, bins: int = 15) -> float:
    """Distance between confidence and accuracy, weighted by bin, as a fraction (Guo et al. 2017, equation 3).

    Arguments as for :func:`reliability`.
    """
    filled = reliability(probabilities, gold, bins)
    gaps = [abs(bin_["accuracy"] - bin_["confidence"]) for bin_ in filled]
    return float(np.average(gaps, weights=[bin_["count"] for bin_ in filled]))


def given_lines(text: str) -> str:
    """The lines of a sonnet that are given, see :data:`GIVEN_LINES`."""
    return "\n".join(text.split("\n")[:GIVEN_LINES])


def generated_lines(text: str) -> str:
    """What follows the given lines of a sonnet: every line after the first three."""
    return "\n".join(text.split("\n")[GIVEN_LINES:])


def resampled_sums(examples: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Column sums of ``resamples`` bootstrap samples of the rows of ``examples``: resamples x columns.

    Where few distinct rows occur (labels and predictions), how often each of them is drawn comes from a
    multinomial: the same distribution as counting drawn examples, and far faster. In chunks, to bound memory.
    """
    drawn = len(examples)
    distinct, occurrences = np.unique(examples, axis=0, return_counts=True)
    few = len(distinct) * _BINOMIAL_COST < drawn
    rows = distinct if few else examples
    chunk = max(1, _CHUNK_CELLS // len(rows))
    sums = np.empty((resamples, examples.shape[1]))
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        if few:
            counts = rng.multinomial(drawn, occurrences / drawn, size=size).astype(np.float64)
        else:
            samples = (rng.integers(drawn, size=drawn) for _ in range(size))
            counts = np.stack([np.bincount(sample, minlength=drawn) for sample in samples], dtype=np.float64)
        sums[start : start + size] = counts @ rows
    return sums


def _ratio(sums: Floats) -> Floats:
    """First term over second term."""
    return sums[..., 0] / sums[..., 1]


def _macro_f1(sums: Floats) -> Floats:
    """Mean of 2 TP / (actual + predicted) over the classes that occur; terms are TP and that denominator."""
    hits, occurrences = np.split(sums, 2, axis=-1)
    f1 = _divide(2 * hits, occurrences)
    return f1.sum(axis=-1) / (occurrences > 0).sum(axis=-1)


def _chrf2(sums: Floats) -> Floats:
    """F2 of precision and recall, averaged over the n-gram orders found on both sides, as sacrebleu does.

    Terms are, for each order, the n-grams of the hypotheses, of the references, and of both.
    """
    hypothesis, reference, both = np.moveaxis(sums.reshape(*sums.shape[:-1], -1, 3), -1, 0)
    orders = (hypothesis > 0).sum(axis=-1)  # sacrebleu counts none for a hypothesis whose reference has none
    precision = _divide(_divide(both, hypothesis).sum(axis=-1), orders)
    recall = _divide(_divide(both, reference).sum(axis=-1), orders)
    return 100 * _divide((1 + CHRF.BETA**2) * precision * recall, CHRF.BETA**2 * precision + recall)


def _divide(numerator: Floats, denominator: NDArray[Any]) -> Floats:
    """Quotient, 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _same_length(array: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """``array``, if its last axis (the examples) is as long as the other's."""
    if array.shape[-1] != other.shape[-1]:
        raise ValueError(f"{array.shape[-1]} examples against {other.shape[-1]}")
    return array
