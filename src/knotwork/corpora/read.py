"""Corpus files into rows, with the file and the line named wherever a row is broken."""

import codecs
import csv
import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from knotwork.corpora import Row, Table
from knotwork.corpora.normalise import normalise
from knotwork.errors import UserError

__all__ = ["normalise", "read_sonnets", "read_table"]

OPENING_LINES = 3  # given lines of a sonnet, from which the rest is written

logger = logging.getLogger(__name__)


def read_table(path: Path, text_columns: tuple[str, ...], label_column: str | None, classes: int) -> Table:
    """Read a tab-separated file with CSV quoting and a header; columns are found by name.

    Args:
        path: the file; UTF-8, with or without a byte order mark, any line ends.
        text_columns: the columns that become ``Row.texts``, in this order, normalised.
        label_column: the column of the label, a whole number written as ``2`` or ``2.0``; ``None`` for a
            split without labels. Rows in which it is empty are skipped, counted and reported in one warning.
        classes: labels are 0 to ``classes - 1``.

    Raises:
        UserError: with file and line: a missing column, a row with too many or too few columns, a broken
            quotation, an empty or repeated id, an empty text, a label that is none, invalid UTF-8, a NUL
            byte; or a file without rows.
    """
    records = _records(path)
    line, header = next(records, (1, []))
    header = [name.strip() for name in header]
    if not header:
        raise UserError(f"{path}: is empty; a header row and one row per example are needed")
    wanted = ("id", *text_columns, *((label_column,) if label_column else ()))
    for name in wanted:
        if name not in header:
            raise UserError(f"{path}:{line}: no column {name!r} in the header; it has {', '.join(header)}")
    places = [header.index(name) for name in wanted]

    rows: list[Row] = []
    unlabelled: list[int] = []
    seen: dict[str, int] = {}
    for line, record in records:
        here = f"{path}:{line}"
        if len(record) != len(header):
            raise UserError(f"{here}: {len(record)} columns where the header has {len(header)}; mend the row")
        identity, *values = (record[place].strip() for place in places)
        label = None
        if label_column:
            written = values.pop()
            if not written:
                unlabelled.append(line)
                continue
            label = _label(written, classes, here)
        texts = tuple(normalise(value) for value in values)
        for name, text in zip(text_columns, texts, strict=True):
            if not text:
                raise UserError(f"{here}: empty text in column {name!r}; fill it in or remove the row")
        _check_new(identity, seen, line, here)
        rows.append(Row(identity, texts, label))
    if unlabelled:
        logger.warning("%s:%d: %d rows without a label skipped", path, unlabelled[0], len(unlabelled))
    if not rows:
        raise UserError(f"{path}: no row {'with a label ' if unlabelled else ''}after the header")
    return Table(rows, len(unlabelled))


def read_sonnets(path: Path, openings: bool = False) -> Table:
    """Read numbered poems: a line that holds only a number, then the lines of the poem.

    What stands before the first number is a preamble. Blank lines and indentation are dropped, each line is
    normalised. ``Row.id`` is the number.

    Args:
        path: the file; UTF-8, with or without a byte order mark, any line ends.
        openings: every poem must be just its three given lines; otherwise every one must have more.

    Raises:
        UserError: with file and line: no number, a repeated number, too few or too many lines, invalid
            UTF-8, a NUL byte.
    """
    poems: list[tuple[int, str, list[str]]] = []
    seen: dict[str, int] = {}
    # Not splitlines(): it also breaks at characters that are no line ends.
    for line, text in enumerate(re.split(r"\r\n|\r|\n", _text(path)), start=1):
        text = normalise(text)
        if re.fullmatch(r"[0-9]+", text):
            _check_new(text, seen, line, f"{path}:{line}")
            poems.append((line, text, []))
        elif text and poems:
            poems[-1][2].append(text)
    if not poems:
        raise UserError(f"{path}:1: no numbered sonnet; put a line with its number before each")
    for line, number, lines in poems:
        if not lines:
            raise UserError(f"{path}:{line}: sonnet {number} is empty; add its lines or remove the number")
        if openings and len(lines) != OPENING_LINES:
            raise UserError(f"{path}:{line}: opening {number} has {len(lines)} lines, not {OPENING_LINES}")
        if not openings and len(lines) <= OPENING_LINES:
            raise UserError(
                f"{path}:{line}: sonnet {number} has {len(lines)} lines; more than {OPENING_LINES} are needed"
            )
    return Table([Row(number, ("\n".join(lines),), None) for _, number, lines in poems], 0)


def _text(path: Path) -> str:
    """A file's text; invalid UTF-8 and NUL bytes are errors that name the line."""
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; run `dvc repro` first") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if b"\0" in data:
        raise UserError(f"{path}:{_line(data, data.index(0))}: a NUL byte; save the file as UTF-8 text")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = _line(data, error.start)
        raise UserError(f"{path}:{line}: invalid UTF-8 ({error.reason}); save the file as UTF-8") from error


def _line(data: bytes, offset: int) -> int:
    return len(re.findall(rb"\r\n|\r|\n", data[:offset])) + 1


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The first line and the columns of every record; blank lines are none."""
    text = _text(path)
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True)
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(f'{path}:{line}: broken quotation ({error}); double every " inside quotes') from error
        if record:
            yield line, record


def _label(written: str, classes: int, here: str) -> int:
    try:
        label = float(written)
    except ValueError:
        label = float("nan")
    if not (label.is_integer() and 0 <= label < classes):
        raise UserError(f"{here}: label {written!r} is not one of 0 to {classes - 1}")
    return int(label)


def _check_new(identity: str, seen: dict[str, int], line: int, here: str) -> None:
    if not identity:
        raise UserError(f"{here}: empty id; give every row one of its own")
    if seen.setdefault(identity, line) != line:
        raise UserError(f"{here}: id {identity!r} stands in line {seen[identity]} already; ids must differ")
