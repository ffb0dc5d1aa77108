"""Fetch and verify a task's files, or make them: data/raw/<task>/, of multitask data/raw/multitask/<member>/."""

from pathlib import Path

from knotwork.corpora import manifest
from knotwork.corpora.download import fetch
from knotwork.entry import run_stage
from knotwork.params import GENERATED, Params


def work(params: Params, arguments: list[str]) -> None:
    """Fetch or make one task."""
    (task,) = arguments
    if task in GENERATED:
        # Loaded for a task that needs it only: sympy takes a second.
        from knotwork.formulas.make import generate

        generate(task, params.symbolic, Path("data/raw") / task)
        return
    mirror = Path(params.corpus.mirror) if params.corpus.mirror else None
    for member in params.members(task):
        fetch(manifest.load(params.corpus.manifest), member.task, Path("data/raw") / member.place, mirror)


run_stage(work)
