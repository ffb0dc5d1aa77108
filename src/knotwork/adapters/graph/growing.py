"""Token graphs of texts that are being generated."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from transformers import Cache

from knotwork.adapters.graph.layer import Edges, Memory
from knotwork.errors import UserError


class Stream(Protocol):
    """Decides the in-edges of one text's tokens, each as soon as it is there."""

    def append(self, token_id: int) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        """Sources (numbers of earlier tokens), kinds and labels of the new token's in-edges."""


class GrowingGraphs:
    """Graphs of the rows of a batch and the z of its earlier tokens; lives and dies with the KV cache.

    Args:
        streams: one for each row.

    Attributes:
        memory: what each layer keeps of earlier tokens.
    """

    def __init__(self, streams: Sequence[Stream]) -> None:
        self.streams = streams
        self.columns: list[list[int]] = [[] for _ in streams]
        self.width = 0
        self.memory: Memory = {}

    def append(self, ids: Tensor, mask: Tensor | None) -> Edges:
        """In-edges of new tokens.

        Args:
            ids: (rows, new).
            mask: (rows, tokens so far and new), 0 for padding, which may stand on the left.
        """
        rows, new = ids.shape
        earlier, total = self.width, self.width + new
        real = torch.ones(rows, new) if mask is None else mask[:, earlier:total]
        edges: list[tuple[int, int, int, int]] = []
        for row, (row_ids, row_real) in enumerate(zip(ids.tolist(), real.tolist(), strict=True)):
            for column, (token, is_real) in enumerate(zip(row_ids, row_real, strict=True)):
                if not is_real:
                    continue
                self.columns[row].append(earlier + column)
                for source, kind, label in zip(*self.streams[row].append(token), strict=True):
                    place = row * total + self.columns[row][int(source)]
                    edges.append((place, row * new + column, int(kind), int(label)))
        self.width = total
        flat = torch.tensor(edges, dtype=torch.long).reshape(-1, 4).T.to(ids.device)
        return Edges.sort(flat[:2], flat[2], flat[3], rows, new, earlier)


def attach_to(cache: Cache, graphs: GrowingGraphs) -> None:
    """Bind graphs to a KV cache, and refuse whatever would reorder or shorten the cache without them."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise UserError("Graph-LoRA generates greedily or by sampling only: use num_beams=1 and no assistant")

    cache.token_graphs = graphs
    for name in ("reorder_cache", "crop", "batch_repeat_interleave", "batch_select_indices"):
        setattr(cache, name, refuse)
