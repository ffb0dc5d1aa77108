"""Token graphs in a form that tests can compare."""

from knotwork.graphs.token_graph import KINDS, TokenGraph


def edge_list(graph: TokenGraph) -> list[tuple[int, int, str]]:
    """Source, target and kind of every edge."""
    kinds = [KINDS[kind] for kind in graph.kinds]
    return list(zip(graph.sources.tolist(), graph.targets().tolist(), kinds, strict=True))


def edges_of(graph: TokenGraph) -> set[tuple[int, int, str]]:
    return set(edge_list(graph))


def same(one: TokenGraph, other: TokenGraph) -> bool:
    names = ("offsets", "sources", "kinds", "labels")
    return all(getattr(one, name).tolist() == getattr(other, name).tolist() for name in names)
