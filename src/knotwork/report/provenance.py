"""Where figures come from, and what to type to get them again."""

from collections.abc import Callable, Iterable

from knotwork.report import formats
from knotwork.report.records import Card

HASH = 16  # digits shown where a whole hash is no help


def commands(named: Iterable[tuple[str, Card]]) -> str:
    """What to type: each commit once, then its commands with the names of what they make."""
    commits: dict[tuple[str | None, bool], dict[str, dict[str, None]]] = {}
    for name, card in named:
        of_commit = commits.setdefault((card.commit, bool(card.dirty)), {})
        of_commit.setdefault(card.command, {})[name] = None
    lines = []
    for (commit, dirty), of_commit in commits.items():
        if commit is None:
            lines.append("# made outside git: the code's commit is not known")
        else:
            lines.append(f"git checkout {commit}")
        if dirty:
            lines.append("# there were uncommitted changes: this commit alone may give other numbers")
        lines += [f"{command}  # {', '.join(names)}" for command, names in of_commit.items()]
    return "\n".join(lines)


def data_in(folder: str) -> str:
    """Where the figures' data are, in a sentence."""
    return f"The data of every figure lie in {folder}, in the file that its caption names."


def _of(value: object, length: int | None = None) -> str:
    return formats.NONE if value in (None, "") else str(value)[:length]


def _pairs(values: dict[str, object], length: int | None = None) -> str:
    return "; ".join(f"{key}: {_of(value, length)}" for key, value in values.items()) or formats.NONE


def _commit(card: Card) -> str:
    if card.commit is None:
        return "none (made outside git)"
    return card.commit + (" with uncommitted changes" if card.dirty else "")


FACTS: dict[str, Callable[[Card], str]] = {
    "Commit": _commit,
    "Made": lambda card: _of(card.created),
    "Machine": lambda card: _pairs(card.machine),
    "Versions": lambda card: _pairs(card.versions),
    "Base, SHA-256": lambda card: _of(card.base.sha256),
    "Files, SHA-256": lambda card: _pairs(card.corpus.files, HASH),
    "Rows": lambda card: _pairs(card.rows),
    "Prompt": lambda card: f"{card.prompt.template} (hash {card.prompt.sha256[:HASH]})",
}
"""What a card says of its origin, by title."""


def _base(card: Card) -> str:
    return f"{card.base.name}, {formats.parameters(card.base.parameters)} parameters"


def _selection(card: Card) -> str:
    if card.selection == "dev":
        return "dev (the paper’s protocol)"
    return f"{formats.percent(card.selection, 0)} of train"


SETTING: dict[str, Callable[[Card], str]] = {
    "Base": _base,
    "Corpus": lambda card: card.corpus.manifest,
    "Seeds": lambda card: ", ".join(map(str, card.seeds)),
    "Epoch chosen on": _selection,
}
"""What a reader wants to know of a run first, by title."""
