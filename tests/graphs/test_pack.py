"""Packed graphs: found again by their ids; a file that is not what it should be is refused in one line."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from knotwork.errors import UserError
from knotwork.files import sha256
from knotwork.graphs import pack
from knotwork.graphs.pack import hash_ids, open_graphs, write_graphs

from .helpers import edge_list, same

TEXTS = ["The baker sleeps.", "The unbelievable oven burns. The oven!", "word", "The baker sleeps."]


@pytest.fixture(scope="module")
def made(builder, examples):
    """A builder and examples with their graphs."""
    builder = builder("sst")
    return builder, builder.examples(examples("sst", *TEXTS))


@pytest.fixture
def path(made, tmp_path):
    path = tmp_path / "train.graph"
    write_graphs(path, made[1], made[0].fingerprint)
    return path


def test_found_by_ids(made, path):
    packed = open_graphs(path, made[0].fingerprint)
    assert len(packed) == len(TEXTS)
    for index, example in enumerate(made[1]):
        found = packed.find(example.ids)
        assert same(found, example.graph)
        assert same(packed.graph(index), example.graph)
        assert packed.ids(index).tolist() == example.ids
        assert found.offsets.dtype == found.sources.dtype == np.int32
        assert found.kinds.dtype == found.labels.dtype == np.uint8


def test_arrays_stay_in_the_file(made, path):
    found = open_graphs(path).find(made[1][0].ids)
    base = found.sources
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert not found.sources.flags.owndata
    assert not found.sources.flags.writeable
    assert isinstance(base, np.memmap)


def test_the_summary(made, path):
    summary = open_graphs(path).header["summary"]
    graphs = [example.graph for example in made[1]]
    assert summary["examples"] == len(graphs)
    assert summary["tokens"] == sum(graph.tokens for graph in graphs)
    assert summary["edges"] == sum(len(graph.sources) for graph in graphs)
    assert sum(count for key, count in summary.items() if key.startswith("edges_")) == summary["edges"]
    assert summary["mean_degree"] == pytest.approx(summary["edges"] / summary["tokens"], abs=1e-4)
    linked = [{target for _, target, kind in edge_list(graph) if kind != "sequence"} for graph in graphs]
    assert summary["tokens_in_sequence_only"] == summary["tokens"] - sum(map(len, linked)) > 0


def test_other_readers_of_the_format(made, path):
    arrays = load_file(path)
    assert arrays["ids"].tolist() == [code for example in made[1] for code in example.ids]
    assert set(arrays) == set(pack.ARRAYS)


def test_the_same_bytes_again(made, path, tmp_path):
    write_graphs(tmp_path / "again.graph", iter(made[1]), made[0].fingerprint)
    assert sha256(tmp_path / "again.graph") == sha256(path)


def test_no_rows(tmp_path, made):
    summary = write_graphs(tmp_path / "none.graph", [], made[0].fingerprint)
    assert summary["examples"] == summary["mean_degree"] == 0
    packed = open_graphs(tmp_path / "none.graph")
    with pytest.raises(UserError, match="holds no graph of a prompt of 1 tokens"):
        packed.find([1])


def test_ids_with_the_same_hash(made, tmp_path, monkeypatch):
    """A hash says where to look; the ids say whether it is the one."""
    monkeypatch.setattr(pack, "hash_ids", lambda ids: 7)
    write_graphs(tmp_path / "train.graph", made[1], {})
    packed = open_graphs(tmp_path / "train.graph")
    for example in made[1]:
        assert same(packed.find(example.ids), example.graph)
    with pytest.raises(UserError, match="holds no graph"):
        packed.find([1, 2, 3])


def test_hashes_are_of_64_bits():
    hashes = {hash_ids(np.array(ids, np.int32)) for ids in ([], [0], [0, 0], [1])}
    assert len(hashes) == 4
    assert all(0 <= value < 2**64 for value in hashes)


def test_an_unknown_prompt(path):
    with pytest.raises(UserError, match=r"train.graph: holds no graph of a prompt of 2 tokens; .*max_length"):
        open_graphs(path).find([5, 6])


def refuse(path, message, expected=None):
    with pytest.raises(UserError, match=message) as error:
        open_graphs(path, expected)
    assert "\n" not in str(error.value)
    assert "dvc repro" in str(error.value)


def test_missing(tmp_path):
    refuse(tmp_path / "train.graph", "train.graph: no graphs there; run `dvc repro` with adapter=graph")


@pytest.mark.parametrize("length", [0, 4, 8, 100, -1, -200])
def test_truncated(path, length):
    path.write_bytes(path.read_bytes()[:length])
    refuse(path, "truncated or damaged|no file of token graphs")


def test_longer_than_it_should_be(path):
    path.write_bytes(path.read_bytes() + b"\0")
    refuse(path, "truncated or damaged")


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04" + bytes(100),
        b"\x10" + bytes(7) + b"{}" + b" " * 14,
        b"\x10" + bytes(7) + b"[1, 2, 3]" + b" " * 7,
        b"\x02" + bytes(7) + b"\xff\xff",
    ],
    ids=["zip", "empty header", "list", "no text"],
)
def test_foreign(path, content):
    path.write_bytes(content)
    refuse(path, "no file of token graphs")


def test_safetensors_of_something_else(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    del header["sources"]
    text = json.dumps(header).encode().ljust(length)
    path.write_bytes(data[:8] + text + data[8 + length :])
    refuse(path, "no file of token graphs")


def test_stale(made, path, monkeypatch):
    expected = made[0].fingerprint
    open_graphs(path, expected)
    refuse(path, "stale, since its control is none, not shuffled", expected | {"control": "shuffled"})
    refuse(path, "stale, since its tokenizer is", {"tokenizer": "0" * 64})
    refuse(path, "stale, since its parser is", {"parser": expected["parser"] | {"sha256": "0" * 64}})
    refuse(path, "stale, since its corpus is None", {"corpus": "0"})
    # Where the parser lies does not matter.
    open_graphs(path, {"parser": expected["parser"] | {"path": "elsewhere"}})
    monkeypatch.setattr(pack, "code_hash", lambda: "another")
    refuse(path, "stale, since its code is")


def test_a_full_disk_leaves_the_old_file(made, path):
    before = path.read_bytes()

    def examples():
        yield made[1][0]
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left"):
        write_graphs(path, examples(), {})
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
