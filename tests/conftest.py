"""Shared fixtures: a tiny project made of rows of the sample corpus and the smallest base model."""

import os

# Before torch is imported: with more threads than free cores a tiny model crawls.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from knotwork.files import write_json
from knotwork.graphs import write_marker
from knotwork.graphs.docs import parse_task
from knotwork.graphs.make import pack_task
from knotwork.identity import base_identity
from knotwork.params import TASKS, Params

REPOSITORY = Path(__file__).parents[1]
SAMPLE = REPOSITORY / "data/sample"
TINY = REPOSITORY / "assets/base-tiny"
ROWS = {"train": 48, "dev": 12, "test": 6}

# The committed parameters with the smallest base and a run of seconds.
SMALL = {
    "base.path": str(TINY),
    "graphs.parser": str(REPOSITORY / "assets/parser"),
    "train.selection": 0.25,
    "train.batch.size": 4,
    **{f"train.epochs.{task}": 2 for task in TASKS},
}


def small_params(overrides: dict[str, Any]) -> Params:
    """The tiny project's parameters with some changed, by dotted key."""
    values = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    for key, value in {**SMALL, **overrides}.items():
        *groups, name = key.split(".")
        place = values
        for group in groups:
            place = place[group]
        place[name] = value
    return Params.model_validate(values)


@pytest.fixture(scope="session")
def parameters() -> Callable[[dict[str, Any]], Params]:
    return small_params


@pytest.fixture(scope="session")
def tiny_base() -> Path:
    return TINY


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with raw/, graphs/ and identity/base.json, as the stages before training leave them."""
    folder = tmp_path_factory.mktemp("data")
    for task, prefix in {"sst": "ids-sst", "quora": "quora"}.items():
        for split, name in {"train": "train", "dev": "dev", "test": "test-student"}.items():
            lines = (SAMPLE / f"{prefix}-{name}.csv").read_text(encoding="utf-8").splitlines(keepends=True)
            _write(folder / f"raw/{task}/{split}.csv", "".join(lines[: ROWS[split] + 1]))
    openings = (SAMPLE / "sonnets_held_out.txt").read_text(encoding="utf-8").split("\n\n", 1)
    sonnets = (SAMPLE / "sonnets.txt").read_text(encoding="utf-8")
    _write(folder / "raw/sonnet/train.txt", sonnets[: sonnets.index("\n13\n")])
    whole = (SAMPLE / "TRUE_sonnets_held_out_dev.txt").read_text(encoding="utf-8")
    _write(folder / "raw/sonnet/dev.txt", whole)
    _write(folder / "raw/sonnet/test.txt", "\n\n".join(openings))
    for task in ("sst", "quora", "sonnet"):
        write_marker(folder / "graphs" / task)
    write_json(folder / "identity/base.json", base_identity(str(TINY), None))
    return folder


@pytest.fixture(scope="session")
def with_graphs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``data``, with the packed graphs of sst and sonnet that adapter=graph needs."""
    folder = tmp_path_factory.mktemp("with-graphs")
    shutil.copytree(data, folder, dirs_exist_ok=True)
    params = small_params({"adapter": "graph"})
    for task in ("sst", "sonnet"):
        raw, parses, graphs = (folder / kind / task for kind in ("raw", "parses", "graphs"))
        shutil.rmtree(graphs)
        (member,) = params.members(task)
        parse_task(params, member, raw, parses)
        pack_task(params, member, raw, parses, graphs)
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder: checkpoints and models lie below it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
