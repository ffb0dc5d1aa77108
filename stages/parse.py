"""Parse a task's texts: data/parses/<task>/ (a constant marker for adapters without a graph)."""

from pathlib import Path

from knotwork.entry import run_stage
from knotwork.graphs import write_marker
from knotwork.params import Params


def work(params: Params, arguments: list[str]) -> None:
    """Parse the rows that will be used, or mark that the chosen adapter needs no parses."""
    (task,) = arguments
    folder = Path("data/parses") / task
    if not params.uses_graphs:
        write_marker(folder)
        return
    # Loaded for a graph only: the other adapters' stages stay quick.
    from knotwork.graphs.docs import parse_task

    for member in params.members(task):
        parse_task(params, member, Path("data/raw") / member.place, Path("data/parses") / member.place)


run_stage(work)
