import subprocess
import sys

import pytest
from sacrebleu.metrics import CHRF
from sklearn.feature_extraction.text import TfidfVectorizer

from knotwork import baselines
from knotwork.corpora import Row


def rows(*examples):
    return [Row(str(i), texts, label) for i, (texts, label) in enumerate(examples)]


SUBJECTS = ["plot", "cast", "score", "script", "pace", "camera", "dialogue", "ending"]
PAIR_SUBJECTS = ["plants", "rivers", "taxes", "engines", "poems", "bridges", "lenses", "clouds"]


def opinions(subjects):
    return rows(
        *[((f"The {s} is {word} .",), label) for s in subjects for label, word in enumerate(["dull", "fine"])]
    )


def questions(step):
    """Pairs about the same subject (1) and about subjects ``step`` apart (0); the words alone cannot tell."""
    others = PAIR_SUBJECTS[step:] + PAIR_SUBJECTS[:step]
    return rows(
        *[((f"How do {s} work?", f"What do {s} need?"), 1) for s in PAIR_SUBJECTS],
        *[((f"How do {s} work?", f"What do {o} need?"), 0) for s, o in zip(PAIR_SUBJECTS, others, strict=True)],
    )


def sonnet(word):
    return "\n".join(f"{word} line {n}" for n in range(1, 15))


class TestLargestClass:
    def test_is_the_share_of_trains_largest_class_in_dev(self):
        assert baselines.largest_class([0, 1, 1, 2], [1, 0, 0, 1, 0]) == pytest.approx(0.4)

    def test_takes_the_smallest_label_in_a_tie(self):
        assert baselines.largest_class([2, 1, 2, 1], [1, 1, 1, 2]) == pytest.approx(0.75)

    def test_is_zero_when_dev_has_none_of_it(self):
        assert baselines.largest_class([1], [0, 0]) == 0.0


class TestTfidf:
    def test_learns_words_that_carry_over_to_other_rows(self):
        assert baselines.tfidf(opinions(SUBJECTS[:5]), opinions(SUBJECTS[5:])) == 1.0

    def test_learns_word_pairs(self):
        # Both words are in every text, only their order tells the classes apart.
        texts = [((f"{s} not bad but good",), 1) for s in SUBJECTS] + [
            ((f"{s} not good but bad",), 0) for s in SUBJECTS
        ]
        assert baselines.tfidf(rows(*texts[::2]), rows(*texts[1::2])) == 1.0

    def test_sees_one_letter_words(self):
        texts = [((f"{s} did n't work",), 0) for s in SUBJECTS] + [((f"{s} did work",), 1) for s in SUBJECTS]
        assert baselines.tfidf(rows(*texts[::2]), rows(*texts[1::2])) == 1.0

    def test_of_pairs_learns_what_two_texts_share(self):
        assert baselines.tfidf(questions(1), questions(3)) == 1.0

    def test_of_pairs_does_not_depend_on_the_order_of_the_texts(self):
        dev = [Row(row.id, row.texts[::-1], row.label) for row in questions(3)]
        assert baselines.tfidf(questions(1), dev) == 1.0

    def test_of_pairs_sees_differing_words_shared_words_and_the_cosine(self):
        texts = ["big red clouds", "deep cold rivers"]
        vectorizer = TfidfVectorizer().fit(texts)
        same, other = baselines._features(
            vectorizer, rows(((texts[0], texts[0]), 1), (tuple(texts), 0)), False
        ).toarray()
        weights, words = vectorizer.transform(texts).toarray(), len(vectorizer.vocabulary_)
        assert same == pytest.approx([*[0.0] * words, *weights[0], 1.0])
        assert other == pytest.approx([*weights.sum(axis=0), *[0.0] * words, 0.0])

    def test_of_one_class_is_the_largest_class(self):
        train, dev = opinions(SUBJECTS[:3])[1::2], opinions(SUBJECTS[3:])
        assert baselines.tfidf(train, dev) == 0.5


class TestRandomSonnet:
    def test_appends_the_training_sonnets_lines_to_the_given_ones(self):
        dev = [sonnet("star"), sonnet("rose")]
        result = baselines.random_sonnet([sonnet("wind")], dev, draws=3)
        drawn = sonnet("wind").split("\n")[3:]
        whole = ["\n".join(text.split("\n")[:3] + drawn) for text in dev]
        assert result["draws"] == 3
        for name, hypotheses, references in (
            ("whole", whole, dev),
            ("generated", ["\n".join(drawn)] * 2, ["\n".join(text.split("\n")[3:]) for text in dev]),
        ):
            expected = CHRF().corpus_score(hypotheses, [references]).score
            for end in ("", "_low", "_high"):
                assert result[f"random_sonnet_chrf_{name}{end}"] == pytest.approx(expected)

    def test_ranges_over_draws_that_differ(self):
        result = baselines.random_sonnet([sonnet("wind"), sonnet("star")], [sonnet("star")], draws=20)
        assert result["random_sonnet_chrf_generated_high"] == pytest.approx(100)
        assert (
            result["random_sonnet_chrf_generated_low"]
            < result["random_sonnet_chrf_generated"]
            < result["random_sonnet_chrf_generated_high"]
        )

    def test_is_decided_by_the_seed(self):
        train = [sonnet(word) for word in ("wind", "star", "rose", "night")]
        first = baselines.random_sonnet(train, train[:2], draws=5, seed=1)
        assert first == baselines.random_sonnet(train, train[:2], draws=5, seed=1)
        assert first != baselines.random_sonnet(train, train[:2], draws=5, seed=2)


class TestCopiedLines:
    def test_says_the_given_lines_over_and_over(self):
        (text,) = baselines.copied_lines([sonnet("star")])
        said = [f"star line {n}" for n in (1, 2, 3)]
        assert text.split("\n") == (said * 5)[:14]

    def test_is_as_long_as_the_true_sonnet(self):
        twelve = "\n".join(sonnet("star").split("\n")[:12])
        assert [text.count("\n") for text in baselines.copied_lines([twelve, sonnet("rose")])] == [11, 13]


def test_needs_neither_torch_nor_transformers():
    check = "import sys; import knotwork.baselines; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
