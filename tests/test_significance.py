import numpy as np
import pytest
from sacrebleu.metrics import CHRF
from sacrebleu.significance import PairedTest
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
    """Agresti (1990), p. 350, approval of a president: exact p as statsmodels 0.15 has it (chi squared: 3.1e-5)."""
    assert exact_mcnemar(*table(794, 150, 86, 570)) == pytest.approx(3.7159361395713866e-05)


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


def test_holm_is_statsmodels():
    """``multipletests(..., method="holm")`` of statsmodels 0.15."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    p_values = [0.02, 0.01, 0.03, 0.5, 0.0004, 0.03]
    assert holm(p_values) == pytest.approx([0.08, 0.05, 0.09, 0.5, 0.0024, 0.09])


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


@pytest.fixture(scope="module")
def two_systems():
    """Two systems that change words of 80 true texts; the second one changes a few more."""
    rng = np.random.default_rng(11)
    words = ["sun", "moon", "star", "light", "night", "love", "time", "heart", "eye", "fair", "rose", "death"]
    truth = [" ".join(rng.choice(words, 12)) for _ in range(80)]

    def changed(share):
        return [" ".join(w if rng.random() > share else rng.choice(words) for w in t.split()) for t in truth]

    return truth, changed(0.40), changed(0.44)


def test_difference_of_chrf_is_sacrebleus(two_systems):
    """The interval that sacrebleu's own resamples give, and the p-values of both of its tests.

    Its approximate randomisation is two-sided; its paired bootstrap compares absolute differences, which counts
    resamples on one side alone where the difference is clear, so it gives about half of a two-sided p-value.
    """
    truth, first, second = two_systems
    interval, p_value = paired_difference(chrf([first], truth), chrf([second], truth))
    systems, metric = [("first", first), ("second", second)], CHRF(references=[truth])
    theirs = {}
    for kind, samples in (("bs", 4000), ("ar", 10_000)):
        _, scores = PairedTest(systems, {"chrF": CHRF()}, [truth], test_type=kind, n_samples=samples)()
        baseline, other = scores["chrF2"]
        theirs[kind] = other.p_value
        assert interval.value == pytest.approx(baseline.score - other.score)
    assert p_value == pytest.approx(theirs["ar"], abs=0.03)
    assert p_value == pytest.approx(2 * theirs["bs"], abs=0.03)
    counts = [np.array(metric._extract_corpus_statistics(texts, None)) for texts in (first, second)]
    drawn = np.random.default_rng(12345).choice(80, size=(2000, 80))
    ours, others = ([metric._compute_score_from_stats(c[d].sum(0)).score for d in drawn] for c in counts)
    low, high = np.quantile(np.subtract(ours, others), [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.08 * (high - low))


def test_smallest_difference_of_a_published_sample_size():
    """Chow, Shao and Wang (2003), example 6.4.3: 20 % against 50 % discordant takes 59 pairs for 80 % power."""
    assert smallest_difference(59, 0.7) < 0.3 < smallest_difference(58, 0.7)


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
