"""The untrained base's scores, once per corpus and base: data/zero_shot/<task>.json, by member."""

from pathlib import Path

from knotwork.entry import run_stage
from knotwork.files import write_json
from knotwork.params import Params
from knotwork.zero_shot import zero_shot


def work(params: Params, arguments: list[str]) -> None:
    """Score the base on one task's dev rows."""
    (task,) = arguments
    scores = {m.task: zero_shot(params, m.task, Path("data/raw") / m.place) for m in params.members(task)}
    write_json(Path("data/zero_shot") / f"{task}.json", scores)


run_stage(work)
