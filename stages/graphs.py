"""Build a task's token graphs: data/graphs/<task>/ (a constant marker for adapters without a graph)."""

from pathlib import Path

from knotwork.entry import run_stage
from knotwork.graphs import write_marker
from knotwork.params import Params


def work(params: Params, arguments: list[str]) -> None:
    """Mark that the chosen adapter needs no graphs."""
    (task,) = arguments
    write_marker(Path("data/graphs") / task)


run_stage(work)
