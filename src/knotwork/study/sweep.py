"""``make sweep-<name>``: the points of a sweep of ``studies.yaml`` by DVC's queue.

Experiments are queued and run in the study's clone, so that neither params.yaml nor a queue of your own is touched.
A point whose results are kept is not run again, nor is one that the queue has finished while nobody watched.
"""

import argparse
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from knotwork.errors import UserError, run_main
from knotwork.files import digest
from knotwork.study.declaration import SWEEP, Cell, near, parameters, with_settings
from knotwork.study.driver import LOGS, Plan, interrupt, keep_cell, plan, state, write_group
from knotwork.study.pages import FINISHED
from knotwork.study.workplace import PLACE, Workplace, workplace

PAUSE = 10.0  # seconds between two looks at the queue


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="make sweep-<name>", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--jobs", type=int, default=1, help="experiments at a time (default 1)")
    arguments = parser.parse_args()
    run_main(lambda: sweep(arguments.name, arguments.jobs))


def sweep(name: str, jobs: int) -> int:
    """Queue and run the points that are not finished, keep them, write the page, and give the exit status.

    Raises:
        UserError: there is no such sweep, no worker, or no clone to work in.
    """
    if jobs < 1:
        raise UserError(f"--jobs: {jobs} workers make nothing; give at least 1")
    study = plan()
    if name not in study.declared.sweeps:
        raise UserError(f"sweep-{name}: studies.yaml declares no such sweep{near(name, study.declared.sweeps)}")
    points = [cell for cell in study.cells if cell.group == f"{SWEEP}{name}"]
    left = [cell for cell in points if state(cell, study.values) != FINISHED]
    print(f"{len(points)} points, {len(points) - len(left)} of them finished, {len(left)} left", flush=True)
    failed = {}
    if left:
        signal.signal(signal.SIGTERM, interrupt)
        with workplace(Path.cwd()) as place:
            print(f"commit {place.commit}, in {PLACE}", flush=True)
            failed = Queue(place, study).work(left, jobs)
    write_group(study, f"{SWEEP}{name}", failed)
    return 2 if failed else 0


class Queue:
    """DVC's experiment queue in a clone, whose experiments are named by point and parameters."""

    def __init__(self, place: Workplace, study: Plan) -> None:
        self._place = place
        self._values = study.values
        self._log = LOGS / "queue.log"

    def work(self, points: Sequence[Cell], jobs: int) -> dict[str, str]:
        """Run the points, keep each as it is finished, and give what went wrong by the name of the point."""
        waiting = {self._name(point): point for point in points}
        total, failed = len(waiting), {}
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
                    point = waiting.pop(name)
                    place = f"[{total - len(waiting)}/{total}] {point.name}"
                    try:
                        self._keep(point, done.get(name))
                        print(place, flush=True)
                    except UserError as error:
                        failed[point.name] = str(error)
                        print(f"error: {place}: {error}", flush=True)
                time.sleep(PAUSE if waiting else 0)
        except BaseException:
            # The worker is a process of its own, and would go on.
            self._place.dvc(self._log, "queue", "stop", "--kill")
            raise
        return failed

    def _queue(self, points: dict[str, Cell]) -> None:
        """Queue what has neither been finished nor waits in the queue already."""
        if "Running" in self._tasks().values():
            # A worker at work would hold the clone's lock: it was killed outright, and DVC has not noticed.
            self._place.dvc(self._log, "queue", "stop", "--kill")
        done, tasks = self._experiments(), self._tasks()
        for name, point in points.items():
            if name in done or tasks.get(name) == "Queued":
                continue
            if name in tasks:
                self._place.dvc(self._log, "queue", "remove", name)
            self._place.set_params(with_settings(self._values, point.settings))
            self._place.dvc(self._log, "exp", "run", "--queue", "--name", name, f"evaluate@{point.task}")
            print(f"queued {point.name}", flush=True)

    def _keep(self, point: Cell, commit: str | None) -> None:
        if commit is None:
            raise UserError(f"the experiment failed; `dvc queue logs {self._name(point)}` in {PLACE}")
        with tempfile.TemporaryDirectory(prefix="knotwork-") as scratch:
            reports = self._place.extract(commit, f"reports/{point.task}", Path(scratch))
            keep_cell(point, reports, f"make {point.group}")

    def _name(self, point: Cell) -> str:
        """Another one for other parameters, so that an old experiment is not taken for a new one."""
        return f"{point.group}-{point.run}-{digest(parameters(self._values, point).model_dump(mode='json'), 8)}"

    def _experiments(self) -> dict[str, str]:
        """Commits of the finished experiments by name."""
        with Repo(str(self._place.folder)) as repo:
            found = repo.experiments.ls(all_commits=True)
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


if __name__ == "__main__":
    main()
