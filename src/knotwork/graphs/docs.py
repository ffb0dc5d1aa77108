"""The parses of a task on disk: spaCy's DocBin files and an index, in ``data/parses/<task>/``."""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from spacy.tokens import DocBin
from tqdm import tqdm

from knotwork import tasks
from knotwork.corpora import Row
from knotwork.corpora.select import cap
from knotwork.errors import UserError
from knotwork.files import digest, read_json, whole_folder, write_json
from knotwork.graphs import write_marker
from knotwork.graphs.parse import ATTRIBUTES, Parser, open_parser, prefixes
from knotwork.graphs.words import Words
from knotwork.identity import parser_identity
from knotwork.params import Member, Params
from knotwork.tasks.task import Classification

SCHEMA_VERSION = 1
INDEX = "parses.json"
AGAIN = "run `dvc repro`, or delete the folder if that changes nothing"

SHARD_DOCS = 8192  # documents in a file: what is held in memory at once
WORDS_PER_PROCESS = 300_000  # fewer words are parsed before a further process is ready


def used_rows(params: Params, member: Member, raw: Path) -> dict[str, list[Row]]:
    """The rows whose graphs will be wanted, by split; openings of sonnets are followed when they are continued."""
    task = tasks.get(member.task)
    splits = ("train", "dev", "test") if isinstance(task, Classification) else ("train", "dev")
    rows = {split: task.read(raw, split).rows for split in splits}
    rows |= {split: task.read(raw, split).rows for split in task.scored}
    return rows | {"train": cap(rows["train"], member.max_rows, params.corpus.seed)}


def parse_task(params: Params, member: Member, raw: Path, folder: Path) -> None:
    """Parse the used rows of a task in ``raw`` into ``folder``, whole or not at all."""
    task = tasks.get(member.task)
    if task.texts == "formula":
        write_marker(folder, "The graph of a formula is its own tree: nothing is parsed.\n")
        return
    identity = parser_identity(params.graphs.parser)
    parser = Parser(open_parser(params.graphs.parser))
    rows = used_rows(params, member, raw)
    with whole_folder(folder) as aside:
        write_parses(aside, parser, rows, isinstance(task, Classification), identity)


def write_parses(
    folder: Path,
    parser: Parser,
    splits: dict[str, Sequence[Row]],
    whole: bool,
    identity: dict[str, Any],
    processes: int | None = None,
) -> None:
    """Parse the rows of every split into ``folder``: ``<split>-<n>.spacy`` and an index.

    Args:
        folder: a folder that exists.
        parser: the pipeline.
        splits: rows by split.
        whole: parse texts whole (one document a text), not prefix by prefix.
        identity: what the pipeline is, by hash; goes to the index.
        processes: worker processes; as many as pay if not given.
    """
    index: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "parser": identity, "whole": whole, "splits": {}}
    for split, rows in splits.items():
        texts = [documents(row, whole) for row in rows]
        docs = parser.parse((text for row in texts for text in row), processes or _processes(texts))
        shards: list[int] = []
        words = 0
        with tqdm(total=len(rows), desc=f"parse {split}", unit="row", mininterval=1) as bar:
            for shard in _shards(texts):
                found = DocBin(ATTRIBUTES)
                for row in shard:
                    for doc in islice(docs, len(row)):
                        found.add(doc)
                        words += len(doc)
                    bar.update()
                found.to_disk(folder / f"{split}-{len(shards)}.spacy")
                shards.append(len(shard))
        index["splits"][split] = {"rows": shards, "words": words, "texts": texts_digest(rows)}
    write_json(folder / INDEX, index)


def read_parses(
    folder: Path, parser: Parser, split: str, rows: Sequence[Row], whole: bool, identity: dict[str, Any]
) -> Iterator[tuple[Sequence[Row], Words]]:
    """The parses of a split's rows, a file's worth at a time.

    Raises:
        UserError: they are missing, damaged, or of other texts or another parser.
    """
    index = read_json(folder / INDEX)
    if not isinstance(index, dict) or index.get("schema_version") != SCHEMA_VERSION:
        raise UserError(f"{folder}: parses made by another version; {AGAIN}")
    if index["parser"]["sha256"] != identity["sha256"]:
        raise UserError(
            f"{folder}: made by the parser with hash {index['parser']['sha256'][:12]}, "
            f"but {identity['name']} now has {identity['sha256'][:12]}; {AGAIN}"
        )
    part = index["splits"].get(split, {})
    if index["whole"] != whole or part.get("texts") != texts_digest(rows):
        raise UserError(f"{folder}: parses of other texts than the {split} rows of now; {AGAIN}")
    start = 0
    for shard, count in enumerate(part["rows"]):
        path = folder / f"{split}-{shard}.spacy"
        try:
            docs = DocBin().from_disk(path)
        except Exception as error:  # zlib's, msgpack's and the file system's errors have no common ancestor
            raise UserError(f"{path}: missing or damaged ({type(error).__name__}); {AGAIN}") from error
        here = rows[start : start + count]
        if len(docs) != sum(len(documents(row, whole)) for row in here):
            raise UserError(f"{path}: {len(docs)} documents where the rows have others; {AGAIN}")
        yield here, parser.read(docs)
        start += count


def documents(row: Row, whole: bool) -> list[str]:
    """The texts that are parsed for a row."""
    return list(row.texts) if whole else [prefix for text in row.texts for prefix in prefixes(text)]


def texts_digest(rows: Sequence[Row]) -> str:
    """A hash of all texts, in order."""
    return digest([row.texts for row in rows])


def _shards(texts: Sequence[list[str]]) -> Iterator[list[list[str]]]:
    """Rows in groups of about ``SHARD_DOCS`` documents."""
    shard: list[list[str]] = []
    count = 0
    for row in texts:
        shard.append(row)
        count += len(row)
        if count >= SHARD_DOCS:
            yield shard
            shard, count = [], 0
    if shard:
        yield shard


def _processes(texts: Sequence[list[str]]) -> int:
    """Worker processes: as many as there are cores, but none that would start in vain."""
    words = sum(text.count(" ") + 1 for row in texts for text in row)
    return max(1, min(os.cpu_count() or 1, words // WORDS_PER_PROCESS))
