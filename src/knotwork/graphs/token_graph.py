"""A graph over the tokens of one prompt. Kept light: adapters without graphs import it as well."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KINDS = ("self", "head", "dependent", "word", "sentence", "lemma", "sequence")
"""Kinds of edges by their code. ``head`` points from a word's head to the word, ``dependent`` the other way."""


@dataclass(frozen=True)
class TokenGraph:
    """In-edges of every token, in compressed rows by target; self loops are left to the layer.

    Attributes:
        offsets: int32 (tokens + 1,): the in-edges of token t are those from ``offsets[t]`` to ``offsets[t + 1]``.
        sources: int32 (edges,): token that each edge comes from.
        kinds: uint8 (edges,): index into :data:`KINDS`.
        labels: uint8 (edges,): 0, or 1 + index of the dependency label in the parser's sorted labels.
    """

    offsets: NDArray[np.int32]
    sources: NDArray[np.int32]
    kinds: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return len(self.offsets) - 1

    def targets(self) -> NDArray[np.int32]:
        """Token that each edge points to, (edges,)."""
        return np.repeat(np.arange(self.tokens, dtype=np.int32), np.diff(self.offsets))


def collate(graphs: Sequence[TokenGraph], width: int, left: bool = False) -> dict[str, NDArray[np.int64]]:
    """The graphs of a padded batch as one graph over flat positions ``row * width + column``.

    Args:
        graphs: one for each row.
        width: columns of the batch.
        left: whether rows are padded on the left.

    Returns:
        ``graph_edges`` (2, edges): source and target; ``graph_kinds`` and ``graph_labels`` (edges,).
    """
    edges = []
    for row, graph in enumerate(graphs):
        first = row * width + (width - graph.tokens if left else 0)
        edges.append(np.stack([graph.sources, graph.targets()]).astype(np.int64) + first)
    return {
        "graph_edges": np.concatenate(edges, axis=1),
        "graph_kinds": np.concatenate([graph.kinds for graph in graphs]).astype(np.int64),
        "graph_labels": np.concatenate([graph.labels for graph in graphs]).astype(np.int64),
    }
