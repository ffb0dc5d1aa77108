"""Choosing rows: a cap on their number, and the part of train that selects the checkpoint."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from knotwork.corpora import Row
from knotwork.errors import UserError


def cap(rows: Sequence[Row], limit: int | None, seed: int) -> list[Row]:
    """At most ``limit`` rows, drawn with ``seed``, in their original order; ``None`` keeps all.

    A smaller limit draws a subset of a larger one's rows, so that learning curves are nested.
    """
    order = np.random.default_rng(seed).permutation(len(rows))
    return [rows[index] for index in sorted(order[:limit])]


def hold_out(rows: Sequence[Row], part: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Split rows into (train, selection), each in its original order.

    Rows that share a text, directly or through other rows, stay on the same side. Whole groups are drawn in
    random order, passing over those that no longer fit, until selection holds ``part`` of the rows or a few
    less; if none fits, the smallest group is taken.

    Raises:
        UserError: one side would be empty, since there is a single group of rows.
    """
    groups = _groups(rows)
    sizes = np.bincount(groups)
    if len(sizes) < 2:
        raise UserError(
            f"train.selection: the training rows ({len(rows)}) all hang together by their texts and "
            "cannot be split; use more rows or train.selection=dev"
        )
    room = min(round(part * len(rows)), len(rows) - 1)
    order = np.random.default_rng(seed).permutation(len(sizes))
    chosen = np.zeros(len(sizes), dtype=bool)
    for group in order:
        if sizes[group] <= room:
            chosen[group] = True
            room -= sizes[group]
    if not chosen.any():
        chosen[order[np.argmin(sizes[order])]] = True
    held = chosen[groups]
    return (
        [row for row, out in zip(rows, held, strict=True) if not out],
        [row for row, out in zip(rows, held, strict=True) if out],
    )


def _groups(rows: Sequence[Row]) -> np.ndarray:
    """The group of every row: the connected components of the graph that joins rows and their texts.

    Texts that differ in capitals alone are the same.
    """
    texts: dict[str, int] = {}
    pairs = [
        (index, len(rows) + texts.setdefault(text.casefold(), len(texts)))
        for index, row in enumerate(rows)
        for text in row.texts
    ]
    if not pairs:
        return np.zeros(0, dtype=int)
    nodes = len(rows) + len(texts)
    graph = coo_array((np.ones(len(pairs), dtype=bool), tuple(np.array(pairs).T)), shape=(nodes, nodes))
    _, labels = connected_components(graph, directed=False)
    return np.unique(labels[: len(rows)], return_inverse=True)[1]
