import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from knotwork.graphs import write_marker

SCRIPT = """
import sys
from pathlib import Path
from conftest import small_params
from knotwork.errors import run_main
from knotwork.training.run import train_run

folder, destination, size, task = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
# About half of the steps are clipped, so that gradients of another scale train other weights, AdamW or not.
params = small_params({
    "train.batch.size": size,
    "train.batch.accumulation": 2,
    "train.optimizer.max_grad_norm": 3.3,
    "train.checkpoint_steps": 3,
    "multitask.members": ["sst", "sonnet"],
    "train.epochs.multitask": 2,
})
run_main(lambda: train_run(params, task, 1, folder, destination))
"""


def launch(
    folder: Path, data: Path, launcher: list[str], size: int = 4, task: str = "sst"
) -> subprocess.CompletedProcess:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    tests = str(Path(__file__).parents[1])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": tests}
    command = [sys.executable, *launcher, str(script), str(data), f"models/{len(launcher)}", str(size), task]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


@pytest.fixture
def joint(data, tmp_path):
    """The folder of data with the files of multitask's members below multitask's."""
    folder = tmp_path / "data"
    shutil.copytree(data / "identity", folder / "identity")
    for name in ("sst", "sonnet"):
        shutil.copytree(data / "raw" / name, folder / "raw/multitask" / name)
    write_marker(folder / "graphs/multitask")
    return folder


@pytest.mark.parametrize("task", ["sst", "multitask"])
def test_two_processes_give_the_loss_curve_of_one(tmp_path, data, joint, task):
    """Of multitask too, where every step leaves the other tasks' heads without a gradient."""
    curves = []
    for launcher in ([], TWO):
        done = launch(tmp_path, joint if task == "multitask" else data, launcher, task=task)
        assert done.returncode == 0, done.stderr
        curves.append(pd.read_csv(tmp_path / f"models/{len(launcher)}/history.csv"))
    single, double = curves
    assert single["step"].tolist() == double["step"].tolist()
    for column in ("train_loss", "selection_loss"):
        assert double[column].tolist() == pytest.approx(single[column].tolist(), abs=1e-4)
    assert single["train_loss"].iloc[1] < single["train_loss"].iloc[0]
    assert "waiting for it to stop" not in done.stderr


def test_batch_too_small_for_the_processes_is_one_line(tmp_path, data):
    done = launch(tmp_path, data, TWO, size=1)
    assert done.returncode != 0
    assert "error: train.batch.size: 1 examples are too few for 2 processes; raise it" in done.stderr
    assert not (tmp_path / "models").exists()
