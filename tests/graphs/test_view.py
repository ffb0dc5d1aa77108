"""Graphs for other libraries, in figures, and drawn."""

from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pytest

from knotwork.graphs.token_graph import KINDS, TokenGraph
from knotwork.graphs.view import statistics, svg, to_networkx, to_pyg

from .helpers import edge_list

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def made(builder, examples):
    """Builder, graph and texts of the tokens."""
    builder = builder("sst")
    (example,) = builder.examples(examples("sst", "The unbelievable oven burns. <Oven> & \x07 sleeps."))
    return builder, example.graph, [builder.pieces.text([code]) for code in example.ids]


def test_networkx(made):
    builder, graph, texts = made
    found = to_networkx(graph, texts, builder.labels)
    assert sorted((a, b, kind) for a, b, kind in found.edges(data="kind")) == sorted(edge_list(graph))
    assert [text for _, text in found.nodes(data="text")] == texts
    assert {label for *_, label in found.edges(data="label") if label} <= set(builder.labels)
    assert all("label" in edge for *_, edge in found.edges(data=True) if edge["kind"] == "head")


def test_pyg(made):
    _, graph, _ = made
    found = to_pyg(graph)
    assert found.num_nodes == graph.tokens
    assert found.edge_index.tolist() == [graph.sources.tolist(), graph.targets().tolist()]
    assert found.edge_kind.tolist() == graph.kinds.tolist()
    assert found.edge_label.tolist() == graph.labels.tolist()
    assert found.validate()


def test_statistics(made):
    _, graph, _ = made
    figures = statistics(graph)
    assert figures["tokens"] == graph.tokens
    assert (
        figures["edges"]["all"] == len(graph.sources) == sum(v for k, v in figures["edges"].items() if k != "all")
    )
    assert figures["components"] == 1  # joined by the sequence
    assert figures["degree"]["mean"] == pytest.approx(len(graph.sources) / graph.tokens)
    assert figures["degree"]["max"] == np.diff(graph.offsets).max()
    assert figures["without_edges"] == 0
    assert figures["diameter"] == nx.diameter(nx.Graph(to_networkx(graph)))


def test_statistics_of_parts():
    """A path of three tokens, and one alone."""
    offsets, sources = np.array([0, 0, 1, 2, 2], np.int32), np.array([0, 1], np.int32)
    graph = TokenGraph(offsets, sources, np.full(2, KINDS.index("sequence"), np.uint8), np.zeros(2, np.uint8))
    figures = statistics(graph)
    assert (figures["components"], figures["diameter"], figures["without_edges"]) == (2, 2, 1)
    assert figures["edges"]["sequence"] == 2


def test_statistics_of_nothing():
    nothing = TokenGraph(np.zeros(1, np.int32), np.zeros(0, np.int32), *[np.zeros(0, np.uint8)] * 2)
    assert statistics(nothing)["diameter"] == 0
    ElementTree.fromstring(svg(nothing, []))


def drawn(text: str) -> tuple[ElementTree.Element, list[str], list[ElementTree.Element]]:
    root = ElementTree.fromstring(text)
    lines = [path for path in root.iter(f"{SVG}path") if "stroke" in path.get("style")]
    return root, [element.text for element in root.iter(f"{SVG}text")], lines


def test_svg(made):
    builder, graph, texts = made
    root, words, lines = drawn(svg(graph, texts, builder.labels))
    groups = {"head": "dependency", "dependent": "dependency"}
    edges = [edge for edge in edge_list(graph) if edge[2] != "sequence"]
    pairs = {(min(a, b), max(a, b), groups.get(kind, kind)) for a, b, kind in edges}
    assert len(lines) == len(pairs)
    assert "det" in words
    assert "dependency" in " ".join(words)
    assert "·" in words or any("·" in word for word in words)  # the control character
    assert all(word.strip() for word in words)
    width, height = (float(root.get(key)) for key in ("width", "height"))
    for line in lines:
        numbers = [float(part.strip("MLC")) for part in line.get("d").replace("Z", "").split()]
        assert all(0 <= x <= width for x in numbers[::2])
        assert all(0 <= y <= height for y in numbers[1::2])


def test_svg_with_weights(made):
    """Attention decides how strong an arc is, and edges to the next token are drawn as well."""
    _, graph, texts = made
    weights = np.linspace(0.1, 0.5, len(graph.sources))
    _, _, plain = drawn(svg(graph, texts))
    _, _, weighted = drawn(svg(graph, texts, weights=weights))
    sequence = {tuple(sorted(edge[:2])) for edge in edge_list(graph) if edge[2] == "sequence"}
    assert len(weighted) == len(plain) + len(sequence)
    styles = {line.get("style") for line in weighted}
    assert len(styles) > len(sequence) / 2
    assert any("stroke-opacity: 1.00" in style for style in styles)


def test_all_kinds_can_be_drawn():
    kinds = np.arange(1, len(KINDS), dtype=np.uint8)
    count = len(kinds)
    graph = TokenGraph(
        np.array([0, 0, count], np.int32), np.zeros(count, np.int32), kinds, np.zeros(count, np.uint8)
    )
    _, words, lines = drawn(svg(graph, ["a", " b"], weights=np.ones(count)))
    assert len(lines) == count - 1  # head and dependent are one arc
    assert words[:2] == ["a", "b"]
