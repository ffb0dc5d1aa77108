import json
import tracemalloc
from itertools import product

import numpy as np
import pytest
from sacrebleu.metrics import CHRF
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score

from knotwork import statistics

GOLD = np.array([0, 0, 1, 1, 2, 2, 2, 0, 1, 2] * 30)
TEXTS = ["When forty winters shall besiege thy brow,", "Thy youth's proud livery", "so gazed on now,", "a"]
OTHERS = [
    ["When forty summers shall besiege my brow,", "Thy old proud livery,", "on now so gazed", "a"],
    ["", "Completely different words", "so gazed on now,", "b"],
]


def noisy(seeds, share=0.3, classes=3):
    rng = np.random.default_rng(seeds)
    wrong = rng.random((seeds, len(GOLD))) < share
    return (GOLD + wrong * rng.integers(1, classes, size=wrong.shape)) % classes


def replay(columns, resamples, seed):
    """The bootstrap written as a loop that copies rows, with random numbers of its own."""
    rng = np.random.default_rng(seed)
    return np.array([columns[rng.integers(len(columns), size=len(columns))].sum(axis=0) for _ in range(resamples)])


class TestValues:
    def test_mean_is_the_mean_over_seeds_and_examples(self):
        predictions = noisy(3)
        score = statistics.mean(predictions == GOLD)
        assert score.per_seed == pytest.approx([accuracy_score(GOLD, row) for row in predictions])
        assert score.value == pytest.approx((predictions == GOLD).mean())

    def test_share_pools_the_chances_of_all_texts(self):
        score = statistics.share([[1, 3], [0, 2]], [[1, 4], [2, 2]])
        assert score.per_seed == pytest.approx([4 / 5, 2 / 4])

    def test_macro_f1_is_scikit_learns(self):
        predictions = noisy(3)
        expected = [f1_score(GOLD, row, average="macro") for row in predictions]
        score = statistics.macro_f1(GOLD, predictions)
        assert score.per_seed == pytest.approx(expected)
        assert score.value == pytest.approx(np.mean(expected))

    @pytest.mark.parametrize("gold, predictions", [([0, 0, 3], [0, 3, 3]), ([1, 1], [1, 1]), ([0, 1], [2, 2])])
    def test_macro_f1_averages_over_the_classes_that_occur(self, gold, predictions):
        score = statistics.macro_f1(gold, predictions)
        assert score.value == pytest.approx(f1_score(gold, predictions, average="macro"))

    def test_perplexity_weighs_texts_by_tokens(self):
        score = statistics.perplexity([[10.0, 2.0], [20.0, 4.0]], [5, 1])
        assert score.per_seed == pytest.approx(np.exp([2.0, 4.0]))
        assert score.value == pytest.approx(np.exp([2.0, 4.0]).mean())

    def test_perplexity_of_a_uniform_model_is_its_vocabulary(self):
        tokens = np.array([3, 8, 1])
        assert statistics.perplexity(tokens * np.log(50), tokens).interval() == pytest.approx((50, 50, 50))

    def test_chrf_is_sacrebleus_with_its_signature(self):
        metric = CHRF()
        expected = [metric.corpus_score(texts, [TEXTS]).score for texts in OTHERS]
        score = statistics.chrf(OTHERS, TEXTS)
        assert score.per_seed == pytest.approx(expected)
        assert score.signature == str(metric.get_signature())
        assert "nc:6|nw:0|space:no" in score.signature

    def test_chrf_of_every_resample_is_sacrebleus(self):
        score = statistics.chrf(OTHERS[:1], TEXTS)
        for chosen in product(range(len(TEXTS)), repeat=3):
            resample = score.formula(score.summands[0, chosen, :].sum(axis=0))
            hypotheses, references = [OTHERS[0][i] for i in chosen], [TEXTS[i] for i in chosen]
            assert resample == pytest.approx(CHRF().corpus_score(hypotheses, [references]).score)

    def test_chrf_of_nothing_in_common_is_zero_and_of_the_same_is_a_hundred(self):
        assert statistics.chrf([["xyz"], ["abc"], [""]], ["abc"]).per_seed == pytest.approx([0, 100, 0])


