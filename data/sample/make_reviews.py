"""Write the movie half of the sample corpus: six tab-separated files in the format of the CS224N ones.

    python data/sample/make_reviews.py [FOLDER]        (default: the folder of this file)

Every row is a sentence frame of its split, filled with words of its split's noun bank and of the shared bank
of graded evaluative words (``banks/``). What the levels mean is defined in README.md.
The same banks give the same bytes: the only source of chance is `random.Random.random`, whose sequence
Python guarantees for a seed. Labels of the test splits are not written, as in the official files;
``rows(corpus, "test")`` has them.
"""

import csv
import hashlib
import random
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

BANKS = Path(__file__).resolve().parent / "banks"
SPLITS = ("train", "dev", "test")
SIZES = {
    "sst": {"train": (90, 150, 120, 150, 90), "dev": (30, 50, 40, 50, 30), "test": (30, 50, 40, 50, 30)},
    "cfimdb": {"train": (100, 100), "dev": (40, 40), "test": (40, 40)},
}
TURNING = 0.3  # share of the five-level rows that turn on negation, contrast or word order
TAILS = 0.8  # share of the plain rows with a second sentence
# Shapes of the long reviews: sections in order; "~" fills a section with the other label's words.
SHAPES = (
    ("opening setup aspect aspect feeling verdict verdict close", 0.35),
    ("opening setup complication aspect aspect feeling verdict close", 0.3),
    ("opening setup aspect~ aspect~ turn verdict verdict close", 0.13),
    ("opening verdict setup concede concede verdict close", 0.11),
    ("rumor setup aspect aspect aside verdict close", 0.11),
)
PARAGRAPH_EVERY = 5  # every fifth long review has a paragraph break
LENGTH = range(60, 131)  # words in a long review

OTHER_STRENGTH = {0: 1, 1: 0, 3: 4, 4: 3}
SAME_THROUGHOUT = {"title", "kind", "person", "theme", "hero", "friend", "job", "place"}  # within one row
STEM = 6  # two words that agree in so many letters are too alike for one row
SLOT = re.compile(r"\{([a-z]+)([23]?)([-~^]|\.\d)?\}")

T = TypeVar("T")
Bank = dict[str, list[str]]
Grades = tuple[int, ...]


@dataclass(frozen=True)
class Frame:
    """A sentence frame: the section that it stands in, the labels that it can carry, its text with slots."""

    section: str
    labels: frozenset[int]
    text: str


@dataclass(frozen=True)
class Row:
    """One example; `frames` are the frames that it was made from."""

    id: str
    text: str
    label: int
    frames: tuple[Frame, ...]


class Deck(Generic[T]):
    """Deals its items in random order, shuffling them in again when none that fits is left."""

    def __init__(self, items: Iterable[T], chance: random.Random) -> None:
        """Start with nothing dealt; `chance` is shared with the other decks."""
        self.items, self.chance = list(items), chance
        self.rest: list[T] = []

    def deal(self, fits: Callable[[T], bool] = lambda item: True) -> T:
        """The next item that fits. The deck must hold one."""
        for item in self.rest:
            if fits(item):
                self.rest.remove(item)
                return item
        fresh = list(self.items)
        while fresh:
            self.rest.append(fresh.pop(int(self.chance.random() * len(fresh))))
        return self.deal(fits)


def sections(path: Path) -> Iterable[tuple[str, str]]:
    """Pairs (section, line) of a bank file, without comments and blank lines."""
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            yield section, line


def read_bank(split: str) -> Bank:
    """The shared graded words and the split's own nouns, by section."""
    bank: Bank = {}
    for name in ("words", f"nouns-{split}"):
        for section, line in sections(BANKS / f"{name}.txt"):
            bank.setdefault(section, []).append(line)
    return bank


def read_frames(corpus: str, split: str) -> list[Frame]:
    """All sentence frames of a split."""
    name = {"sst": "opinions", "cfimdb": "reviews"}[corpus]
    frames = []
    for section, line in sections(BANKS / f"{name}-{split}.txt"):
        labels, text = line.split(": ", 1)
        frames.append(Frame(section, frozenset(map(int, labels)), text))
    return frames


def with_frequency(name: str, items: list[str]) -> list[str]:
    """Graded words stand in order of frequency: the n-th gets 10 / n ** 0.65 copies. Nouns get one each."""
    if "." not in name:
        return items
    return [item for rank, item in enumerate(items, 1) for _ in range(max(1, round(10 / rank**0.65)))]


