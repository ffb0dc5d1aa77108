import sys
import threading
import time
from types import ModuleType, SimpleNamespace

import psutil
import pytest
from transformers import TrainerControl, TrainerState

from knotwork.errors import UserError
from knotwork.training import checkpoints
from knotwork.training.checkpoints import (
    MarkComplete,
    SaveEvery,
    StopWithPipeline,
    locked,
    newest_complete,
    run_key,
)


def write_checkpoint(folder, step, names=("optimizer.pt", "trainer_state.json"), mark=True):
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    for name in names:
        (checkpoint / name).write_text(name)
    if mark:
        arguments = SimpleNamespace(output_dir=str(folder))
        MarkComplete().on_save(arguments, TrainerState(global_step=step), TrainerControl())
    return checkpoint


def test_newest_complete_counts_steps_as_numbers(tmp_path):
    write_checkpoint(tmp_path, 9)
    newest = write_checkpoint(tmp_path, 10)
    assert newest_complete(tmp_path) == newest


def test_no_checkpoint(tmp_path):
    assert newest_complete(tmp_path / "missing") is None


def test_unmarked_checkpoint_is_deleted(tmp_path):
    older = write_checkpoint(tmp_path, 4)
    unfinished = write_checkpoint(tmp_path, 8, mark=False)
    assert newest_complete(tmp_path) == older
    assert not unfinished.exists()


def test_checkpoint_whose_deletion_was_interrupted_is_deleted(tmp_path):
    older = write_checkpoint(tmp_path, 4)
    broken = write_checkpoint(tmp_path, 8)
    (broken / "optimizer.pt").unlink()
    assert newest_complete(tmp_path) == older
    assert not broken.exists()


def test_lock_waits_and_says_so(tmp_path, capsys):
    folder = tmp_path / "checkpoints/key"
    order = []
    waiting = threading.Event()

    def second():
        waiting.set()
        with locked(folder):
            order.append("second")

    with locked(folder):
        thread = threading.Thread(target=second)
        thread.start()
        waiting.wait(10)
        said, end = "", time.monotonic() + 10
        while "waiting for it to stop" not in said:
            assert time.monotonic() < end
            said += capsys.readouterr().err
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_lock_is_released_after_an_error(tmp_path):
    with pytest.raises(UserError), locked(tmp_path / "key"):
        raise UserError("broken")
    with locked(tmp_path / "key"):
        pass


def test_run_key_follows_what_decides_the_run():
    key = run_key({"seed": 1, "lora.r": 16})
    assert run_key({"lora.r": 16, "seed": 1}) == key
    assert run_key({"seed": 2, "lora.r": 16}) != key
    assert run_key({"seed": 1, "lora.r": 8}) != key


def test_run_key_follows_the_loaded_code(tmp_path, monkeypatch):
    own, code = tmp_path / "knotwork/training/checkpoints.py", tmp_path / "knotwork/adapters/ours.py"
    for file in (own, code):
        file.parent.mkdir(parents=True)
        file.write_text("SCALE = 1\n")
    monkeypatch.setattr(checkpoints, "__file__", str(own))
    bare = run_key({})
    module = ModuleType("ours")
    module.__file__ = str(code)
    monkeypatch.setitem(sys.modules, "ours", module)
    loaded = run_key({})
    code.write_text("SCALE = 2\n")
    assert len({bare, loaded, run_key({})}) == 3


@pytest.mark.parametrize(
    "step, epoch, saves",
    [
        (3, 0.6, False),
        (4, 0.8, True),
        (8, 2.0, False),  # the end of an epoch is saved after its evaluation, not before
    ],
)
def test_save_every(step, epoch, saves):
    control = TrainerControl()
    SaveEvery(4).on_step_end(None, TrainerState(global_step=step, epoch=epoch), control)
    assert control.should_save == saves


@pytest.mark.parametrize("running, status", [(False, None), (True, psutil.STATUS_ZOMBIE)])
@pytest.mark.parametrize("epoch, saves", [(1.5, True), (2.0, False)])
def test_training_stops_when_its_dvc_is_gone(monkeypatch, epoch, saves, running, status):
    words = ["/usr/bin/python", "/venv/bin/dvc", "repro"]
    dvc = SimpleNamespace(cmdline=lambda: words, is_running=lambda: running, status=lambda: status)
    monkeypatch.setattr(psutil.Process, "parents", lambda self: [dvc])
    watch, control, state = StopWithPipeline(), TrainerControl(), TrainerState(epoch=epoch)
    watch.on_step_end(None, state, control)
    assert control.should_save == saves
    with pytest.raises(UserError, match="dvc process that started this training is gone"):
        watch.on_save(None, state, control)


@pytest.mark.parametrize(
    "words, running",
    [(["dvc", "repro"], True), (["bash", "-c", "stages/run"], False), (["python", "x", "-m", "dvc"], False)],
)
def test_training_goes_on(monkeypatch, words, running):
    status = psutil.STATUS_SLEEPING
    parent = SimpleNamespace(cmdline=lambda: words, is_running=lambda: running, status=lambda: status)
    monkeypatch.setattr(psutil.Process, "parents", lambda self: [parent])
    watch, control, state = StopWithPipeline(), TrainerControl(), TrainerState(epoch=0.5)
    watch.on_step_end(None, state, control)
    watch.on_save(None, state, control)
    assert not control.should_save