class TestInterval:
    def test_of_an_accuracy_is_the_binomial_one(self):
        hits = np.arange(4000) % 4 != 0
        value, low, high = statistics.mean(hits).interval()
        half = stats.norm.ppf(0.975) * np.sqrt(0.75 * 0.25 / 4000)
        assert value == 0.75
        assert (low, high) == pytest.approx((0.75 - half, 0.75 + half), abs=half / 20)

    def test_of_a_mean_agrees_with_scipy(self):
        values = np.random.default_rng(1).gamma(1.0, size=300)
        theirs = stats.bootstrap((values,), np.mean, method="percentile", rng=0).confidence_interval
        ours = statistics.mean(values).interval()
        assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.02 * (theirs.high - theirs.low))

    def test_of_macro_f1_agrees_with_scipy(self):
        predictions = noisy(1)[0]
        theirs = stats.bootstrap(
            (GOLD, predictions),
            lambda gold, predicted: f1_score(gold, predicted, average="macro"),
            paired=True,
            vectorized=False,
            n_resamples=1000,
            method="percentile",
            rng=0,
        ).confidence_interval
        ours = statistics.macro_f1(GOLD, predictions).interval()
        assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.1 * (theirs.high - theirs.low))

    def test_of_perplexity_agrees_with_a_plain_loop(self):
        rng = np.random.default_rng(2)
        tokens = rng.integers(20, 200, size=60)
        nll = tokens * rng.normal(3.0, 0.4, size=60)
        sums = replay(np.stack([nll, tokens], axis=1), 4000, seed=3)
        low, high = np.quantile(np.exp(sums[:, 0] / sums[:, 1]), [0.025, 0.975])
        ours = statistics.perplexity(nll, tokens).interval()
        assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.05 * (high - low))

    def test_drawing_patterns_and_drawing_examples_have_one_distribution(self, monkeypatch):
        score = statistics.macro_f1(GOLD, noisy(1))
        patterns = score.interval()
        monkeypatch.setattr(statistics, "_BINOMIAL_COST", len(GOLD))
        examples = score.interval()
        assert patterns != examples  # the other branch ran
        assert patterns == pytest.approx(examples, abs=0.05 * (patterns.high - patterns.low))

    def test_seeds_share_the_drawn_examples(self):
        one, four = noisy(1) == GOLD, np.repeat(noisy(1) == GOLD, 4, axis=0)
        first, second = statistics.mean(one).interval(), statistics.mean(four).interval()
        assert second == pytest.approx(first, abs=0.05 * (first.high - first.low))

    def test_seeds_that_differ_widen_it_by_their_variance(self):
        rng = np.random.default_rng(4)
        effects = np.array([-0.2, 0.0, 0.1, 0.3, -0.1])
        values = rng.normal(size=1000) + effects[:, None]
        variance = values.mean(axis=0).var() / 1000 + effects.var() / 5
        _, low, high = statistics.mean(values).interval()
        assert high - low == pytest.approx(2 * stats.norm.ppf(0.975) * np.sqrt(variance), rel=0.06)

    def test_of_clusters_is_that_of_their_sums(self):
        """Four rows that always agree are worth one."""
        hits = np.random.default_rng(0).random(80) < 0.3
        names = [f"c{index}" for index in range(80) for _ in range(4)]
        four = statistics.mean(np.repeat(hits, 4)).clustered(names)
        assert four.interval() == pytest.approx(statistics.mean(hits).interval())
        assert statistics.mean(hits).clustered(None).interval() == statistics.mean(hits).interval()
        with pytest.raises(ValueError, match="2 names of clusters for 80 examples"):
            statistics.mean(hits).clustered(["a", "b"])

    def test_covers_the_truth_as_often_as_it_says(self):
        rng = np.random.default_rng(5)
        intervals = [statistics.mean(rng.random(400) < 0.6).interval(resamples=500) for _ in range(300)]
        covered = np.mean([low <= 0.6 <= high for _, low, high in intervals])
        assert 0.91 <= covered <= 0.98

    def test_is_decided_by_the_seed(self):
        score = statistics.mean(np.random.default_rng(6).random((3, 50)))
        assert score.interval(seed=1) == score.interval(seed=1)
        assert score.interval(seed=1) != score.interval(seed=2)

    def test_level_sets_the_width(self):
        score = statistics.mean(noisy(1) == GOLD)
        assert score.interval(level=0.5).high < score.interval(level=0.95).high

    def test_of_one_example_has_no_width(self):
        assert statistics.mean([0.25]).interval() == pytest.approx((0.25, 0.25, 0.25))

    def test_is_plain_numbers(self):
        assert json.loads(json.dumps(statistics.mean([1, 0, 1]).interval()))[0] == pytest.approx(2 / 3)

    def test_needs_little_memory(self):
        score = statistics.mean(np.random.default_rng(7).random((3, 40_000)))
        tracemalloc.start()
        score.interval(resamples=100)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 32 * 2**20  # one count per resample and example would be 32 MB for these 100 alone


