import numpy as np
import pytest
from scipy import stats

from knotwork.significance import exact_mcnemar, holm, paired_difference, smallest_difference
from knotwork.statistics import chrf, mean


def table(both, first, second, neither):
    """Hits of two classifiers with these counts."""
    counts = [both, first, second, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize("first, second", [(10, 2), (2, 10), (5, 5), (1, 0), (40, 20)])
def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs(first, second):
    expected = min(1.0, 2 * stats.binom.cdf(min(first, second), first + second, 0.5))
    assert exact_mcnemar(*table(30, first, second, 7)) == pytest.approx(expected)


def test_mcnemar_on_a_published_table():
    """Agresti, Categorical Data Analysis, table 11.1: 86 and 150 discordant; z = -4.17, so p is about 3.5e-5."""
    assert exact_mcnemar(*table(794, 150, 86, 570)) == pytest.approx(3.5e-5, rel=0.1)


def test_mcnemar_without_a_difference():
    assert exact_mcnemar([True, False], [True, False]) == 1.0


def test_different_examples_cannot_be_paired():
    with pytest.raises(ValueError, match="examples against"):
        exact_mcnemar([True], [True, False])
    with pytest.raises(ValueError, match="1 examples against 2"):
        paired_difference(mean([1.0]), mean([1.0, 0.0]))


def test_holm_on_a_worked_example():
    """Holm 1979's procedure by hand: 3 x 0.01, 2 x 0.02, and never below the one before."""
    assert holm([0.02, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_pairing_narrows_the_interval():
    """Two runs that are right on nearly the same examples: the difference is known better than either score."""
    rng = np.random.default_rng(0)
    first = (rng.random(500) < 0.6).astype(float)
    second = first.copy()
    second[:25] = 1 - second[:25]
    interval, _ = paired_difference(mean(first), mean(second), resamples=2000)
    alone = mean(first).interval(2000)
    assert interval.value == pytest.approx(first.mean() - second.mean())
    assert interval.high - interval.low < 0.5 * (alone.high - alone.low)


def test_interval_of_a_difference_agrees_with_the_t_test():
    rng = np.random.default_rng(1)
    first, second = rng.normal(0.3, 1, 400), rng.normal(0, 1, 400)
    interval, p_value = paired_difference(mean(first), mean(second), resamples=4000)
    expected = stats.ttest_rel(first, second).confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=0.02)
    assert p_value < 0.01


def test_p_value_is_uniform_where_there_is_no_difference():
    rng = np.random.default_rng(2)
    values = [
        paired_difference(mean(rng.normal(0, 1, 60)), mean(rng.normal(0, 1, 60)), resamples=300, seed=trial)[1]
        for trial in range(200)
    ]
    assert 0.02 <= np.mean(np.array(values) < 0.1) <= 0.2
    assert min(values) > 0


def test_difference_of_chrf_with_several_seeds():
    truth = ["the cat sat on the mat", "a dog ran in the park", "birds sing in the morning"]
    good, bad = [truth, truth], [["cats", "dogs", "birds"]]
    interval, p_value = paired_difference(chrf(good, truth), chrf(bad, truth), resamples=200)
    assert interval.low > 0
    assert p_value < 0.05


@pytest.mark.parametrize("examples, discordant", [(1101, 0.2), (245, 0.1), (3000, 0.15)])
def test_smallest_difference_is_found_with_the_power_asked_for(examples, discordant):
    """By simulation: a true difference of that size is significant in about 80 % of the test sets."""
    difference = smallest_difference(examples, discordant)
    rng = np.random.default_rng(3)
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    draws = rng.multinomial(examples, shares, size=1500)
    found = [stats.binomtest(int(a), int(a + b)).pvalue < 0.05 for a, b, _ in draws]
    assert 0.72 <= np.mean(found) <= 0.85


def test_more_examples_show_smaller_differences():
    assert smallest_difference(4000, 0.2) < smallest_difference(1000, 0.2) < smallest_difference(100, 0.2)
