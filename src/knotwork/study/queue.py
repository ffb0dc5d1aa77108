"""Runs side by side, by DVC's queue in the study's clone: neither params.yaml nor a queue of your own is touched.

A run that the queue has finished while nobody watched is not made again.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from knotwork.errors import UserError
from knotwork.files import digest
from knotwork.study.declaration import Cell, parameters, with_settings
from knotwork.study.keep import keep_cell
from knotwork.study.workplace import LOGS, PLACE, Workplace

PAUSE = 10.0  # seconds between two looks at the queue


class Queue:
    """DVC's experiment queue in a clone, whose experiments are named by run and parameters.

    Args:
        place: the clone.
        values: the parameters of params.yaml and the recipe.
    """

    def __init__(self, place: Workplace, values: dict[str, Any]) -> None:
        self._place = place
        self._values = values
        self._log = LOGS / "queue.log"

    def work(self, cells: Sequence[Cell], jobs: int) -> dict[str, str]:
        """Make the runs, ``jobs`` at a time, keep each as it is finished, and give what went wrong by its name."""
        waiting: dict[str, Cell] = {}
        failed: dict[str, str] = {}
        for cell in cells:
            try:
                waiting[self._name(cell)] = cell
            except UserError as error:
                failed[cell.name] = str(error)
                print(f"error: {cell.name}: {error}", flush=True)
        total = len(waiting)
        unlisted: set[str] = set()
        self._queue(waiting)
        try:
            while waiting:
                tasks = self._tasks()
                states = {tasks.get(name) for name in waiting}
                if "Queued" in states and "Running" not in states:  # no worker is at it
                    self._place.dvc(self._log, "queue", "start", "--jobs", str(jobs))
                done = self._experiments()
                # A task that a worker takes while DVC lists them is in no list, once.
                gone = {name for name in waiting if name not in tasks}
                lost, unlisted = gone & unlisted, gone
                over = {name for name in waiting if name in done or tasks.get(name) == "Failed"} | lost
                for name in [name for name in waiting if name in over]:
                    cell = waiting.pop(name)
                    place = f"[{total - len(waiting)}/{total}] {cell.name}"
                    try:
                        self._keep(cell, done.get(name))
                        print(place, flush=True)
                    except UserError as error:
                        failed[cell.name] = str(error)
                        print(f"error: {place}: {error}", flush=True)
                time.sleep(PAUSE if waiting else 0)
        except BaseException:
            # The worker is a process of its own, and would go on.
            self._place.dvc(self._log, "queue", "stop", "--kill")
            raise
        return failed

    def _queue(self, cells: dict[str, Cell]) -> None:
        """Queue what has neither been finished nor waits in the queue already."""
        if "Running" in self._tasks().values():
            # A worker at work would hold the clone's lock: it was killed outright, and DVC has not noticed.
            self._place.dvc(self._log, "queue", "stop", "--kill")
        done, tasks = self._experiments(), self._tasks()
        for name, cell in cells.items():
            if name in done or tasks.get(name) == "Queued":
                continue
            if name in tasks:
                self._place.dvc(self._log, "queue", "remove", name)
            self._place.set_params(with_settings(self._values, cell.settings))
            self._place.dvc(self._log, "exp", "run", "--queue", "--name", name, f"evaluate@{cell.task}")
            print(f"queued {cell.name}", flush=True)

    def _keep(self, cell: Cell, commit: str | None) -> None:
        if commit is None:
            raise UserError(f"the experiment failed; `dvc queue logs {self._name(cell)}` in {PLACE}")
        with tempfile.TemporaryDirectory(prefix="knotwork-") as scratch:
            keep_cell(cell, self._place.extract(commit, f"reports/{cell.task}", Path(scratch)))

    def _name(self, cell: Cell) -> str:
        """Another one for other parameters, so that an old experiment is not taken for a new one."""
        return f"{cell.group}-{cell.run}-{digest(parameters(self._values, cell).model_dump(mode='json'), 8)}"

    def _experiments(self) -> dict[str, str]:
        """Commits of the finished experiments by name; what older code or another base made is not among them."""
        with Repo(str(self._place.folder)) as repo:
            found = repo.experiments.ls(rev=self._place.commit)
        return {name: commit for of_commit in found.values() for name, commit in of_commit}

    def _tasks(self) -> dict[str, str]:
        """What the queue says of its tasks, by name: Queued, Running, Failed or Success."""
        with Repo(str(self._place.folder)) as repo:
            # Running last: a task that was queued again after it had failed is listed twice.
            order = ("Success", "Failed", "Queued", "Running")
            tasks: list[dict[str, Any]] = repo.experiments.celery_queue.status()
        return {
            task["name"]: task["status"] for task in sorted(tasks, key=lambda task: order.index(task["status"]))
        }
