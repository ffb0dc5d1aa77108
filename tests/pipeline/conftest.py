"""A copy of the project in a folder of its own: sst alone, forty rows, the smallest base, one epoch."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from knotwork.params import TASKS

REPOSITORY = Path(__file__).parents[2]
# What the pipeline makes, and what it does not need.
LEFT_OUT = ("reports/", "dvc.lock", "tests/", "benchmarks/", "assets/base/model")

SMALL = {
    "tasks": ["sst"],
    "base.path": "assets/base-tiny",
    "corpus.max_rows.sst": 40,
    "evaluate.bootstrap": 100,
    **{f"train.epochs.{task}": 1 for task in TASKS},
}


def change(file: Path, changes: dict[str, Any]) -> None:
    """Set parameters by dotted key; keys that do not exist are made."""
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *groups, name = key.split(".")
        place = values
        for group in groups:
            place = place[group]
        place[name] = value
    file.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def copy_project(folder: Path) -> Path:
    """The files of the working tree that git does not ignore."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("git says which files belong to the project; this is no clone")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in sorted(set(names) - {""}):
        source, target = REPOSITORY / name, folder / name
        if name.startswith(LEFT_OUT) or not source.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        target.chmod(source.stat().st_mode)
    (folder / ".venv").symlink_to(sys.prefix)
    change(folder / "params.yaml", SMALL)
    return folder


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, and give what it prints."""
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path) -> None:
    """Make the folder a clone of its own, everything in it committed."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    for key, value in {"user.name": "Test", "user.email": "test@example.org", "commit.gpgsign": "false"}.items():
        git(folder, "config", key, value)
    (folder / ".git/info/exclude").write_text(".venv\n", encoding="utf-8")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=Start")


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def execute(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A function that runs a command in a folder as a user would: no network, no activated environment."""
    # Inside a git hook these variables speak of another repository.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "KNOTWORK_"))}
    kept.pop("PYTHONPATH", None)
    places = [place for place in kept["PATH"].split(os.pathsep) if place != str(Path(sys.prefix, "bin"))]
    environment = kept | {
        "PATH": os.pathsep.join(places),
        "DVC_SITE_CACHE_DIR": str(tmp_path_factory.mktemp("site")),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }

    def work(folder: Path, *command: str, status: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=folder, env=environment | variables, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return work


@pytest.fixture(scope="session")
def dvc(execute: Command) -> Command:
    """A function that runs a dvc command in a folder."""

    def work(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return execute(folder, sys.executable, "-m", "dvc", *arguments, **options)

    return work
