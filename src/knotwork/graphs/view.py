"""Token graphs to look at: as networkx and PyTorch Geometric graphs, in figures, and drawn."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from knotwork.graphs.token_graph import KINDS, TokenGraph

if TYPE_CHECKING:
    from torch_geometric.data import Data

# How a group of kinds is drawn: colour (a page's variable and its stand-in), dashes, above or below the tokens.
_DRAWN = {
    "dependency": ("var(--blue, #0b6aa8)", "", True),
    "word": ("var(--quiet, #6b6862)", "", False),
    "sentence": ("var(--vermilion, #c8500a)", "", False),
    "lemma": ("var(--vermilion, #c8500a)", "4 3", False),
    "sequence": ("var(--quiet, #6b6862)", "1 3", False),
}
_INK = "var(--ink, #1c1b1a)"
_LETTER, _GAP, _MARGIN = 7.3, 16, 12  # px: a letter's width in the type of tokens, the gap between them, the rim
_WORD_ROOM, _LEVEL = 22, 14  # px between the arcs above and below, and from one arc to the next


def to_networkx(
    graph: TokenGraph, texts: Sequence[str] | None = None, labels: Sequence[str] = ()
) -> nx.MultiDiGraph:
    """The graph with a node for each token and an edge from source to target for each edge.

    Args:
        graph: the graph.
        texts: the tokens' texts, kept as the nodes' ``text``.
        labels: the parser's sorted labels; an edge that has one keeps it as ``label``, beside its ``kind``.
    """
    result = nx.MultiDiGraph()
    for token in range(graph.tokens):
        result.add_node(token, **({"text": texts[token]} if texts else {}))
    for source, target, kind, label in _edges(graph):
        result.add_edge(
            source, target, kind=KINDS[kind], **({"label": labels[label - 1]} if label and labels else {})
        )
    return result


def to_pyg(graph: TokenGraph) -> "Data":
    """The graph for PyTorch Geometric: ``edge_index`` (2, edges), ``edge_kind`` and ``edge_label`` (edges,)."""
    import torch
    from torch_geometric.data import Data

    ends = np.stack([graph.sources, graph.targets()]).astype(np.int64)
    return Data(
        edge_index=torch.from_numpy(ends),
        edge_kind=torch.from_numpy(graph.kinds.astype(np.int64)),
        edge_label=torch.from_numpy(graph.labels.astype(np.int64)),
        num_nodes=graph.tokens,
    )


def statistics(graph: TokenGraph) -> dict[str, Any]:
    """Key figures of a graph.

    Returns:
        ``tokens``; ``edges``: ``all`` and each kind; ``components`` regardless of direction; ``diameter`` of the
        largest of them, in edges; ``degree``: in-edges of a token, ``mean`` and ``max``; ``without_edges``: tokens.
    """
    directed = to_networkx(graph)
    plain = nx.Graph(directed)
    components = sorted(nx.connected_components(plain), key=len, reverse=True)
    degrees = [degree for _, degree in directed.in_degree()]
    kinds = Counter(KINDS[kind] for kind in graph.kinds.tolist())
    return {
        "tokens": graph.tokens,
        "edges": {"all": directed.number_of_edges(), **{kind: kinds[kind] for kind in KINDS[1:]}},
        "components": len(components),
        "diameter": nx.diameter(plain.subgraph(components[0])) if components else 0,
        "degree": {"mean": float(np.mean(degrees)) if degrees else 0.0, "max": max(degrees, default=0)},
        "without_edges": sum(1 for _, degree in plain.degree() if not degree),
    }


@dataclass
class _Arc:
    """What is drawn between two tokens: edges of one group, in either direction."""

    first: int
    last: int
    group: str
    strength: float = 0.0
    level: int = 0
    label: str = ""
    point: int | None = None  # the token that gets an arrow's head: a dependent


def svg(
    graph: TokenGraph, texts: Sequence[str], labels: Sequence[str] = (), weights: NDArray[Any] | None = None
) -> str:
    """The tokens in a line, dependencies as arcs above it and all other edges as arcs below.

    Args:
        graph: the graph.
        texts: the tokens' texts.
        labels: the parser's sorted labels, written on the arcs.
        weights: (edges,), a number for each edge, such as its attention; the largest is drawn strongest, and edges
            to the next token are drawn too. Without weights all are alike.
    """
    arcs = _levelled(_arcs(graph, labels, weights))
    shown = [_visible(text) for text in texts]
    widths = [max(len(text), 1) * _LETTER for text in shown]
    lefts = _MARGIN + np.cumsum([0, *(width + _GAP for width in widths)])
    middles = [left + width / 2 for left, width in zip(lefts[:-1], widths, strict=True)]
    above, below = (
        _LEVEL * max((arc.level for arc in arcs if _DRAWN[arc.group][2] == up), default=0) + 2 * _MARGIN
        for up in (True, False)
    )
    groups = [group for group in _DRAWN if any(arc.group == group for arc in arcs)]
    legend = 18 if groups else 0
    width = max(float(lefts[-1]), 100.0 * len(groups))
    height = above + _WORD_ROOM + below + legend
    root = ElementTree.Element("svg", {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {width:.0f} {height:.0f}",
        "width": f"{width:.0f}",
        "height": f"{height:.0f}",
        "role": "img",
        "aria-label": f"{len(texts)} tokens with {len(arcs)} arcs between them: {''.join(shown)}"[:200],
        "style": "font-family: ui-monospace, Menlo, Consolas, 'Liberation Mono', monospace; font-size: 12px",
    })  # fmt: skip
    for arc in sorted(arcs, key=lambda arc: arc.strength):
        _draw(root, arc, middles, above if _DRAWN[arc.group][2] else above + _WORD_ROOM)
    for text, middle in zip(shown, middles, strict=True):
        _write(root, text, middle, above + _WORD_ROOM / 2 + 4, f"fill: {_INK}")
    for place, group in enumerate(groups):
        style = f"fill: {_DRAWN[group][0]}; font-size: 10px; text-anchor: start"
        dashes = {"": "──", "4 3": "╌╌", "1 3": "··"}[_DRAWN[group][1]]
        _write(root, f"{dashes} {group}", _MARGIN + 100 * place, height - 6, style)
    return ElementTree.tostring(root, encoding="unicode")


def _edges(graph: TokenGraph) -> list[tuple[int, int, int, int]]:
    """Source, target, kind and label of every edge."""
    columns = (graph.sources, graph.targets(), graph.kinds, graph.labels)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _arcs(graph: TokenGraph, labels: Sequence[str], weights: NDArray[Any] | None) -> list[_Arc]:
    largest = 1.0 if weights is None else float(np.max(weights, initial=0)) or 1.0
    strengths = [1.0] * len(graph.sources) if weights is None else (np.asarray(weights) / largest).tolist()
    found: dict[tuple[int, int, str], _Arc] = {}
    for (source, target, code, label), strength in zip(_edges(graph), strengths, strict=True):
        kind = KINDS[code]
        group = "dependency" if kind in ("head", "dependent") else kind
        if group == "sequence" and weights is None:
            continue  # every token has these
        ends = (min(source, target), max(source, target))
        arc = found.setdefault((*ends, group), _Arc(*ends, group))
        arc.strength = max(arc.strength, strength)
        if group == "dependency":
            arc.label = labels[label - 1] if label and labels else ""
            arc.point = target if kind == "head" else source
    return list(found.values())


def _levelled(arcs: list[_Arc]) -> list[_Arc]:
    """Each arc on the lowest level above all shorter ones that it spans or crosses on its side of the tokens."""
    arcs = sorted(arcs, key=lambda arc: (arc.last - arc.first, arc.first))
    for place, arc in enumerate(arcs):
        under = [
            other.level
            for other in arcs[:place]
            if _DRAWN[other.group][2] == _DRAWN[arc.group][2] and other.first < arc.last and arc.first < other.last
        ]
        arc.level = 1 + max(under, default=0)
    return arcs


def _draw(root: ElementTree.Element, arc: _Arc, middles: Sequence[float], base: float) -> None:
    colour, dashes, up = _DRAWN[arc.group]
    left, right = middles[arc.first] + 3, middles[arc.last] - 3
    top = base - _LEVEL * arc.level if up else base + _LEVEL * arc.level
    bend = min((right - left) / 2, 14)
    path = f"M{left:.1f} {base:.1f} C{left:.1f} {top:.1f} {left:.1f} {top:.1f} {left + bend:.1f} {top:.1f}"
    path += f" L{right - bend:.1f} {top:.1f} C{right:.1f} {top:.1f} {right:.1f} {top:.1f} {right:.1f} {base:.1f}"
    style = f"fill: none; stroke: {colour}; stroke-width: {0.6 + 1.2 * arc.strength:.2f}"
    style += f"; stroke-opacity: {0.08 + 0.92 * arc.strength:.2f}" + (
        f"; stroke-dasharray: {dashes}" if dashes else ""
    )
    ElementTree.SubElement(root, "path", {"d": path, "style": style})
    opacity = f"; fill-opacity: {0.08 + 0.92 * arc.strength:.2f}"
    if arc.point is not None:
        tip = left if arc.point == arc.first else right
        head = f"M{tip:.1f} {base:.1f} l-2.5 -5 h5 z"
        ElementTree.SubElement(root, "path", {"d": head, "style": f"fill: {colour}{opacity}"})
    if arc.label:
        _write(root, arc.label, (left + right) / 2, top - 2, f"fill: {colour}; font-size: 9px{opacity}")


def _write(root: ElementTree.Element, text: str, x: float, y: float, style: str) -> None:
    anchor = "" if "text-anchor" in style else "; text-anchor: middle"
    element = ElementTree.SubElement(root, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "style": style + anchor})
    element.text = text


def _visible(text: str) -> str:
    """A token's text without the blanks around it; what cannot be seen is a sign for it."""
    text = "⏎" if text and not text.strip() and "\n" in text else text.strip() or "␣"
    return "".join(letter if letter.isprintable() else "·" for letter in text)
