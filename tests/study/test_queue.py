"""The loop over queued runs, with a queue that only pretends to make them."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from knotwork.study import queue
from knotwork.study.declaration import Study, cells
from knotwork.study.queue import Queue

REPOSITORY = Path(__file__).parents[2]
VALUES = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
DECLARED = Study(
    recipe="local",
    cells={},
    groups={},
    sweeps={
        "rank": {
            "about": "Ranks",
            "task": "sst",
            "seeds": [1],
            "settings": {"adapter": "lora"},
            "grids": {"rank": {"lora.r": [2]}},
        }
    },
)
POINTS = cells(DECLARED)


class Place:
    """A clone that notes DVC's commands."""

    folder = Path("clone")

    def __init__(self, queue):
        self.queue, self.commands = queue, []

    def dvc(self, log, *arguments):
        self.commands.append(arguments[:2])
        self.queue.heard(arguments)

    def set_params(self, params):
        pass


class Listed(Queue):
    """A queue whose single task is listed as the script says, look after look; finished when that is over."""

    def __init__(self, *script):
        super().__init__(Place(self), VALUES)
        self.script, self.looks, self.kept = list(script), 0, []

    @property
    def commands(self):
        return self._place.commands

    def heard(self, arguments):
        if arguments[:2] == ("queue", "stop"):
            self.script = ["Failed"]
        if arguments[:2] == ("exp", "run"):
            self.script = ["Queued", "Running"]

    def _tasks(self):
        self.looks += 1
        assert self.looks < 20, "waits for ever"
        listed = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return {} if listed is None else {self._name(POINTS[0]): listed}

    def _experiments(self):
        over = len(self.script) == 1 and self.script[0] not in (None, "Failed")
        return {self._name(POINTS[0]): "c" * 40} if over else {}

    def _keep(self, cell, commit):
        self.kept.append(commit)


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(queue, "PAUSE", 0.0)


def test_a_task_between_two_lists_has_not_failed():
    """Asked for the running ones while it waits, and for the waiting ones when it runs, DVC names it in neither."""
    queue = Listed("Queued", "Queued", "Queued", None, "Running", "Success")
    assert queue.work(POINTS, 1) == {}
    assert queue.kept == ["c" * 40]


def test_a_task_that_is_nowhere_has_failed():
    queue = Listed("Queued", "Queued", None)
    queue.work(POINTS, 1)
    assert queue.kept == [None]


def test_a_task_whose_worker_was_killed_outright_is_made_again():
    """DVC calls it running for ever; who holds the clone's lock knows better."""
    queue = Listed("Running")
    queue.work(POINTS, 1)
    assert queue.commands[:3] == [("queue", "stop"), ("queue", "remove"), ("exp", "run")]
    assert queue.kept == ["c" * 40]


def test_a_run_that_is_not_allowed_stops_no_other(capsys):
    wrong = replace(POINTS[0], variant="wrong", settings=POINTS[0].settings | {"lora.r": 0})
    queue = Listed("Queued", "Running", "Success")
    failed = queue.work([wrong, *POINTS], 1)
    assert list(failed) == ["sweep-rank/wrong/sst"]
    assert "lora.r" in failed["sweep-rank/wrong/sst"]
    assert f"error: {wrong.name}: {failed[wrong.name]}\n" in capsys.readouterr().out
    assert queue.kept == ["c" * 40]
