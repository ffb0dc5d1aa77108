"""Build a task's token graphs: data/graphs/<task>/ (a constant marker for adapters without a graph)."""

from pathlib import Path

from knotwork.entry import run_stage
from knotwork.graphs import write_marker
from knotwork.params import Params


def work(params: Params, arguments: list[str]) -> None:
    """Pack the graphs of the rows that will be used, or mark that the chosen adapter needs none."""
    (task,) = arguments
    folder = Path("data/graphs") / task
    if not params.uses_graphs:
        write_marker(folder)
        return
    # Loaded for a graph only: the other adapters' stages stay quick.
    from knotwork.graphs.make import pack_task

    for member in params.members(task):
        raw, parses, graphs = (Path("data") / kind / member.place for kind in ("raw", "parses", "graphs"))
        pack_task(params, member, raw, parses, graphs)


run_stage(work)
