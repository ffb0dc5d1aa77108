"""Graphs without syntax, to compare with: a gain that they reach as well is no gain from syntax.

All draw from a generator of their own, seeded by the parameters and by the text: the same text has the same graph
in every file and in every batch.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from knotwork.graphs.token_graph import TokenGraph
from knotwork.graphs.words import Words

CONTROLS = ("none", "shuffled", "empty", "sequence", "random_tree")
ATTEMPTS = 100


def edges_under(control: str, edges: Collection[str]) -> frozenset[str]:
    """The kinds of edges that a control leaves."""
    return {"empty": frozenset(), "sequence": frozenset(["sequence"])}.get(control, frozenset(edges))


def generator(seed: int, text: str) -> np.random.Generator:
    """The generator of a text."""
    drawn = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(drawn, "little")])


def shuffled(graph: TokenGraph, rng: np.random.Generator) -> TokenGraph:
    """The same degrees, kinds and labels, but sources dealt out anew: every token keeps how many edges it has."""
    sources, targets = graph.sources.copy(), graph.targets()
    loops = np.ones(len(sources), bool)
    for _ in range(ATTEMPTS):
        # Deal again those that came to themselves, together with as many others.
        again = loops | (rng.random(len(sources)) < loops.mean())
        sources[again] = rng.permutation(sources[again])
        loops = sources == targets
        if not loops.any():
            return replace(graph, sources=sources)
    return graph  # too few tokens for another graph of these degrees


def shuffled_past(count: int, token: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Sources of ``count`` in-edges of a token: earlier tokens, drawn evenly, different ones while they last."""
    return rng.choice(token, size=count, replace=count > token)


def random_trees(words: Words, texts: Sequence[str], seed: int) -> Words:
    """Every sentence's tree replaced by a random one over the same words: as many arcs, with the same labels."""
    heads, labels = words.heads.copy(), words.labels.copy()
    for index, text in enumerate(texts):
        start, stop = words.offsets[index : index + 2]
        rng = generator(seed, text)
        borders = start + np.flatnonzero(np.diff(words.sentences[start:stop], prepend=-1, append=-1))
        for first, last in pairwise(borders.tolist()):
            order = first + rng.permutation(last - first)
            # Each word hangs on one of those before it in the random order; the first is the root.
            heads[order] = order[(rng.random(len(order)) * np.arange(len(order))).astype(np.int64)]
            # A root's label belongs to no arc: the old and the new root change labels.
            roots = first + np.flatnonzero(words.heads[first:last] == np.arange(first, last))
            labels[[*roots[:1], *order[: len(roots[:1])]]] = labels[[*order[: len(roots[:1])], *roots[:1]]]
    return replace(words, heads=heads, labels=labels)
