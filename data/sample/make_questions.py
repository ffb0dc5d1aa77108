"""Write the question half of the sample corpus: three tab-separated files in the format of the Quora ones.

    python data/sample/make_questions.py [FOLDER]        (default: the folder of this file)

Each split has its own subjects (``banks/questions-*.txt``): word lists and question frames, grouped by what
they ask. Two frames of one group with the same words are duplicates; every other pair is not.
The same banks give the same bytes, see make_reviews.py. Labels of the test split are not written, as in the
official file; ``rows("test")`` has them.
"""

import csv
import hashlib
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from make_reviews import BANKS, SLOT, SPLITS, Deck, sections

REWORDINGS = BANKS / "questions-rewordings.txt"
SIZES = {"train": 800, "dev": 200, "test": 200}
# Share of each kind of pair; see the methods of Author for what they are.
KINDS = {"near": 0.3, "far": 0.15, "asks": 0.09, "swap": 0.05, "word": 0.09, "easy": 0.32}
DUPLICATES = ("near", "far")
PHRASES = 3  # phrases that are replaced in a rewording, where a question has so many
YOU = 0.5  # share of the rewordings that say "you" instead of "I"
REWORDED = 0.3  # share of the pairs of other kinds than "near" with a light rewording

TO_YOU = {"I": "you", "am": "are", "Am": "Are", "my": "your", "me": "you", "myself": "yourself", "I'd": "you'd"}

Words = dict[str, str]


@dataclass
class Subject:
    """A section of a bank: frames by what they ask, words by slot.

    `lists` has the words that a slot can be filled with. In a `free` list two words of a frame may trade
    places without a change of meaning.
    """

    frames: dict[str, list[str]] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    free: set[str] = field(default_factory=set)

    def ordered(self, frame: str) -> list[str]:
        """Slots of `frame` whose two words make another question when they trade places."""
        names = {name for name, second, _ in SLOT.findall(frame) if second}
        return sorted(names - self.free)


@dataclass(frozen=True)
class Pair:
    """One example; `kind` is a key of KINDS, `frames` are those that the two texts were made from."""

    id: str
    texts: tuple[str, str]
    label: int
    kind: str
    frames: tuple[str, str]


def read_subjects(split: str) -> list[Subject]:
    """All subjects of a split, in file order."""
    subjects: dict[str, Subject] = {}
    for section, line in sections(BANKS / f"questions-{split}.txt"):
        subject = subjects.setdefault(section, Subject())
        key, text = line.split(": ", 1)
        if key[0] in "@~":
            subject.lists[key[1:]] = text.split(" | ")
            subject.free |= {key[1:]} if key[0] == "~" else set()
        else:
            subject.frames.setdefault(key, []).append(text)
    return list(subjects.values())


def fill(frame: str, words: Words) -> str:
    """The question: every slot replaced, first letter raised."""
    text = SLOT.sub(lambda match: words[match[1] + match[2]], frame)
    return text[0].upper() + text[1:]


def exchanged(words: Words, name: str) -> Words:
    """`words` with `{name}` and `{name2}` in each other's place."""
    return {**words, name: words[name + "2"], name + "2": words[name]}


