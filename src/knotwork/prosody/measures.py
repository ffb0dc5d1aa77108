"""How far a text is a Shakespearean sonnet: metre, rhyme scheme, variety, and what it copies.

Only the lines after the given ones are measured, since the given ones are right by construction. Texts are
seeds x sonnets, whole, lines parted by line feeds.
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import combinations, pairwise

import numpy as np

from knotwork.prosody.pronunciation import (
    Phones,
    is_vowel,
    pronunciations,
    spelled_rhyme,
    spelled_syllables,
    words,
)
from knotwork.statistics import GIVEN_LINES, CorpusScore, generated_lines, mean, share

SYLLABLES = 10
SCHEME = "ABABCDCDEFEFGG"
PAIRS = [
    (first, second)
    for first, second in combinations(range(len(SCHEME)), 2)
    if SCHEME[first] == SCHEME[second] and second >= GIVEN_LINES
]
"""Lines that should rhyme, counted from 0, of which at least one is generated."""

Texts = Sequence[Sequence[str]]


def ten_syllables(texts: Texts) -> CorpusScore:
    """Share of the generated lines that pass :func:`has_ten_syllables`, over all sonnets."""
    lines = [[generated_lines(text).split("\n") for text in of_seed] for of_seed in texts]
    hits = [[sum(map(has_ten_syllables, of_text)) for of_text in of_seed] for of_seed in lines]
    return share(hits, [[len(of_text) for of_text in of_seed] for of_seed in lines])


def rhyme_scheme(texts: Texts) -> CorpusScore:
    """Share of the :data:`PAIRS` of lines that rhyme; a line that is missing rhymes with none."""
    hits = [[_rhyming_pairs(text) for text in of_seed] for of_seed in texts]
    return share(hits, np.full(np.shape(hits), len(PAIRS)))


def copied_words(texts: Texts, training: Sequence[str]) -> CorpusScore:
    """Words of the longest span that the generated lines share with a training sonnet, mean over sonnets."""
    corpus = _joined(tuple(training))
    return mean([[_longest_span(generated_lines(text), corpus) for text in of_seed] for of_seed in texts])


def distinct(sonnets: Sequence[str], n: int) -> float:
    """Distinct word n-grams of the generated lines of all sonnets over their number (Li et al. 2016); 0 if none."""
    grams = []
    for sonnet in sonnets:
        said = words(generated_lines(sonnet))
        grams += zip(*(said[start:] for start in range(n)), strict=False)
    return len(set(grams)) / len(grams) if grams else 0.0


def summary(texts: Texts, training: Sequence[str]) -> dict[str, float]:
    """All measures as plain values, means over seeds; and ``longest_copy``, the longest copied span of all."""
    copied = copied_words(texts, training)
    return {
        "ten_syllables": ten_syllables(texts).value,
        "rhyme_scheme": rhyme_scheme(texts).value,
        **{f"distinct_{n}": float(np.mean([distinct(of_seed, n) for of_seed in texts])) for n in (1, 2, 3)},
        "copied_words": copied.value,
        "longest_copy": int(copied.summands[..., 0].max()),
    }


def has_ten_syllables(line: str) -> bool:
    """Whether a line can be read with ten syllables, or with eleven of which the last is weak.

    A word may be read in any way that :func:`syllables` allows. So much freedom lets nearly all lines of true
    sonnets pass, and prose of similar length far less often: read the figure beside that of the true sonnets.
    """
    said = words(line)
    totals = {0}
    for word in said:
        totals = {total + count for total in totals for count in syllables(word)}
    if SYLLABLES in totals:
        return True
    return SYLLABLES + 1 in totals and any(
        not _stressed(phones, vowels[-1]) for phones, vowels in _spoken(said[-1])
    )


@cache
def syllables(word: str) -> frozenset[int]:
    """How many syllables a word (in lower case) can have.

    Beside the dictionary's readings three licences of old verse: an unstressed vowel may merge with a vowel before
    it or a weak -er- with a vowel after it ("glorious", "flattering"), -ven may lose its vowel ("heaven"), and a
    silent -ed may be sounded ("winged"). A word without a pronunciation is counted by its spelling.
    """
    if not pronunciations(word):
        return frozenset({spelled_syllables(word)})
    spoken = _spoken(word)
    counts = {0} if len(spoken) < len(pronunciations(word)) else set()  # "th'", "hmm"
    for phones, vowels in spoken:
        counts.add(len(vowels))
        if any(_may_merge(phones, *pair) for pair in pairwise(vowels)):
            counts.add(len(vowels) - 1)
        if word.endswith("ed") and vowels[-1] < len(phones) - 2:
            counts.add(len(vowels) + 1)
    return frozenset(counts)


def rhymes(first: str, second: str) -> bool:
    """Whether two different words rhyme.

    By sound: everything from the last stressed vowel on is the same, where a word that ends in two unstressed
    syllables may also be stressed on its last ("memory" and "free"). By spelling: the last group of vowel letters
    and all after it is the same ("love" and "prove", which rhymed once), if both words can be stressed on their
    last syllable or the sound is not known.
    """
    first, second = first.strip("'"), second.strip("'")
    if first == second:
        return False
    if _rhyming_parts(first) & _rhyming_parts(second):
        return True
    return _ends_strongly(first) and _ends_strongly(second) and spelled_rhyme(first) == spelled_rhyme(second)


def _rhyming_pairs(text: str) -> int:
    ends = [words(line)[-1:] for line in text.split("\n")]
    return sum(
        second < len(ends) and bool(ends[first] and ends[second]) and rhymes(ends[first][0], ends[second][0])
        for first, second in PAIRS
    )


def _spoken(word: str) -> list[tuple[Phones, list[int]]]:
    """A word's pronunciations that have a vowel, with the places of their vowels."""
    found = [(phones, [i for i, phone in enumerate(phones) if is_vowel(phone)]) for phones in pronunciations(word)]
    return [(phones, vowels) for phones, vowels in found if vowels]


