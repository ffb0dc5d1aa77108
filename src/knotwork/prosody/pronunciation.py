"""How English words sound, for counting syllables and hearing rhymes.

The CMU Pronouncing Dictionary (see ``cmudict/README.md``) has most words of Shakespeare's sonnets. What it lacks
is derived from a word that it has: elisions ("o'er", "murd'rous"), possessives, the old endings of the verb
("viewest", "lov'st", "disdaineth"), common suffixes and prefixes. A word for which this fails too has no
pronunciation, and callers go by its spelling.
"""

import gzip
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["Phones", "is_vowel", "pronunciations", "spelled_rhyme", "spelled_syllables", "words"]

Phones = tuple[str, ...]
"""ARPAbet symbols; those of vowels end in their stress: 1 primary, 2 secondary, 0 none."""

DICTIONARY = Path(__file__).parent / "cmudict/cmudict.dict.gz"

# Words that no rule finds.
_OLD = {
    "o'er": "AO1 R",
    "e'er": "EH1 R",
    "ne'er": "N EH1 R",
    "whate'er": "W AH0 T EH1 R",
    "where'er": "W EH0 R EH1 R",
    "whe'er": "W EH1 R",
    "e'en": "IY1 N",
    "ta'en": "T EY1 N",
    "th": "",  # th' art: spoken with the next word
    "t": "",
    "gainst": "G EH1 N S T",
    "twixt": "T W IH1 K S T",
    "nought": "N AO1 T",
    "mayst": "M EY1 S T",
    "methinks": "M IY0 TH IH1 NG K S",
    "alack": "AH0 L AE1 K",
    "beauteous": "B Y UW1 T IY0 AH0 S",
}

_VOICELESS = {"P", "T", "K", "F", "TH", "S", "SH", "CH"}
_SIBILANTS = {"S", "Z", "SH", "ZH", "CH", "JH"}

# Longest first. An ending that begins with a vowel may have cost its stem a final e ("use", "usest") or turned a
# final y into i ("bury", "buriest"), or doubled its consonant ("sad", "sadder").
_SUFFIXES = {
    "ingly": "IH0 NG L IY0",
    "iness": "IY0 N AH0 S",
    "ness": "N AH0 S",
    "less": "L AH0 S",
    "ment": "M AH0 N T",
    "ful": "F AH0 L",
    "ing": "IH0 NG",
    "est": "IH0 S T",
    "eth": "IH0 TH",
    "ish": "IH0 SH",
    "'st": "S T",
    "'d": "D",
    "ed": "D",
    "es": "Z",
    "er": "ER0",
    "or": "ER0",
    "ly": "L IY0",
    "'s": "Z",
    "st": "S T",
    "s": "Z",
    "y": "IY0",
}
_PREFIXES = {
    "o'er": "AO2 R",
    "over": "OW2 V ER0",
    "under": "AH2 N D ER0",
    "fore": "F AO2 R",
    "out": "AW2 T",
    "dis": "D IH0 S",
    "mis": "M IH0 S",
    "un": "AH0 N",
    "be": "B IH0",
    "en": "IH0 N",
    "in": "IH0 N",
    "re": "R IY0",
    "up": "AH2 P",
}


def words(line: str) -> list[str]:
    """The words of a line in lower case, inner and outer apostrophes kept; hyphens part words.

    An apostrophe before or after a word may be a quotation mark: :func:`pronunciations` tries without it.
    """
    line = line.casefold().replace("’", "'").replace("‘", "'")
    return re.findall(r"'?[^\W\d_]+(?:'[^\W\d_]+)*'?", line)


@cache
def pronunciations(word: str) -> tuple[Phones, ...]:
    """Every known way to say a word (in lower case); none where neither dictionary nor rule knows it."""
    for form in (word, word.strip("'")):
        if form in _OLD:
            return (tuple(_OLD[form].split()),)
        if form in _dictionary():
            return tuple(tuple(phones.split()) for phones in _dictionary()[form])
    return tuple(dict.fromkeys(_derived(word.strip("'"))))


