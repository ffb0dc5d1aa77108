import gzip
import hashlib

import pytest

from knotwork.prosody.pronunciation import (
    DICTIONARY,
    is_vowel,
    pronunciations,
    spelled_rhyme,
    spelled_syllables,
    words,
)


def said(word):
    return {" ".join(phones) for phones in pronunciations(word)}


def test_the_dictionary_is_the_one_its_card_names():
    found = hashlib.sha256(gzip.decompress(DICTIONARY.read_bytes())).hexdigest()
    assert found in (DICTIONARY.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "line, expected",
    [
        ("Feed'st thy light's flame, self-substantial", "feed'st thy light's flame self substantial"),
        ("Th’ expense -- of 'many' a (sight)!", "th' expense of 'many' a sight"),
        ("", ""),
        ("1609 ...", ""),
    ],
)  # fmt: skip
def test_words(line, expected):
    assert words(line) == expected.split()


def test_the_dictionarys_own_words_with_all_their_pronunciations():
    assert said("fire") == {"F AY1 ER0", "F AY1 R"}
    assert said("wind") == {"W AY1 N D", "W IH1 N D"}


@pytest.mark.parametrize(
    "word, expected",
    [
        ("o'er", "AO1 R"),
        ("th'", ""),
        ("murd'rous", "M ER1 D R AH0 S"),
        ("ev'ry", "EH1 V R IY0"),
        ("stol'n", "S T OW1 L N"),
        ("beauty's", "B Y UW1 T IY0 Z"),
        ("wretch's", "R EH1 CH IH0 Z"),
        ("viewest", "V Y UW1 IH0 S T"),
        ("buriest", "B EH1 R IY0 IH0 S T"),
        ("lov'st", "L AH1 V S T"),
        ("wouldst", "W UH1 D S T"),
        ("disdaineth", "D IH0 S D EY1 N IH0 TH"),
        ("tombed", "T UW1 M D"),
        ("unlooked", "AH0 N L UH1 K T"),
        ("thriftless", "TH R IH1 F T L AH0 S"),
        ("o'erworn", "AO2 R W AO1 R N"),
        ("sharp'st", "SH AA1 R P S T"),
    ],
)
def test_words_that_a_rule_derives(word, expected):
    assert expected in said(word)


def test_quotation_marks_around_a_word_do_not_matter():
    assert said("'many'") == said("many")
    assert said("'tis") == said("tis")


def test_a_word_that_no_rule_knows():
    assert pronunciations("zxqv") == ()


def test_vowels_carry_their_stress():
    assert [phone for phone in pronunciations("memory")[0] if is_vowel(phone)] == ["EH1", "ER0", "IY0"]


@pytest.mark.parametrize(
    "word, count",
    [("zove", 1), ("glouse", 1), ("zindle", 2), ("brolded", 2), ("brolked", 1), ("foison", 2), ("blexes", 1),
     ("twire", 1), ("orbless", 2), ("grovely", 2), ("zxqv", 1), ("o'erblow", 2), ("brolkèd", 2), ("élan", 2)],
)  # fmt: skip
def test_syllables_by_spelling(word, count):
    assert spelled_syllables(word) == count


@pytest.mark.parametrize(
    "word, ending", [("love", "ove"), ("twire", "ire"), ("foison", "on"), ("zxqv", "zxqv"), ("day", "ay")]
)
def test_rhyme_by_spelling(word, ending):
    assert spelled_rhyme(word) == ending
