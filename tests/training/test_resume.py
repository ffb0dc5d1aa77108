import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from knotwork.files import read_json
from training import work

DVC = """
import subprocess, sys
sys.exit(subprocess.call(sys.argv[1:]))
"""

# At step 7 the training waits until its parent is gone.
ORPHAN = """
import os, sys, time
from pathlib import Path
from conftest import small_params
from knotwork.errors import run_main
from training import work

parent = os.getppid()

def wait(trainer):
    if trainer.state.global_step == 7:
        Path("ready").touch()
        while os.getppid() == parent:
            time.sleep(0.05)

run_main(lambda: work.train(small_params(work.SETTINGS), Path(sys.argv[1]), wait))
"""


@pytest.fixture(scope="module")
def settings(parameters):
    return parameters(work.SETTINGS)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, settings, data) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert work.in_process(folder, work.train, settings, data) == 0
    return folder


def assert_same_run(folder: Path, expected: Path) -> None:
    ours, theirs = work.tensors(folder), work.tensors(expected)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    timeless = ["epoch", "step", "train_loss", "selection_loss", "selection_metric", "learning_rate"]
    histories = [pd.read_csv(place / work.MODEL / "history.csv")[timeless] for place in (folder, expected)]
    pd.testing.assert_frame_equal(*histories)
    chosen = [read_json(place / work.MODEL / "run.json")["training"]["best_epoch"] for place in (folder, expected)]
    assert chosen == [2, 2]


@pytest.mark.parametrize(
    "killed, goes_on_from",
    [
        (work.killed_mid_epoch, 8),
        (work.killed_mid_accumulation, 6),
        (work.killed_in_checkpoint, 8),
    ],
    ids=["mid-epoch", "mid-accumulation", "checkpoint-write"],
)
def test_killed_run_ends_as_uninterrupted_one(tmp_path, settings, data, uninterrupted, killed, goes_on_from):
    assert work.in_process(tmp_path, killed, settings, data) == -signal.SIGKILL
    assert not (tmp_path / work.MODEL).exists()
    assert work.in_process(tmp_path, work.train, settings, data) == 0
    assert int((tmp_path / work.FIRST_STEP).read_text()) == goes_on_from
    assert_same_run(tmp_path, uninterrupted)
    assert not list(tmp_path.glob("checkpoints/*/checkpoint-*"))


def test_early_stopped_run_killed_at_its_end_trains_no_further(tmp_path, parameters, data):
    # The third epoch is worse than the second, so the fourth is never trained.
    settings = parameters({**work.SETTINGS, "train.epochs.sst": 4, "train.patience": 1})
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    assert work.in_process(whole, work.train, settings, data) == 0
    assert len(pd.read_csv(whole / work.MODEL / "history.csv")) == 3
    assert work.in_process(folder, work.killed_in_folder, settings, data) == -signal.SIGKILL
    assert not (folder / work.MODEL).exists()
    assert work.in_process(folder, work.train, settings, data) == 0
    assert not (folder / work.FIRST_STEP).exists()
    assert_same_run(folder, whole)


def test_training_whose_dvc_is_killed_stops_with_a_checkpoint(tmp_path, settings, data, uninterrupted):
    (tmp_path / "dvc").write_text(DVC)
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    with (tmp_path / "stderr").open("wb") as stderr:
        dvc = subprocess.Popen(
            [sys.executable, "dvc", sys.executable, "-c", ORPHAN, str(data)],
            cwd=tmp_path,
            env=environment,
            stderr=stderr,
        )
    _wait_for((tmp_path / "ready").exists)
    dvc.kill()
    dvc.wait()
    _wait_for(lambda: (tmp_path / "stderr").read_text().endswith("run again to go on\n"))
    assert "\nerror: the dvc process that started this training is gone" in (tmp_path / "stderr").read_text()
    assert not (tmp_path / work.MODEL).exists()
    assert [path.parent.name for path in tmp_path.glob("checkpoints/*/checkpoint-8/complete")] == ["checkpoint-8"]
    # The same code, so the same key: the next run takes the checkpoint.
    assert work.in_process(tmp_path, work.train, settings, data) == 0
    assert int((tmp_path / work.FIRST_STEP).read_text()) == 8
    assert_same_run(tmp_path, uninterrupted)


def _wait_for(condition, seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