class Filler:
    """Fills slots: `{name}`, or `{name2}` and `{name3}` for others of a kind, with a marker or without.

    No marker: a word of the row's own grade. `-`: of the mirrored grade. `~`: of either grade of the other
    sign. `^`: of the same sign and the other strength. `.n`: of grade n. Nouns have no grades.
    """

    def __init__(self, bank: Bank, chance: random.Random) -> None:
        """Lay out one deck for each section of `bank`."""
        self.bank, self.chance = bank, chance
        self.decks = {name: Deck(with_frequency(name, items), chance) for name, items in bank.items()}
        self.start_row()

    def start_row(self) -> None:
        """Forget what the last row used: within a row no two words begin alike ("awful", "awfully")."""
        self.used: set[str] = set()
        self.kept: dict[str, str] = {}

    def fill(self, frame: Frame, grades: Grades) -> str:
        """The frame's sentence for a row of one of `grades`, first letter raised, a/an set right."""
        text = SLOT.sub(lambda match: self._word(*match.groups(), grades), frame.text)
        text = re.sub(r"\b([Aa]) (?=[aeiou]|hon)(?!use|one)", r"\1n ", text, flags=re.I)
        return re.sub(r"(^\W*|[.?!](?:''|\")? (?:``|\")?)([a-z])", lambda m: m[1] + m[2].upper(), text)

    def _word(self, name: str, second: str, marker: str | None, grades: Grades) -> str:
        if name + second in self.kept:
            return self.kept[name + second]
        key = name if name in self.bank else self._graded(name, marker or "", grades)
        word = self.decks[key].deal(lambda word: word[:STEM] not in self.used)
        self.used.add(word[:STEM])
        if name in SAME_THROUGHOUT:
            self.kept[name + second] = word
        return word

    def _graded(self, name: str, marker: str, grades: Grades) -> str:
        if marker.startswith("."):
            grades = (int(marker[1]),)
        elif marker == "^":
            grades = tuple(OTHER_STRENGTH[grade] for grade in grades)
        elif marker == "-":
            grades = tuple(4 - grade for grade in grades)
        elif marker == "~":
            grades = (0, 1) if min(grades) > 2 else (3, 4)
        grade = grades[int(self.chance.random() * len(grades))]
        key = f"{name}.{grade}"
        return key if key in self.bank else f"{name}.{OTHER_STRENGTH[grade]}"


def treebank_spacing(text: str) -> str:
    """Plain typography to that of the SST files: blanks before punctuation, "n't" and "'s" apart."""
    text = re.sub(r"([,;:?!]|(?<!Mr)(?<!Mrs)\.(?=\s|$|''))", r" \1", text)
    text = re.sub(r"``", "`` ", text)
    text = re.sub(r"''", " ''", text)
    text = re.sub(r"(n't|'(?:s|re|ve|ll|d|m))\b", r" \1", text)
    return re.sub(r"\s+", " ", re.sub(r"\b([Cc])annot\b", r"\1an not", text)).strip()


def opinions(split: str, chance: random.Random) -> Iterable[tuple[int, str, tuple[Frame, ...]]]:
    """(label, text, frames) of the five-level corpus."""
    filler = Filler(read_bank(split), chance)
    frames = read_frames("sst", split)
    for label, size in enumerate(SIZES["sst"][split]):
        fitting = [frame for frame in frames if label in frame.labels]
        plain = Deck((frame for frame in fitting if frame.section == "plain"), chance)
        tails = Deck((frame for frame in fitting if frame.section == "tail"), chance)
        turning = Deck((frame for frame in fitting if frame.section not in ("plain", "tail")), chance)
        for number in range(size):
            filler.start_row()
            if number < size * TURNING:
                used = [turning.deal()]
            else:
                used = [plain.deal()] + ([tails.deal()] if chance.random() < TAILS else [])
            text = " ".join(filler.fill(frame, (label,)) for frame in used)
            yield label, treebank_spacing(text), tuple(used)


def reviews(split: str, chance: random.Random) -> Iterable[tuple[int, str, tuple[Frame, ...]]]:
    """(label, text, frames) of the two-class corpus."""
    filler = Filler(read_bank(split), chance)
    decks: dict[tuple[str, int], list[Frame]] = {}
    for frame in read_frames("cfimdb", split):
        for label in frame.labels:
            decks.setdefault((frame.section, label), []).append(frame)
    dealers = {key: Deck(frames, chance) for key, frames in decks.items()}
    for label, size in enumerate(SIZES["cfimdb"][split]):
        for number in range(size):
            text = ""
            while len(text.split()) not in LENGTH:
                filler.start_row()
                parts, used = [], []
                for step in shape_of(number, size).split():
                    side = 1 - label if step.endswith("~") else label
                    frame = dealers[step.rstrip("~"), side].deal(lambda frame, used=used: frame not in used)
                    used.append(frame)
                    parts.append(filler.fill(frame, (3, 4) if side else (0, 1)))
                if number % PARAGRAPH_EVERY == 0:
                    parts[3:5] = [f"{parts[3]}<br /><br />{parts[4]}"]
                text = " ".join(parts)
            yield label, text, tuple(used)


def shape_of(number: int, size: int) -> str:
    """The shape of review `number` of `size`: each shape gets its share of the rows."""
    bound = 0.0
    for shape, share in SHAPES:
        bound += share
        if number < round(bound * size):
            return shape
    return SHAPES[-1][0]


def rows(corpus: str, split: str) -> list[Row]:
    """The rows of a split in file order, with labels.

    Args:
        corpus: "sst" (five levels) or "cfimdb" (two classes).
        split: "train", "dev" or "test".
    """
    make = {"sst": opinions, "cfimdb": reviews}[corpus]
    made = []
    for label, text, frames in make(split, random.Random(f"knotwork {corpus} {split}")):
        made.append(Row(hashlib.sha256(f"{corpus}: {text}".encode()).hexdigest()[:25], text, label, frames))
    return sorted(made, key=lambda row: row.id)  # a hash is as good as a shuffle


def write(corpus: str, split: str, folder: Path) -> Path:
    """Write one file as the course's files are: leading blank, and the shifted header of the test files."""
    path = folder / f"ids-{corpus}-{split}{'-student' if split == 'test' else ''}.csv"
    numbered = enumerate(rows(corpus, split))
    if split == "test":
        header = [0, "", "id", "sentence"]
        lines = ([number + 1, float(number), row.id, f" {row.text}"] for number, row in numbered)
    else:
        header = ["", "id", "sentence", "sentiment"]
        lines = ([number, row.id, f" {row.text}", row.label] for number, row in numbered)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([header, *lines])
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else BANKS.parent
    for corpus in SIZES:
        for split in SPLITS:
            print(write(corpus, split, target))
