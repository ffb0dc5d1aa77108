"""Fetch and verify a task's files: data/raw/<task>/, of multitask data/raw/multitask/<member>/."""

from pathlib import Path

from knotwork.corpora import manifest
from knotwork.corpora.download import fetch
from knotwork.entry import run_stage
from knotwork.params import Params


def work(params: Params, arguments: list[str]) -> None:
    """Fetch one task."""
    (task,) = arguments
    mirror = Path(params.corpus.mirror) if params.corpus.mirror else None
    for member in params.members(task):
        fetch(manifest.load(params.corpus.manifest), member.task, Path("data/raw") / member.place, mirror)


run_stage(work)
