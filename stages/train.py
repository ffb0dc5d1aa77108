"""Train the chosen adapter on one task with one seed: models/<task>/seed-<n>/."""

from pathlib import Path

from knotwork.entry import run_stage
from knotwork.params import Params
from knotwork.training.run import train_run


def work(params: Params, arguments: list[str]) -> None:
    """Train one run."""
    task, seed = arguments
    train_run(params, task, int(seed), Path("data"), Path("models") / task / f"seed-{seed}")


run_stage(work)
