"""Fetch and verify a task's files: data/raw/<task>/."""

from pathlib import Path

from knotwork.corpora import manifest
from knotwork.corpora.download import fetch
from knotwork.entry import run_stage
from knotwork.params import Params


def work(params: Params, arguments: list[str]) -> None:
    """Fetch one task."""
    (task,) = arguments
    mirror = Path(params.corpus.mirror) if params.corpus.mirror else None
    fetch(manifest.load(params.corpus.manifest), task, Path("data/raw") / task, mirror)


run_stage(work)
