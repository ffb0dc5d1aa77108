"""Parses on disk: read back whole, refused when they are of something else."""

import shutil
from pathlib import Path

import pytest

from knotwork import tasks
from knotwork.corpora import Row
from knotwork.corpora.select import cap
from knotwork.errors import UserError
from knotwork.files import read_json, write_json
from knotwork.graphs import docs
from knotwork.graphs.docs import documents, parse_task, read_parses, used_rows, write_parses
from knotwork.graphs.parse import Parser, prefixes
from knotwork.identity import parser_identity
from knotwork.params import Params

from .conftest import PARSER

ROWS = [Row(str(i), (f"The baker sees {i} ovens.", f"How old is oven {i}?"), None) for i in range(7)]


@pytest.fixture(scope="module")
def parser(nlp):
    return Parser(nlp)


@pytest.fixture(scope="module")
def identity():
    return parser_identity(PARSER)


@pytest.fixture(scope="module")
def written(tmp_path_factory, parser, identity):
    """Parses of seven rows in three files."""
    folder = tmp_path_factory.mktemp("parses")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(docs, "SHARD_DOCS", 5)
        write_parses(folder, parser, {"train": ROWS, "dev": ROWS[:1]}, True, identity)
    return folder


def test_read_back(written, parser, identity):
    parts = list(read_parses(written, parser, "train", ROWS, True, identity))
    assert [len(rows) for rows, _ in parts] == [3, 3, 1]
    assert [row for rows, _ in parts for row in rows] == ROWS
    for rows, words in parts:
        live = parser.words(text for row in rows for text in row.texts)
        assert words.heads.tolist() == live.heads.tolist()
        assert words.starts.tolist() == live.starts.tolist()
        assert words.labels.tolist() == live.labels.tolist()
        assert words.offsets.tolist() == live.offsets.tolist()
    assert sorted(path.name for path in written.iterdir()) == [
        "dev-0.spacy",
        "parses.json",
        "train-0.spacy",
        "train-1.spacy",
        "train-2.spacy",
    ]


def test_the_same_bytes_again(written, parser, identity, tmp_path, monkeypatch):
    """DVC compares outputs by hash."""
    monkeypatch.setattr(docs, "SHARD_DOCS", 5)
    write_parses(tmp_path, parser, {"train": ROWS, "dev": ROWS[:1]}, True, identity)
    for path in written.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_several_processes_give_the_same(written, parser, identity, tmp_path, monkeypatch):
    monkeypatch.setattr(docs, "SHARD_DOCS", 5)
    write_parses(tmp_path, parser, {"train": ROWS, "dev": ROWS[:1]}, True, identity, processes=2)
    assert (tmp_path / "train-0.spacy").read_bytes() == (written / "train-0.spacy").read_bytes()


def test_processes_grow_with_the_words(monkeypatch):
    monkeypatch.setattr(docs.os, "cpu_count", lambda: 4)
    many = [["word " * 1000]] * 1000
    assert [docs._processes(many[:count]) for count in (0, 1, 299, 600, 1000)] == [1, 1, 1, 2, 3]
    assert docs._processes(many * 9) == 4


def test_documents():
    row = Row("1", ("One two.",), None)
    assert documents(row, whole=True) == ["One two."]
    assert documents(row, whole=False) == prefixes("One two.") == ["One", "One two", "One two."]


@pytest.fixture
def copy(written, tmp_path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "parses"))


def refuse(folder, parser, identity, message, rows=ROWS, whole=True, split="train"):
    with pytest.raises(UserError, match=message) as error:
        list(read_parses(folder, parser, split, rows, whole, identity))
    assert "\n" not in str(error.value)


def test_refused(copy, parser, identity):
    refuse(copy, parser, identity, "parses of other texts than the train rows", rows=ROWS[:-1])
    refuse(copy, parser, identity, "parses of other texts than the test rows", split="test")
    refuse(copy, parser, identity, "parses of other texts", whole=False)
    refuse(copy, parser, identity | {"sha256": "0" * 64}, "made by the parser with hash")
    shutil.copy(copy / "train-2.spacy", copy / "train-1.spacy")
    refuse(copy, parser, identity, "train-1.spacy: 2 documents where the rows have others")
    (copy / "train-1.spacy").write_bytes((copy / "train-0.spacy").read_bytes()[:200])
    refuse(copy, parser, identity, "train-1.spacy: missing or damaged")
    (copy / "train-1.spacy").unlink()
    refuse(copy, parser, identity, "train-1.spacy: missing or damaged")
    write_json(copy / "parses.json", read_json(copy / "parses.json") | {"schema_version": 0})
    refuse(copy, parser, identity, "made by another version")
    (copy / "parses.json").unlink()
    refuse(copy, parser, identity, "parses.json: not found; run `dvc repro` first")


@pytest.fixture(scope="module")
def params(parameters) -> Params:
    return parameters({"adapter": "graph", "graphs.parser": PARSER, "corpus.max_rows.sst": 10})


def test_used_rows(params, data):
    rows = used_rows(params, *params.members("sst"), data / "raw/sst")
    whole = tasks.get("sst").read(data / "raw/sst", "train").rows
    assert rows["train"] == cap(whole, 10, params.corpus.seed)
    assert {split: len(found) for split, found in rows.items()} == {"train": 10, "dev": 12, "test": 6}
    assert list(used_rows(params, *params.members("sonnet"), data / "raw/sonnet")) == ["train", "dev"]


def test_a_task_whole_or_not_at_all(params, data, tmp_path, monkeypatch):
    folder = tmp_path / "parses/sst"
    parse_task(params, *params.members("sst"), data / "raw/sst", folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {"train-0.spacy", "dev-0.spacy", "test-0.spacy", "parses.json"}
    monkeypatch.setattr(docs, "write_json", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(UserError, match="No space left"):
        parse_task(params, *params.members("sst"), data / "raw/sst", folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["sst"]
