"""Graphs over tokens. Where there is nothing to make, a constant marker stands instead."""

from pathlib import Path

from knotwork.files import whole_folder, write_text

MARKER = "no-graph.txt"


def write_marker(folder: Path, reason: str = "The chosen adapter uses no graph.\n") -> None:
    """Write the folder of a task or an adapter that needs none: the same bytes for every such one."""
    with whole_folder(folder) as aside:
        write_text(aside / MARKER, reason)
