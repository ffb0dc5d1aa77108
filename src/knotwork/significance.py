"""Paired comparison of two runs on the same examples, and what the examples could have shown at all."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, norm

from knotwork.statistics import RESAMPLES, CorpusScore, Interval, resampled_sums

__all__ = ["exact_mcnemar", "holm", "paired_difference", "smallest_difference"]


def exact_mcnemar(hits: ArrayLike, other_hits: ArrayLike) -> float:
    """Two-sided p-value of McNemar's exact test (McNemar 1947): are two classifiers right equally often?

    Only examples that one of them gets right and the other wrong count; under the null hypothesis each of them
    falls to either side with chance one half.

    Args:
        hits: for each example whether the first is right.
        other_hits: whether the second is.

    Raises:
        ValueError: the two have not the same examples.
    """
    first, second = np.asarray(hits, dtype=bool), np.asarray(other_hits, dtype=bool)
    if first.shape != second.shape:
        raise ValueError(f"{first.shape} examples against {second.shape}")
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


def paired_difference(
    score: CorpusScore, other: CorpusScore, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95
) -> tuple[Interval, float]:
    """Difference of two scores on the same examples, with its bootstrap interval and two-sided p-value.

    Each resample draws the same examples for both and, for each of them, its seeds. The p-value is twice the
    share of resampled differences on the rarer side of zero (Efron and Tibshirani 1993, chapter 15), with one
    added to each count so that it is never zero.

    Args:
        score: the first run's, a score of means over seeds.
        other: the second run's, of the same examples.
        resamples: number of bootstrap resamples.
        seed: of the random generator.
        level: share of the resampled differences within the interval.

    Raises:
        ValueError: the two have not the same number of examples.
    """
    if score.summands.shape[1] != other.summands.shape[1]:
        raise ValueError(f"{score.summands.shape[1]} examples against {other.summands.shape[1]}")
    rng = np.random.default_rng(seed)
    shapes = [part.summands.shape for part in (score, other)]
    columns = [part.summands.transpose(1, 0, 2).reshape(shapes[0][1], -1) for part in (score, other)]
    sums = np.split(resampled_sums(np.hstack(columns), resamples, rng), [columns[0].shape[1]], axis=1)
    means = []
    for part, (seeds, _, terms), drawn in zip((score, other), shapes, sums, strict=True):
        scores = part.formula(drawn.reshape(resamples, seeds, terms))
        times_drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
        means.append((scores * times_drawn).sum(axis=1) / seeds)
    differences = means[0] - means[1]
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    rarer = min((differences <= 0).sum(), (differences >= 0).sum())
    p_value = min(1.0, 2 * (rarer + 1) / (resamples + 1))
    return Interval(score.value - other.value, float(low), float(high)), float(p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number so that the chance of any false finding is bounded (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values, dtype=float)[order] * factors))
    return adjusted.tolist()


def smallest_difference(examples: int, discordant: float, power: float = 0.8, level: float = 0.05) -> float:
    """The smallest true difference of two accuracies that a McNemar test would probably have found.

    Args:
        examples: of the test set.
        discordant: share of the examples on which exactly one of the two is right.
        power: chance to find it.
        level: of the test, two-sided.

    Returns:
        The difference as a fraction, by the normal approximation of Miettinen (1968), unconditional form:
        ``n d^2 = (z_level sqrt(s) + z_power sqrt(s - d^2))^2`` with s the discordant share.
    """
    first, second = norm.isf(level / 2), norm.isf(1 - power)
    low, high = 0.0, discordant
    for _ in range(60):
        middle = (low + high) / 2
        needed = (first * discordant**0.5 + second * max(discordant - middle**2, 0.0) ** 0.5) ** 2
        low, high = (middle, high) if examples * middle**2 < needed else (low, middle)
    return high
