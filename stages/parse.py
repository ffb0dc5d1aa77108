"""Parse a task's texts: data/parses/<task>/ (a constant marker for adapters without a graph)."""

from pathlib import Path

from knotwork.entry import run_stage
from knotwork.graphs import write_marker
from knotwork.params import Params


def work(params: Params, arguments: list[str]) -> None:
    """Mark that the chosen adapter needs no parses."""
    (task,) = arguments
    write_marker(Path("data/parses") / task)


run_stage(work)
