"""A clone of the checkout's last commit, in which runs are made, so that the checkout may be worked in meanwhile.

It lies below ``.dvc/tmp`` and shares the checkout's cache: what has been trained anywhere is not trained again.
Checkpoints stay in it, so that a run that was interrupted goes on from there.
"""

import fcntl
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import yaml

from knotwork.errors import UserError
from knotwork.files import whole_folder, write_text

PLACE = Path(".dvc/tmp/study")
LOGS = Path(".dvc/tmp/study-logs")
DECIDING = ("src", "stages", "dvc.yaml", "params.yaml", "assets")


class Workplace:
    """The clone, held by one process at a time; see :func:`workplace`."""

    def __init__(self, folder: Path, commit: str, lock: TextIO) -> None:
        self.folder = folder
        self.commit = commit
        self._lock = lock

    def run(self, task: str, params: Mapping[str, Any], log: Path) -> Path:
        """Make one run: everything that ``evaluate@<task>`` needs.

        Args:
            task: the task.
            params: what params.yaml is to hold.
            log: the file for what the stages print.

        Returns:
            The folder of the task's report files.

        Raises:
            UserError: a stage failed.
        """
        self.set_params(params)
        # Another run's models would be taken for a dependency of the evaluation.
        shutil.rmtree(self.folder / "models", ignore_errors=True)
        self.dvc(log, "repro", f"evaluate@{task}")
        return self.folder / "reports" / task

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Write the clone's params.yaml."""
        write_text(self.folder / "params.yaml", yaml.safe_dump(dict(params), sort_keys=False, allow_unicode=True))

    def dvc(self, log: Path, *arguments: str) -> None:
        """Run a dvc command in the clone; whatever ends this process ends the command and all that it started.

        Args:
            log: the file for what it prints.
            arguments: of the command.

        Raises:
            UserError: the command failed.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "dvc", *arguments],
                cwd=self.folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Should this process be killed outright, its trainer keeps the clone locked until it has ended.
                pass_fds=[self._lock.fileno()],
            )
            try:
                status = process.wait()
            except BaseException:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
                raise
        if status:
            raise UserError(f"{_reason(log)}; all that was printed lies in {log}")

    def extract(self, commit: str, folder: str, destination: Path) -> Path:
        """A folder of a commit of the clone, written below ``destination``.

        Raises:
            UserError: the commit has no such folder.
        """
        done = subprocess.run(
            ["git", "archive", commit, folder],
            cwd=self.folder,
            env=_environment(),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise UserError(f"{commit[:12]}: holds no {folder}")
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(destination, filter="data")
        return destination / folder


@contextmanager
def workplace(checkout: Path) -> Iterator[Workplace]:
    """The clone at the checkout's last commit, locked.

    Raises:
        UserError: another process holds the clone, or it cannot be made.
    """
    commit = _git(checkout, "rev-parse", "HEAD")
    folder = checkout / PLACE
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"{PLACE}: another study runs there, or what it started; wait for its end") from error
        if not folder.exists():
            _clone(checkout, folder)
        _must(folder, "fetch", "--quiet", str(checkout), "HEAD")
        _must(folder, "reset", "--quiet", "--hard", commit)
        _must(folder, "clean", "--quiet", "--force", "-d")  # leaves what git ignores: checkpoints, data
        yield Workplace(folder, commit, lock)
        # All runs have ended; an idle worker of the queue, which has the file open too, must not hold the next up.
        fcntl.flock(lock, fcntl.LOCK_UN)


def committed(checkout: Path, file: str) -> str:
    """A file of the last commit.

    Raises:
        UserError: the checkout is no git repository with DVC, or has no commit with such a file.
    """
    text = _git(checkout, "show", f"HEAD:./{file}")
    if not text or not (checkout / ".dvc").is_dir():
        raise UserError("a study needs git, DVC and a commit: run it in the folder of a clone of the project")
    return text


def uncommitted(checkout: Path) -> bool:
    """Whether the checkout has changes to what decides a run, which the clone does not see."""
    return bool(_git(checkout, "status", "--porcelain", "--untracked-files=no", "--", *DECIDING))


def _clone(checkout: Path, folder: Path) -> None:
    cache = subprocess.run(
        [sys.executable, "-m", "dvc", "cache", "dir"], cwd=checkout, capture_output=True, text=True, check=True
    )
    with whole_folder(folder) as aside:
        _must(checkout, "clone", "--quiet", "--no-checkout", str(checkout), str(aside))
        (aside / ".dvc").mkdir()
        settings = f"[cache]\n    dir = {(checkout / cache.stdout.strip()).resolve()}\n"
        (aside / ".dvc/config.local").write_text(settings, encoding="utf-8")


def _environment() -> dict[str, str]:
    """This process's environment for the clone: nothing names another repository or is relative to a folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    mirror = kept.get("KNOTWORK_MIRROR")
    if mirror:
        kept["KNOTWORK_MIRROR"] = str(Path(mirror).resolve())
    # DVC's queue starts dvc by name.
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"}


def _reason(log: Path) -> str:
    """The line of a log that says why the run failed."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (told or lines or ["dvc failed without a word"])[0 if told else -1]


def _git(folder: Path, *arguments: str) -> str:
    """What a git command prints; empty if it fails."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=_environment(), capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _must(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        told = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]  # none if it was killed
        raise UserError(f"git {arguments[0]} in {folder}: {told[-1]}")