def _stressed(phones: Phones, vowel: int) -> bool:
    return not phones[vowel].endswith("0")


def _may_merge(phones: Phones, first: int, second: int) -> bool:
    """Whether two neighbouring vowels, given by their places, may be one syllable."""
    if second == first + 1:
        return phones[first] == "ER0" or not _stressed(phones, second)
    return phones[first + 1 : second] == ("V",) and phones[second : second + 2] in (("AH0", "N"), ("IH0", "N"))


def _last_stressed(phones: Phones, vowels: list[int]) -> int:
    """Which of the vowels, counted from the end, is the last stressed one: 1 for the last, also without any."""
    strong = (back for back in range(1, len(vowels) + 1) if _stressed(phones, vowels[-back]))
    return next(strong, 1)


@cache
def _rhyming_parts(word: str) -> frozenset[Phones]:
    """What a rhyme has to share, without stress, for each way to say the word."""
    parts = set()
    for phones, vowels in _spoken(word):
        back = _last_stressed(phones, vowels)
        for place in {back, 1} if back > 2 else {back}:
            parts.add(tuple(phone.rstrip("012") for phone in phones[vowels[-place] :]))
    return frozenset(parts)


@cache
def _ends_strongly(word: str) -> bool:
    """Whether a word can be stressed on its last syllable, as far as one knows."""
    spoken = _spoken(word)
    return not spoken or any(_last_stressed(phones, vowels) != 2 for phones, vowels in spoken)


@lru_cache(maxsize=1)
def _joined(sonnets: tuple[str, ...]) -> str:
    """The words of all sonnets as one text in which no span of words reaches from one sonnet into the next."""
    return "\n".join(f" {' '.join(words(sonnet))} " for sonnet in sonnets)


@cache
def _longest_span(text: str, corpus: str) -> int:
    """How many words the longest run of a text's words has that stands in the corpus."""
    said, best = words(text), 0
    for start in range(len(said)):
        while start + best < len(said) and f" {' '.join(said[start : start + best + 1])} " in corpus:
            best += 1
    return best
