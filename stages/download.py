"""Fetch and verify a task's files, or make them: data/raw/<task>/, of multitask data/raw/multitask/<member>/."""

from pathlib import Path

from knotwork.corpora import manifest
from knotwork.corpora.download import fetch
from knotwork.entry import run_stage
from knotwork.params import GENERATED, Params


def work(params: Params, arguments: list[str]) -> None:
    """Fetch or make one task, or each member of several."""
    (task,) = arguments
    mirror = Path(params.corpus.mirror) if params.corpus.mirror else None
    for member in params.members(task):
        folder = Path("data/raw") / member.place
        if member.task in GENERATED:
            # Loaded for a task that needs it only: sympy takes a second.
            from knotwork.formulas.make import generate

            generate(member.task, params.symbolic, folder)
        else:
            fetch(manifest.load(params.corpus.manifest), member.task, folder, mirror)


run_stage(work)
