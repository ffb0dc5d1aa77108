from pathlib import Path

import numpy as np
import pytest

from knotwork.corpora.read import read_sonnets
from knotwork.prosody import measures
from knotwork.prosody.measures import has_ten_syllables, rhymes, syllables

SAMPLE = Path(__file__).parents[2] / "data/sample"
GIVEN = "One given line\nAnother given line\nA third"


def sonnet(*lines):
    return "\n".join([GIVEN, *lines])


@pytest.fixture(scope="module")
def sonnets():
    return [row.texts[0] for row in read_sonnets(SAMPLE / "sonnets.txt").rows]


@pytest.mark.parametrize(
    "line",
    [
        "Shall I compare thee to a summer's day?",
        "Rough winds do shake the darling buds of May,",
        "Thou art more lovely and more temperate:",
        "To be, or not to be, that is the question:",  # eleven, the last one weak
        "In winged speed no motion shall I know;",  # wing-ed
        "And often is his gold complexion dimmed;",
        "Th' expense of spirit in a waste of shame",  # th' is spoken with the next word
        "But flowers distilled, though they with winter meet,",  # flow'rs
        "Or heaven itself would for true kisses plead",  # heav'n
    ],
)
def test_lines_that_scan(line):
    assert has_ten_syllables(line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "1609",
        "Shall I compare thee?",
        "Shall I compare thee to a bright day?",  # nine
        "Then may I dare to boast how I do love thee;",  # eleven, the last one strong
        "The film is a charming and often affecting journey through time.",
    ],
)
def test_lines_that_do_not(line):
    assert not has_ten_syllables(line)


@pytest.mark.parametrize(
    "word, counts",
    [("day", {1}), ("fire", {1, 2}), ("being", {1, 2}), ("flattering", {2, 3}), ("heaven", {1, 2}),
     ("winged", {1, 2}), ("wanted", {2}), ("memory", {2, 3}), ("th'", {0}), ("zindle", {2}), ("area", {2, 3}),
     ("hmm", {0}), ("wingèd", {2})],
)  # fmt: skip
def test_syllables(word, counts):
    assert syllables(word) == counts


@pytest.mark.parametrize(
    "pair",
    [
        ("day", "may"),
        ("dimmed", "untrimmed"),
        ("pleasure", "treasure"),
        ("memory", "free"),  # stressed on its last syllable for the verse's sake
        ("content", "ornament"),
        ("love", "prove"),  # by spelling
        ("wind", "find"),  # one of two ways to say it
        ("zove", "grove"),
        ("'day'", "may"),
    ],
)
def test_rhymes(pair):
    assert rhymes(*pair)
    assert rhymes(*reversed(pair))


@pytest.mark.parametrize(
    "pair",
    [("day", "day"), ("day", "'day'"), ("day", "sun"), ("loving", "being"), ("winter", "better"),
     ("nature", "picture"), ("eye", "memory"), ("zove", "zindle"), ("th'", "day")],
)  # fmt: skip
def test_no_rhymes(pair):
    assert not rhymes(*pair)
    assert not rhymes(*reversed(pair))


def test_the_pairs_of_the_scheme():
    """ABAB CDCD EFEF GG has seven pairs; both lines of the first, 1 and 3, are given."""
    assert measures.PAIRS == [(1, 3), (4, 6), (5, 7), (8, 10), (9, 11), (12, 13)]


def test_scheme_by_hand():
    """Of the six pairs sun-won, light-night, tree-free and moon-soon rhyme."""
    ends = ["day", "sun", "may", "won", "light", "stone", "night", "bread"]
    ends += ["tree", "moon", "free", "soon", "cup", "hand"]
    text = "\n".join(f"a line that ends in {end}" for end in ends)
    wrong = "\n".join(f"a line that ends in {end}" for end in [*ends[:9], "moon", "cart", "star", "cup", "hand"])
    assert measures.rhyme_scheme([[text]]).value == pytest.approx(4 / 6)
    assert measures.rhyme_scheme([[wrong, text], [text, text]]).per_seed == pytest.approx([6 / 12, 8 / 12])


def test_missing_lines_rhyme_with_none():
    assert measures.rhyme_scheme([["a day\na sun\na may\nwe won"]]).value == pytest.approx(1 / 6)
    assert measures.rhyme_scheme([["a day\na sun\na may"]]).value == 0
    assert measures.rhyme_scheme([["a day\n...\na may\n---"]]).value == 0


def test_share_of_ten_syllables_is_of_lines():
    one = sonnet("Shall I compare thee to a summer's day?", "No.", "No.")
    two = sonnet("Thou art more lovely and more temperate:")
    assert measures.ten_syllables([[one, two], [two, two]]).per_seed == pytest.approx([2 / 4, 1])
    # The given lines do not count, and nothing at all is one line without syllables.
    assert measures.ten_syllables([["Shall I compare thee to a summer's day?\nb\nc"]]).value == 0


def test_distinct_by_hand():
    first, second = sonnet("the sun the Sun", "and moon"), sonnet("the sun")
    assert measures.distinct([first, second], 1) == pytest.approx(4 / 8)
    # the sun, sun the, the sun, sun and, and moon; the sun: spans reach over lines and not over sonnets
    assert measures.distinct([first, second], 2) == pytest.approx(4 / 6)
    assert measures.distinct([GIVEN], 1) == 0


def test_copied_words_by_hand():
    training = ["the cat sat on the mat\nand slept", "a dog ran"]
    copied = sonnet("we know the cat,", "sat on THE rug")
    none = sonnet("slept a while")  # the words stand in two sonnets
    score = measures.copied_words([[copied, none]], training)
    assert score.value == pytest.approx((5 + 1) / 2)
    assert measures.summary([[copied, none]], training)["longest_copy"] == 5
    assert measures.copied_words([[GIVEN]], training).value == 0


def test_a_part_of_a_word_is_no_copy():
    assert measures.copied_words([[sonnet("he at and")]], ["the cat sand"]).value == 0


def test_a_whole_copy_is_found(sonnets):
    """Of a training sonnet every word after the third line."""
    said = measures.words(measures.generated_lines(sonnets[4]))
    assert measures.copied_words([[sonnets[4]]], sonnets).value == len(said)


def test_true_sonnets_are_sonnets_and_others_are_not(sonnets):
    """Written by the rules: nearly all lines scan, nearly all pairs rhyme; with the lines shuffled none do."""
    true = measures.summary([sonnets], ["nothing"])
    assert true["ten_syllables"] > 0.95
    assert true["rhyme_scheme"] > 0.9
    rng = np.random.default_rng(0)
    shuffled = ["\n".join(rng.permutation(text.split("\n"))) for text in sonnets]
    assert measures.summary([shuffled], ["nothing"])["rhyme_scheme"] < 0.2
    cut = ["\n".join(line.rsplit(" ", 2)[0] for line in text.split("\n")) for text in sonnets]
    assert measures.summary([cut], ["nothing"])["ten_syllables"] < 0.1
