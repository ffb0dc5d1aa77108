"""Dependency graphs over tokens. Adapters without a graph get a constant marker instead."""

from pathlib import Path

from knotwork.files import whole_folder, write_text

MARKER = "no-graph.txt"


def write_marker(folder: Path) -> None:
    """Write the folder of an adapter that uses no graph: the same bytes for every such adapter."""
    with whole_folder(folder) as aside:
        write_text(aside / MARKER, "The chosen adapter uses no graph.\n")