class TestStandardDeviation:
    def test_over_seeds_divides_by_one_less(self):
        assert statistics.standard_deviation([0.5, 0.6, 0.7]) == pytest.approx(0.1)
        assert statistics.mean([[0, 1], [1, 1]]).standard_deviation == pytest.approx(np.std([0.5, 1], ddof=1))

    def test_of_one_seed_is_zero(self):
        assert statistics.standard_deviation([0.5]) == 0.0
        assert statistics.mean([0, 1]).standard_deviation == 0.0


class TestBadInput:
    @pytest.mark.parametrize(
        "score",
        [
            lambda: statistics.mean([]),
            lambda: statistics.mean([[0.1, np.nan]]),
            lambda: statistics.mean(np.zeros((2, 2, 2))),
            lambda: statistics.macro_f1([], []),
            lambda: statistics.macro_f1([0, 1], [[0, 1, 1]]),
            lambda: statistics.macro_f1([0], [[0, 1, 1]]),
            lambda: statistics.macro_f1([0, -1], [0, 1]),
            lambda: statistics.share([[1, 0]], [[2, 0]]),
            lambda: statistics.share([[1, 0]], [[2]]),
            lambda: statistics.perplexity([1.0, 2.0], [3, 0]),
            lambda: statistics.perplexity([1.0, 2.0], [3]),
            lambda: statistics.chrf([["a"]], ["a", "b"]),
            lambda: statistics.chrf([[]], []),
            lambda: statistics.chrf([], ["a"]),
            lambda: statistics.reliability([[0.5, 0.5]], [0, 1]),
        ],
    )
    def test_is_refused(self, score):
        with pytest.raises(ValueError):
            score()


class TestCalibration:
    # Confidences 0.6 (right), 0.6 (wrong), 0.9 (right), 0.95 (right), 1.0 (wrong)
    PROBABILITIES = np.array([[0.6, 0.4], [0.4, 0.6], [0.9, 0.1], [0.05, 0.95], [1.0, 0.0]])
    LABELS = np.array([0, 0, 0, 1, 1])

    def test_error_by_hand(self):
        # Ten bins: (0.5, 0.6] |0.5 - 0.6| x 2, (0.8, 0.9] |1 - 0.9| x 1, (0.9, 1] |0.5 - 0.975| x 2
        expected = (2 * 0.1 + 1 * 0.1 + 2 * 0.475) / 5
        error = statistics.expected_calibration_error(self.PROBABILITIES, self.LABELS, bins=10)
        assert error == pytest.approx(expected)

    def test_error_has_fifteen_bins(self):
        # (8/15, 9/15] holds 0.6; (13/15, 14/15] holds 0.9; (14/15, 1] the two others: the same bins
        error = statistics.expected_calibration_error(self.PROBABILITIES, self.LABELS)
        assert error == pytest.approx((2 * 0.1 + 1 * 0.1 + 2 * 0.475) / 5)
        # 0.64 lies with 0.6 in one of ten bins, but not in one of fifteen
        split = statistics.expected_calibration_error([[0.61, 0.39], [0.31, 0.69]], [0, 0])
        assert split == pytest.approx((0.39 + 0.69) / 2)

    def test_a_calibrated_model_has_none_and_a_sure_and_wrong_one_all(self):
        assert statistics.expected_calibration_error([[0.75, 0.25]] * 4, [0, 0, 0, 1]) == pytest.approx(0)
        assert statistics.expected_calibration_error([[1.0, 0.0]] * 4, [1, 1, 1, 1]) == pytest.approx(1)

    def test_reliability_lists_the_bins_that_hold_examples(self):
        bins = statistics.reliability(self.PROBABILITIES, self.LABELS)
        assert [(bin_["low"], bin_["high"], bin_["count"]) for bin_ in bins] == [
            (pytest.approx(0.5), pytest.approx(0.6), 2),
            (pytest.approx(0.8), pytest.approx(0.9), 1),
            (pytest.approx(0.9), pytest.approx(1.0), 2),
        ]
        assert [bin_["accuracy"] for bin_ in bins] == pytest.approx([0.5, 1.0, 0.5])
        assert [bin_["confidence"] for bin_ in bins] == pytest.approx([0.6, 0.9, 0.975])
        assert json.loads(json.dumps(bins)) == bins

    def test_rounding_above_one_stays_in_the_last_bin(self):
        (only,) = statistics.reliability([[1.000001, 0.0]], [0])
        assert only["high"] == 1.0


class TestGeneratedLines:
    def test_are_those_after_the_third(self):
        assert statistics.generated_lines("a\nb\nc\nd\n\ne") == "d\n\ne"

    def test_are_none_when_nothing_was_written(self):
        assert statistics.generated_lines("a\nb\nc") == ""
