"""Packed token graphs: one memory-mapped file for a task's split, found by the ids of a prompt.

The file is laid out as safetensors (Hugging Face): the length of the header, the header as JSON, the arrays. So
nothing in it can run, and any reader of that format opens it.
"""

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knotwork.encoding import Example
from knotwork.errors import UserError
from knotwork.files import digest, sha256, whole_file
from knotwork.graphs.token_graph import KINDS, TokenGraph

SCHEMA_VERSION = 1
METADATA = "knotwork"
NO_GRAPH = ("__init__.py", "tokens.py", "view.py")  # modules that decide nothing about a graph
AGAIN = "run `dvc repro`"
TYPES = {"I64": np.dtype("<i8"), "U64": np.dtype("<u8"), "I32": np.dtype("<i4"), "U8": np.dtype("u1")}
# Widest first, so that every array begins at a multiple of its items' size.
ARRAYS = {
    "token_offsets": "I64",  # (examples + 1,): the tokens of example i
    "edge_offsets": "I64",  # (examples + 1,): its edges
    "hashes": "U64",  # (examples,): hash of its ids, sorted
    "order": "I64",  # (examples,): the example that each hash is of
    "ids": "I32",  # (tokens,)
    "rows": "I32",  # (tokens + examples,): TokenGraph.offsets of every example
    "sources": "I32",  # (edges,)
    "kinds": "U8",  # (edges,)
    "labels": "U8",  # (edges,)
}
SEQUENCE = KINDS.index("sequence")
STREAMED = ("ids", "rows", "sources", "kinds", "labels")


def write_graphs(path: Path, examples: Iterable[Example], header: Mapping[str, Any]) -> dict[str, float]:
    """Write the graphs of examples, one after the other, whole or not at all.

    Args:
        path: the file.
        examples: with graphs; they are not held in memory.
        header: what decided the graphs, above all ``GraphBuilder.fingerprint``.

    Returns:
        The summary that stands in the header: see :func:`_summary`.
    """
    hashes: list[int] = []
    tokens, edges, kinds, plain = [0], [0], Counter(), 0
    with whole_file(path) as aside, ExitStack() as stack:
        spools = {name: stack.enter_context(tempfile.TemporaryFile(dir=path.parent)) for name in STREAMED}
        for example in examples:
            graph = example.graph
            ids = np.asarray(example.ids, TYPES["I32"])
            parts = dict(zip(STREAMED, (ids, graph.offsets, graph.sources, graph.kinds, graph.labels), strict=True))
            for name, values in parts.items():
                spools[name].write(np.ascontiguousarray(values, TYPES[ARRAYS[name]]).data)
            hashes.append(hash_ids(ids))
            tokens.append(tokens[-1] + len(ids))
            edges.append(edges[-1] + len(graph.sources))
            kinds.update(dict(enumerate(np.bincount(graph.kinds, minlength=len(KINDS)).tolist())))
            plain += len(ids) - len(set(graph.targets()[graph.kinds != SEQUENCE].tolist()))
        summary = _summary(tokens, edges, kinds, plain)
        order = np.argsort(np.array(hashes, TYPES["U64"]), kind="stable")
        small = {"token_offsets": tokens, "edge_offsets": edges, "order": order}
        small["hashes"] = np.array(hashes, TYPES["U64"])[order]
        arrays = {name: np.asarray(values, TYPES[ARRAYS[name]]) for name, values in small.items()}
        lengths = {name: arrays[name].nbytes if name in arrays else spools[name].tell() for name in ARRAYS}
        with aside.open("wb") as file:
            made = {"schema_version": SCHEMA_VERSION, "code": code_hash()}
            file.write(_header(lengths, {**made, **header, "summary": summary}))
            for name in ARRAYS:
                if name in arrays:
                    file.write(arrays[name].data)
                else:
                    spools[name].seek(0)
                    shutil.copyfileobj(spools[name], file)
    return summary