def is_vowel(phone: str) -> bool:
    """Whether a phone is a vowel, the core of a syllable."""
    return phone[-1].isdigit()


def spelled_syllables(word: str) -> int:
    """Syllables by spelling: groups of vowel letters, without a silent e; that of "wingèd" is not silent."""
    letters = re.sub(r"[^a-z]", "", unicodedata.normalize("NFKD", word))
    if not unicodedata.normalize("NFC", word).endswith(("èd", "éd")):
        letters = re.sub(r"(?<=[^aeiouylw])e(?=(s|ly|ness|less|ful)?$)|(?<=[^aeioutd])e(?=d$)", "", letters)
    return max(1, len(re.findall(r"[aeiouy]+", letters)))


def spelled_rhyme(word: str) -> str:
    """What a word ends in by its spelling: the last group of vowel letters and all after it, with a silent e."""
    letters = re.sub(r"[^a-z]", "", word)
    found = re.search(r"[aeiouy]+[^aeiouy]*(?:(?<=[^aeiouy])e)?$", letters)
    return found[0] if found else letters


def _derived(word: str) -> Iterator[Phones]:
    """The pronunciations that rules give a word that the dictionary lacks, of the first rule that fits."""
    if re.search(r"[^\W\d_]'[^\W\d_]", word) and not word.endswith(("'s", "'st", "'d")):
        # A dropped letter: the written-out word without its first weak vowel (murd'rous, ev'ry, stol'n).
        for letter in "eiao":
            if whole := pronunciations(word.replace("'", letter)):
                yield from map(_without_weak_vowel, whole)
                return
    for suffix, ending in _SUFFIXES.items():
        if word.endswith(suffix):
            for stem in _stems(word.removesuffix(suffix), suffix):
                if found := pronunciations(stem):
                    for phones in found:
                        yield (*phones, *_ending(phones, suffix, ending.split()))
                    return
    for prefix, beginning in _PREFIXES.items():
        rest = word.removeprefix(prefix)
        if rest != word and len(rest) > 2 and (found := pronunciations(rest)):
            for phones in found:
                yield (*beginning.split(), *phones)
            return


def _stems(stem: str, suffix: str) -> list[str]:
    """Words that may have had this suffix."""
    if len(stem) < 2:
        return []
    stems = [stem[:-1] + "y"] if stem.endswith("i") else []
    stems += [stem + "e", stem] if suffix[0] in "aeiouy'" else [stem]
    if len(stem) > 3 and stem[-1] == stem[-2]:
        stems.append(stem[:-1])
    return stems


def _ending(stem: Phones, suffix: str, ending: list[str]) -> list[str]:
    """A suffix as it sounds after a stem: -s and -d take its voice, and a vowel where they need one."""
    last = stem[-1] if stem else ""
    if suffix in ("s", "es", "'s"):
        return ["IH0", "Z"] if last in _SIBILANTS else ["S" if last in _VOICELESS else "Z"]
    if suffix in ("ed", "'d"):
        return ["IH0", "D"] if last in ("T", "D") else ["T" if last in _VOICELESS else "D"]
    return ending


def _without_weak_vowel(phones: Phones) -> Phones:
    """Phones without their first unstressed vowel; of ER the R stays."""
    place = next((index for index, phone in enumerate(phones) if phone.endswith("0")), None)
    if place is None:
        return phones
    return phones[:place] + (("R",) if phones[place] == "ER0" else ()) + phones[place + 1 :]


@cache
def _dictionary() -> dict[str, list[str]]:
    """Each word's pronunciations as text: splitting all of them takes a second."""
    entries: dict[str, list[str]] = defaultdict(list)
    with gzip.open(DICTIONARY, "rt", encoding="utf-8") as lines:
        for line in lines:
            word, _, phones = line.partition(" ")
            entries[word.partition("(")[0]].append(phones.partition("#")[0])
    return entries