class Author:
    """Makes pairs of one split. Frames and words come from decks, so that all are used about equally often."""

    def __init__(self, split: str, chance: random.Random) -> None:
        """Lay out the decks of `split`."""
        self.chance = chance
        self.subjects = read_subjects(split)
        self.deck = Deck(self.subjects, chance)
        self.words = [
            {name: Deck(words, chance) for name, words in subject.lists.items()} for subject in self.subjects
        ]
        self.groups = [Deck(subject.frames, chance) for subject in self.subjects]
        rules = [(name, *line.split(" > ")) for name, line in sections(REWORDINGS)]
        self.starts = [(old, new) for name, old, new in rules if name == "start"]
        self.phrases = [(re.compile(rf"\b{old}\b"), new) for name, old, new in rules if name == "phrase"]

    def pair(self, kind: str) -> tuple[tuple[str, str], tuple[str, str]]:
        """Two frames and the two questions made from them, in random order."""
        (first, words), (second, words2) = getattr(self, f"_{kind}")()
        texts = fill(first, words), fill(second, words2)
        if kind == "near" or self.chance.random() < REWORDED:
            texts = texts[0], self._reword(texts[1])
        if self.chance.random() < 0.5:
            return (first, second), texts
        return (second, first), texts[::-1]

    def _reword(self, text: str) -> str:
        """The same question with light changes: a beginning, phrases, "you" for "I"."""
        starts = [new + text[len(old) :] for old, new in self.starts if text.startswith(old + " ")]
        changed = self._pick(starts) if starts else text
        phrases = Deck(self.phrases, self.chance)
        for _ in range(PHRASES):
            if any(phrase.search(changed) for phrase, _ in self.phrases):
                phrase, new = phrases.deal(lambda rule, now=changed: rule[0].search(now) is not None)
                changed = phrase.sub(new, changed)
        one_person = re.search(r"\bI\b", changed) and not re.search(r"[.] |\byou", changed)
        if one_person and (changed == text or self.chance.random() < YOU):
            changed = re.sub(r"[\w']+", lambda match: TO_YOU.get(match[0], match[0]), changed)
        return changed

    def _pick(self, items: list[str]) -> str:
        return items[int(self.chance.random() * len(items))]

    def _two(self, items: list[str]) -> list[str]:
        """Two different items in random order."""
        first = self._pick(items)
        return [first, self._pick([item for item in items if item != first])]

    def _draw(self, subject: Subject) -> Words:
        """A word for every slot that the subject's frames may have."""
        words: Words = {}
        for name, deck in self.words[self.subjects.index(subject)].items():
            words[name] = deck.deal()
            words[name + "2"] = deck.deal(lambda word, other=words[name]: word != other)
        return words

    def _group(self, subject: Subject) -> list[str]:
        """The frames of one of the subject's questions."""
        return subject.frames[self.groups[self.subjects.index(subject)].deal()]

    def _near(self) -> list[tuple[str, Words]]:
        """One question twice in one frame, to be reworded lightly."""
        subject = self.deck.deal()
        words = self._draw(subject)
        frame = self._pick(self._group(subject))
        return [(frame, words), (frame, self._freely(subject, words))]

    def _far(self) -> list[tuple[str, Words]]:
        """One question in two wordings."""
        subject = self.deck.deal()
        words = self._draw(subject)
        first, second = self._two(self._group(subject))
        return [(first, words), (second, self._freely(subject, words))]

    def _freely(self, subject: Subject, words: Words) -> Words:
        """`words`, those of a free list exchanged half of the time."""
        for name in sorted(subject.free):
            if self.chance.random() < 0.5:
                words = exchanged(words, name)
        return words

    def _asks(self) -> list[tuple[str, Words]]:
        """The same words, but something else is asked."""
        subject = self.deck.deal()
        words = self._draw(subject)
        group, other = self._two(list(subject.frames))
        return [(self._pick(subject.frames[group]), words), (self._pick(subject.frames[other]), words)]

    def _swap(self) -> list[tuple[str, Words]]:
        """The same question with the roles of two words exchanged."""
        subject = self.deck.deal(lambda s: any(s.ordered(frames[0]) for frames in s.frames.values()))
        words = self._draw(subject)
        frames = self._pick_ordered(subject)
        name = subject.ordered(frames[0])[0]
        return [(self._pick(frames), words), (self._pick(frames), exchanged(words, name))]

    def _pick_ordered(self, subject: Subject) -> list[str]:
        groups = [group for group, frames in subject.frames.items() if subject.ordered(frames[0])]
        return subject.frames[self._pick(groups)]

    def _word(self) -> list[tuple[str, Words]]:
        """The same question about another thing, place, quantity or time."""
        subject = self.deck.deal()
        frames = self._group(subject)
        name = self._pick(sorted({slot[0] for slot in SLOT.findall(frames[0])}))
        words = self._draw(subject)
        used = {words[name], words[name + "2"]}
        third = self._pick([word for word in subject.lists[name] if word not in used])
        return [(self._pick(frames), words), (self._pick(frames), {**words, name: third})]

    def _easy(self) -> list[tuple[str, Words]]:
        """Questions on two different subjects."""
        first = self.deck.deal()
        second = self.deck.deal(lambda subject: subject is not first)
        return [(self._pick(self._group(subject)), self._draw(subject)) for subject in (first, second)]


def pairs(split: str) -> Iterator[Pair]:
    """The pairs of a split, kind by kind; none twice, in whichever order its questions stand."""
    author = Author(split, random.Random(f"knotwork quora {split}"))
    seen: set[frozenset[str]] = set()
    for kind, share in KINDS.items():
        wanted = len(seen) + round(share * SIZES[split])
        while len(seen) < wanted:
            frames, texts = author.pair(kind)
            if texts[0] == texts[1] or frozenset(texts) in seen:
                continue
            seen.add(frozenset(texts))
            digest = hashlib.sha256("\t".join(("quora: " + texts[0], texts[1])).encode()).hexdigest()
            yield Pair(digest[:25], texts, int(kind in DUPLICATES), kind, frames)


def rows(split: str) -> list[Pair]:
    """The pairs of "train", "dev" or "test" in file order, with labels."""
    return sorted(pairs(split), key=lambda pair: pair.id)  # a hash is as good as a shuffle


def write(split: str, folder: Path) -> Path:
    """Write one file as the Quora files are; their lines end in CR LF."""
    path = folder / f"quora-{split}{'-student' if split == 'test' else ''}.csv"
    header = ["", "id", "sentence1", "sentence2", "is_duplicate"]
    lines = [[number, row.id, *row.texts, float(row.label)] for number, row in enumerate(rows(split))]
    if split == "test":
        header, lines = header[:-1], [line[:-1] for line in lines]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([header, *lines])
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else BANKS.parent
    for split in SPLITS:
        print(write(split, target))
