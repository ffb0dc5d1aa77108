"""Trainings that can be killed: in a process of their own, with a trap that ends it at a chosen place."""

import os
import signal
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from knotwork.params import Params
from knotwork.training import run
from knotwork.training.trainer import KnotTrainer

# The server imports torch and transformers once; every training is a fork of it.
SERVER = get_context("forkserver")
SERVER.set_forkserver_preload(["knotwork.training.run", "knotwork.adapters.lora", "knotwork.tasks.sst"])

MODEL = Path("models/sst/seed-1")
FIRST_STEP = "first_step.txt"

# Everything on that could make a resumed run differ. 36 rows train: 9 batches, 5 steps an epoch, 15 in all;
# checkpoints after steps 2, 4, 6, 8, 12, 14 and the ends of the epochs 5, 10, 15.
SETTINGS: dict[str, Any] = {
    "adapter": "lora",
    "lora.dropout": 0.2,
    "lora.learning_rate": 0.01,
    "train.epochs.sst": 3,
    "train.batch.accumulation": 2,
    "train.optimizer.schedule": "cosine",
    "train.checkpoint_steps": 2,
}


# The epoch to choose is neither the first, which a resumed step never touches, nor the last.
METRICS = {1: 0.3, 2: 0.9, 3: 0.5}
EVALUATE = KnotTrainer.evaluate


def second_epoch_is_best(trainer: KnotTrainer, *args: Any, **kwargs: Any) -> dict[str, float]:
    """The Trainer's evaluation with a metric that says so."""
    select = trainer.select
    trainer.select = lambda model: {**select(model), "metric": METRICS[round(trainer.state.epoch)]}
    try:
        return EVALUATE(trainer, *args, **kwargs)
    finally:
        trainer.select = select


def die() -> None:
    """What a killed process does: nothing more."""
    os.kill(os.getpid(), signal.SIGKILL)


def mid_epoch(trainer: KnotTrainer) -> None:
    """Between two steps, after the checkpoint of step 8."""
    if trainer.state.global_step == 8:
        die()


def mid_accumulation(trainer: KnotTrainer) -> None:
    """Between the two batches of step 8."""
    if trainer.state.global_step == 7 and trainer.micro_step == 1:
        die()


def train(params: Params, data: Path, at_batch: Callable[[KnotTrainer], None] | None = None) -> None:
    """Train on sst in the working folder; ``at_batch`` is called before every batch."""
    step = KnotTrainer.training_step

    def watched(self: KnotTrainer, *args: Any, **kwargs: Any) -> Tensor:
        if not Path(FIRST_STEP).exists():
            Path(FIRST_STEP).write_text(str(self.state.global_step))
        if at_batch is not None:
            at_batch(self)
        return step(self, *args, **kwargs)

    KnotTrainer.training_step = watched
    KnotTrainer.evaluate = second_epoch_is_best
    Path(FIRST_STEP).unlink(missing_ok=True)
    try:
        run.train_run(params, "sst", 1, data, MODEL)
    finally:
        KnotTrainer.training_step, KnotTrainer.evaluate = step, EVALUATE


def killed_in_checkpoint(params: Params, data: Path) -> None:
    """Killed while the checkpoint at the end of the second epoch is written: its weights are there already."""
    save = KnotTrainer._save_optimizer_and_scheduler

    def trap(self: KnotTrainer, output_dir: str) -> None:
        if len(self.state.log_history) == 2:
            die()
        save(self, output_dir)

    KnotTrainer._save_optimizer_and_scheduler = trap
    train(params, data)


def killed_in_folder(params: Params, data: Path) -> None:
    """Killed while the finished run's folder is written."""
    run.model_card = lambda card: die()
    train(params, data)


def killed_mid_epoch(params: Params, data: Path) -> None:
    """See :func:`mid_epoch`."""
    train(params, data, mid_epoch)


def killed_mid_accumulation(params: Params, data: Path) -> None:
    """See :func:`mid_accumulation`."""
    train(params, data, mid_accumulation)


def in_process(folder: Path, work: Callable[[Params, Path], None], params: Params, data: Path) -> int:
    """Exit status of ``work`` in a process of its own whose working folder is ``folder``."""
    folder.mkdir(exist_ok=True)
    process = SERVER.Process(target=_at, args=(folder, work, params, data))
    process.start()
    process.join(120)
    assert process.exitcode is not None, "the training hangs"
    return process.exitcode


def tensors(folder: Path) -> dict[str, Tensor]:
    """What a run trained."""
    return load_file(folder / MODEL / "adapter_model.safetensors")


def _at(folder: Path, work: Callable[[Params, Path], None], params: Params, data: Path) -> None:
    os.chdir(folder)
    work(params, data)
