"""Checkpoints of a run: found by what decides it, complete or not used, one trainer at a time."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from knotwork.errors import UserError
from knotwork.files import digest, sha256, write_text

ROOT = Path("checkpoints")
MARKER = "complete"


def run_key(decisive: dict[str, Any]) -> str:
    """Hash of everything that decides a run: what is given, and the code that is loaded."""
    package = Path(__file__).parents[1]
    modules = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    files = {Path(file).relative_to(package) for file in modules if file and Path(file).is_relative_to(package)}
    code = sorted(file for file in files if _decides(file, decisive.get("adapter")))
    return digest([decisive, [[str(file), sha256(package / file)] for file in code]])


def _decides(file: Path, adapter: str | None) -> bool:
    """Whether a file of the package decides a run; PEFT's registration loads all adapters."""
    folder, *rest = file.parts
    if folder == "graphs":  # the hash of the rest is in the packed graphs
        return rest[-1] in ("__init__.py", "token_graph.py")
    return folder != "adapters" or len(rest) < 2 or rest[0] == adapter


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run's lock; wait, and say so, while another training of the same run goes on.

    Of several processes under a launcher the first holds it for all: the others wait for the first anyway.
    """
    if int(os.environ.get("RANK", "0")) > 0:
        yield
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another process trains this run ({folder}); waiting for it to stop", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make one line of what torch and safetensors raise when the disk is full.

    Raises:
        UserError: the block could not write its files.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        # torch.save tells a failed write by a RuntimeError of its archive writer; others are no matter of the disk.
        if isinstance(error, RuntimeError) and "inline_container" not in str(error):
            raise
        reason = " ".join(str(error).split())
        raise UserError(
            f"{folder}: cannot be written ({reason}); free space or change permissions there"
        ) from error


def newest_complete(folder: Path) -> Path | None:
    """The checkpoint to go on from; those that were not finished are deleted."""
    found = []
    for checkpoint in folder.glob("checkpoint-*"):
        if _is_complete(checkpoint):
            found.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(found, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


def _is_complete(checkpoint: Path) -> bool:
    """Whether all that was written is there: the Trainer deletes old checkpoints file by file."""
    marker = checkpoint / MARKER
    return marker.is_file() and all((checkpoint / name).is_file() for name in marker.read_text().splitlines())


def stopped_early(checkpoint: Path) -> bool:
    """Whether the epoch that this checkpoint closes was the last, by early stopping or by plan."""
    state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    return state.stateful_callbacks["TrainerControl"]["args"]["should_training_stop"]


class MarkComplete(TrainerCallback):
    """Marks a checkpoint, with the names of its files, when all is written: model, optimizer, schedule, state."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Called after the Trainer wrote a checkpoint."""
        if state.is_world_process_zero:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            names = sorted(file.name for file in checkpoint.iterdir())
            write_text(checkpoint / MARKER, "\n".join(names))


class SaveEvery(TrainerCallback):
    """Saves every so many optimiser steps, besides the end of each epoch."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called after every optimiser step."""
        if state.global_step % self.steps == 0 and not _ends_epoch(state):
            control.should_save = True


class StopWithPipeline(TrainerCallback):
    """Stops, with a checkpoint, when the ``dvc`` process that started this training is gone.

    A killed ``dvc`` leaves its children running; the next one starts the same training again.
    """

    def __init__(self) -> None:
        ancestors = psutil.Process().parents()
        self.pipeline = next((process for process in ancestors if _is_dvc(process)), None)
        self.orphaned = False

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called after every optimiser step."""
        if self.pipeline is not None and not _is_alive(self.pipeline):
            self.orphaned = True
            control.should_save = not _ends_epoch(state)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Called after a checkpoint was written and marked.

        Raises:
            UserError: ``dvc`` is gone. (The Trainer's own way to stop would first evaluate the unfinished epoch.)
        """
        if self.orphaned:
            raise UserError(
                "the dvc process that started this training is gone; its progress is saved, run again to go on"
            )


def _ends_epoch(state: TrainerState) -> bool:
    """Whether the epoch's own checkpoint is due, which is written after its evaluation."""
    return float(state.epoch).is_integer()


def _is_alive(process: psutil.Process) -> bool:
    """Whether it still works: a killed process whose parent has not noticed counts as gone."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _is_dvc(process: psutil.Process) -> bool:
    try:
        return any(Path(word).name == "dvc" for word in process.cmdline()[:3])
    except psutil.Error:
        return False
