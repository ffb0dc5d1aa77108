"""The Trainer with the project's batches, losses, random numbers and checkpoints."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from knotwork.answers import IGNORED, Answer, losses
from knotwork.encoding import Example
from knotwork.errors import UserError
from knotwork.training.batches import EpochBatches, EpochLoader
from knotwork.training.checkpoints import writing

WEIGHTS = "trainable.safetensors"


class Examples(Dataset):
    """Examples for a DataLoader."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        """One example."""
        return self.examples[index]


class Meter(TrainerCallback, ExportableState):
    """Seconds and loss of the steps taken; goes on where a resumed run stopped.

    Attributes:
        seconds: spent in optimiser steps since the beginning of the run, selection and checkpoints left out.
        losses: by task, the sum of the losses of the epoch's steps.
        steps: by task, the optimiser steps of the epoch so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.losses: dict[str, float] = {}
        self.steps: dict[str, int] = {}
        self.since = 0.0

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        kept = {"seconds": self.seconds, "losses": self.losses, "steps": self.steps}
        return {"args": {}, "attributes": kept}

    def add(self, task: str, loss: float, first: bool) -> None:
        """Take a micro-batch's part of a step's loss in; ``first``: of its step."""
        self.losses[task] = self.losses.get(task, 0.0) + loss
        self.steps[task] = self.steps.get(task, 0) + first

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start counting."""
        self.since = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stop counting."""
        self.seconds += time.perf_counter() - self.since


class KnotTrainer(Trainer):
    """``transformers.Trainer`` in which nothing but (seed, step) decides the random numbers.

    Every micro-batch starts its own random stream, so evaluation, checkpoints, resuming and their cadence change
    no weight. A checkpoint holds the trainable tensors, whatever the adapter, in safetensors.

    Args:
        model: model with its trainable parameters set.
        args: the Trainer's arguments.
        answer: how batches are made and logits read.
        examples: training examples.
        sampler: gives the batches of a process, from its rank and the number of processes.
        select: gives the loss and the metric of the selection split, with other figures worth keeping.
        penalty: gives what the adapter adds to the loss of a step, if anything.
        callbacks: the Trainer's callbacks.
    """

    def __init__(
        self,
        model: nn.Module,
        args: TrainingArguments,
        answer: Answer,
        examples: Sequence[Example],
        sampler: Callable[[int, int], EpochBatches],
        select: Callable[[nn.Module], dict[str, float]],
        penalty: Callable[[nn.Module], Tensor | None],
        callbacks: list[TrainerCallback],
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            train_dataset=Examples(examples),
            eval_dataset=[],
            data_collator=answer.collate,
            callbacks=[Meter(), *callbacks],
        )
        self.answer, self.sampler, self.select, self.penalty = answer, sampler, select, penalty
        self.lengths = [len(example.ids) for example in examples]
        self.micro_step = 0
        # compute_loss divides by the number of predictions of the whole accumulated batch.
        self.loss_is_scaled_for_ga = True

    @property
    def meter(self) -> Meter:
        """The meter in use: resuming replaces the one that was given."""
        return next(callback for callback in self.callback_handler.callbacks if isinstance(callback, Meter))

    def batches(self) -> EpochBatches:
        """The batch sampler of this process."""
        return self.sampler(self.args.process_index, self.args.world_size)

    def get_train_dataloader(self) -> EpochLoader:
        """Batches of this process; not prepared by Accelerate, since the sampler already shares them out."""
        return EpochLoader(self.train_dataset, batch_sampler=self.batches(), collate_fn=self.data_collator)

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list, Tensor | int | None]:
        """Batches of one optimiser step and the number of predictions in them over all processes."""
        self.micro_step = 0
        return super().get_batch_samples(epoch_iterator, num_batches, device)

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> Tensor:
        count = sum((batch["labels"] != IGNORED).sum() for batch in batch_samples)
        return self.accelerator.gather(torch.as_tensor(count, device=device).reshape(1)).sum()

    def training_step(
        self, model: nn.Module, inputs: dict[str, Tensor], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Forward and backward pass of one micro-batch under its own random stream."""
        place = (self.args.seed, self.state.global_step, self.micro_step, self.args.process_index)
        torch.manual_seed(hash(place) % 2**63)
        self.micro_step += 1
        return super().training_step(model, inputs, num_items_in_batch)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Mean cross-entropy over the predictions of the whole step, in nats, times its task's weight.

        Raises:
            UserError: the loss is not finite.
        """
        labels, task = inputs.pop("labels"), self.answer.task(inputs)
        loss = losses(self.answer.logits(model, inputs), labels).sum() / num_items_in_batch
        self._check_finite(loss.item(), "training")
        self.meter.add(task, loss.item(), first=self.micro_step == 1)
        # Distributed training averages gradients over processes; the loss is a sum over them.
        loss = loss * self.answer.weight(task) * self.args.world_size
        penalty = self.penalty(self.model)
        return loss if penalty is None else loss + penalty / self.current_gradient_accumulation_steps

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Close the epoch: its training loss and speed, and the loss and metric of the selection split.

        Raises:
            UserError: the selection loss is not finite: the epoch's last step has broken the weights.
        """
        meter = self.meter
        before = next((e["eval_seconds"] for e in reversed(self.state.log_history)), 0.0)
        tokens = self.batches().tokens(round(self.state.epoch) - 1)
        figures = {
            **self._train_losses(),
            "learning_rate": self._get_learning_rate(),
            "seconds": meter.seconds,
            "tokens_per_second": tokens / max(meter.seconds - before, 1e-9),
            **self.select(self.model),
        }
        self._check_finite(figures["loss"], "selection")
        meter.losses, meter.steps = {}, {}
        metrics = {f"eval_{key}": value for key, value in figures.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _check_finite(self, loss: float, which: str) -> None:
        if not math.isfinite(loss):
            raise UserError(
                f"{which} loss is {loss} at step {self.state.global_step + (which == 'training')}; "
                "lower the adapter's learning_rate or set train.optimizer.max_grad_norm"
            )

    def _train_losses(self) -> dict[str, float]:
        """Mean loss of the epoch's steps; of several tasks their weighted mean, and each one's own."""
        meter = self.meter
        tasks = sorted(meter.steps)
        sums = torch.tensor([[meter.losses[task] for task in tasks]], device=self.args.device)
        sums = dict(zip(tasks, self.accelerator.gather(sums).sum(0).tolist(), strict=True))
        total = sum(self.answer.weight(task) * loss for task, loss in sums.items())
        own = {f"{task}_train_loss": loss / meter.steps[task] for task, loss in sums.items() if task}
        return {"train_loss": total / max(sum(meter.steps.values()), 1), **own}

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        with writing(Path(self.args.output_dir)):
            super()._save_checkpoint(*args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Write the trainable tensors into a checkpoint."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.detach().contiguous() for name, value in self._trainable().items()}
        save_file(tensors, folder / WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        saved = load_file(Path(resume_from_checkpoint) / WEIGHTS)
        with torch.no_grad():
            for name, parameter in self._trainable().items():
                parameter.copy_(saved[name])

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(self.state.best_model_checkpoint)

    def _trainable(self) -> dict[str, nn.Parameter]:
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}
