"""Corpora: which files they are (manifest), fetching them (download), rows (read), choosing rows (select)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One example. A sonnet has one text: the whole poem or its opening lines, separated by newlines."""

    id: str
    texts: tuple[str, ...]
    label: int | None


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file, and how many of its rows were left out because they have no label."""

    rows: list[Row]
    skipped: int
