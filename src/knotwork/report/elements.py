"""What a page is made of. A page builder fills these; the template renders them."""

from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup


@dataclass(frozen=True)
class Whisker:
    """A small dot with its whisker, ``against`` a line; places from 0 to 1 on a scale that its column shares.

    A hollow dot is a difference that may be chance; ``alt`` says the interval in words.
    """

    low: float
    value: float
    high: float
    against: float
    hollow: bool
    alt: str


@dataclass(frozen=True)
class Cell:
    """A table cell: a value, a quieter second line, and a bar for a share from 0 to 1 or a dot with its whisker."""

    text: str
    below: str = ""
    share: float | None = None
    whisker: Whisker | None = None


@dataclass(frozen=True)
class Table:
    """A table; its first column names the row, ``texts`` are the columns that hold words.

    ``drawn`` ends the caption where the cells' small pictures are shown, and explains them.
    """

    kind: ClassVar[str] = "table"
    caption: str
    head: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    texts: frozenset[int] = frozenset()
    drawn: str = ""


@dataclass(frozen=True)
class Figure:
    """SVG pictures, each about 340 px wide, side by side under one caption that says what to see.

    ``data`` names the files that hold what is drawn, see :mod:`knotwork.report.data`.
    """

    kind: ClassVar[str] = "figure"
    caption: str
    pictures: list[Markup]
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prose:
    """Paragraphs; ``quiet`` ones are notes in small print."""

    kind: ClassVar[str] = "prose"
    paragraphs: list[str]
    quiet: bool = False


@dataclass(frozen=True)
class Definitions:
    """Terms and their values; a value of several lines is one per task."""

    kind: ClassVar[str] = "definitions"
    title: str
    entries: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Code:
    """Lines to type in a shell."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Sonnet:
    """The given lines and named ways to go on; one that is not published is None."""

    id: str
    opening: list[str]
    versions: list[tuple[str, list[str] | None]]


@dataclass(frozen=True)
class Sonnets:
    """Generated sonnets beside the true ones."""

    kind: ClassVar[str] = "sonnets"
    caption: str
    sonnets: list[Sonnet]


Block = Table | Figure | Prose | Definitions | Code | Sonnets


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    id: str
    title: str
    blocks: list[Block]


@dataclass(frozen=True)
class Notice:
    """What a reader must see before anything else."""

    title: str
    points: list[str]
    advice: str


@dataclass(frozen=True)
class Page:
    """A whole page: title, facts about the run, summary, sections."""

    title: str
    facts: list[tuple[str, str]]
    summary: list[str]
    points: list[str]
    remarks: list[str]
    notice: Notice | None
    sections: list[Section]
