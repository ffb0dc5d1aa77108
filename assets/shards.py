"""Text shards: ``*.txt`` and ``*.txt.xz`` files of documents separated by a line ``<|endoftext|>``."""

import lzma
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from settings import Mistake

SEPARATOR = "<|endoftext|>"


def find_shards(folder: Path) -> dict[str, list[Path]]:
    """The shards of each source, in name order; ``books-1.txt`` and ``books-2.txt.xz`` are both ``books``.

    Raises:
        Mistake: the folder holds no shard.
    """
    sources: dict[str, list[Path]] = {}
    for path in sorted([*folder.glob("*.txt"), *folder.glob("*.txt.xz")]):
        stem = path.name.removesuffix(".xz").removesuffix(".txt")
        sources.setdefault(re.sub(r"[-_.]?\d+$", "", stem) or stem, []).append(path)
    if not sources:
        raise Mistake(f"{folder}: no text shards (*.txt, *.txt.xz); README.md says what belongs there")
    return sources


def read_documents(path: Path, counts: Counter[str]) -> Iterator[str]:
    """Yield the documents of a shard, stripped, empty ones left out.

    Bytes that are not UTF-8 are replaced by U+FFFD; ``counts["replaced"]`` counts the documents they are in.

    Raises:
        Mistake: the shard cannot be read.
    """
    opened = lzma.open if path.suffix == ".xz" else open
    lines: list[bytes] = []
    try:
        with opened(path, "rb") as file:
            for line in file:
                if line.strip() != SEPARATOR.encode():
                    lines.append(line)
                    continue
                yield from _document(lines, counts)
                lines = []
        yield from _document(lines, counts)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise Mistake(f"{path}: cannot be read ({error}); replace or remove this shard") from error


def _document(lines: list[bytes], counts: Counter[str]) -> Iterator[str]:
    raw = b"".join(lines)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("utf-8", errors="replace")
        counts["replaced"] += 1
    # A separator inside a line would be encoded as the real one and cut the document unseen.
    text = text.replace(SEPARATOR, " ").strip()
    if text:
        yield text