def _header(lengths: Mapping[str, int], metadata: Mapping[str, Any]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {METADATA: json.dumps(metadata, sort_keys=True)}}
    start = 0
    for name, length in lengths.items():
        shape = [length // TYPES[ARRAYS[name]].itemsize]
        entries[name] = {"dtype": ARRAYS[name], "shape": shape, "data_offsets": [start, start + length]}
        start += length
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _summary(tokens: Sequence[int], edges: Sequence[int], kinds: Counter, plain: int) -> dict[str, float]:
    """Counts over the file; tokens in sequence only have no other in-edges: the parse says nothing of them."""
    return {
        "examples": len(tokens) - 1,
        "tokens": tokens[-1],
        "edges": edges[-1],
        **{f"edges_{kind}": kinds[code] for code, kind in enumerate(KINDS) if kind != "self"},
        "mean_degree": round(edges[-1] / max(tokens[-1], 1), 4),
        "tokens_in_sequence_only": plain,
    }


class PackedGraphs:
    """The graphs of a file; its arrays are read when they are needed.

    Attributes:
        path: the file.
        header: what decided the graphs, and a summary of them.
    """

    def __init__(self, path: Path, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.path, self.header, self._arrays = path, header, arrays

    def __len__(self) -> int:
        """Number of examples."""
        return len(self._arrays["hashes"])

    def ids(self, index: int) -> NDArray[np.int32]:
        """The token ids of an example, by its place in the split."""
        first, last = self._arrays["token_offsets"][index : index + 2].tolist()
        return self._arrays["ids"][first:last]

    def graph(self, index: int) -> TokenGraph:
        """The graph of an example, by its place in the split."""
        first, last = self._arrays["token_offsets"][index : index + 2].tolist()
        edges = slice(*self._arrays["edge_offsets"][index : index + 2].tolist())
        rows = self._arrays["rows"][first + index : last + index + 1]
        return TokenGraph(rows, *(self._arrays[name][edges] for name in ("sources", "kinds", "labels")))

    def find(self, ids: Sequence[int]) -> TokenGraph:
        """The graph of a prompt.

        Raises:
            UserError: no prompt with these ids was packed.
        """
        wanted = np.asarray(ids, TYPES["I32"])
        key = np.uint64(hash_ids(wanted))
        place = int(np.searchsorted(self._arrays["hashes"], key))
        while place < len(self) and self._arrays["hashes"][place] == key:
            index = int(self._arrays["order"][place])
            if np.array_equal(self.ids(index), wanted):
                return self.graph(index)
            place += 1
        raise UserError(
            f"{self.path}: holds no graph of a prompt of {len(wanted)} tokens; it was made from other texts, "
            f"another base or another base.max_length; {AGAIN}"
        )


def open_graphs(path: Path, expected: Mapping[str, Any] | None = None) -> PackedGraphs:
    """Open a packed file.

    Args:
        path: the file.
        expected: entries that the header must have, such as a ``GraphBuilder.fingerprint``.

    Raises:
        UserError: the file is missing, damaged or no file of graphs, or was made otherwise than by the present code
            and as ``expected``.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= size - 8:
                raise ValueError("impossible header length")
            entries = json.loads(file.read(length))
        header = json.loads(entries.pop("__metadata__")[METADATA])
        places = {name: (TYPES[ARRAYS[name]], *entries[name]["data_offsets"]) for name in ARRAYS}
        summary = header["summary"]
    except FileNotFoundError as error:
        raise UserError(f"{path}: no graphs there; {AGAIN} with adapter=graph") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: no file of token graphs, or a damaged one; delete it and {AGAIN}") from error
    if size != 8 + length + max(end for _, _, end in places.values()):
        raise UserError(f"{path}: truncated or damaged ({size} bytes); delete it and {AGAIN}")
    wanted = {"schema_version": SCHEMA_VERSION, "code": code_hash(), **(expected or {})}
    for key, value in wanted.items():
        if _identity(header.get(key)) != _identity(value):
            raise UserError(
                f"{path}: stale, since its {key} is {_short(header.get(key))}, not {_short(value)}; {AGAIN}"
            )
    data = np.memmap(path, np.uint8, mode="r", offset=8 + length) if summary["tokens"] else np.zeros(0, np.uint8)
    # Plain arrays over the map: a view of a memmap costs ten times as much as one of an array.
    data = np.asarray(data)
    return PackedGraphs(
        path, header, {name: data[start:end].view(kind) for name, (kind, start, end) in places.items()}
    )


def code_hash() -> str:
    """A hash of the code that makes graphs."""
    files = sorted(path for path in Path(__file__).parent.glob("*.py") if path.name not in NO_GRAPH)
    return digest({path.name: sha256(path) for path in files}, length=64)


def hash_ids(ids: NDArray[np.int32]) -> int:
    """A 64-bit hash of token ids."""
    return int.from_bytes(hashlib.blake2b(ids.tobytes(), digest_size=8).digest(), "little")


def _identity(value: Any) -> Any:
    """What tells two values apart: of something described by a hash and more, the hash."""
    return value["sha256"] if isinstance(value, dict) and "sha256" in value else value


def _short(value: Any) -> str:
    text = str(_identity(value))
    return text if len(text) <= 24 else f"{text[:12]}..."
