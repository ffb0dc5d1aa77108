"""What is seen of a training while it runs."""

from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from knotwork.training.trainer import KnotTrainer


class Progress(TrainerCallback):
    """A bar over optimiser steps with loss and tokens per second."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.bar: tqdm | None = None
        self.trainer: KnotTrainer | None = None
        self.tokens = 0  # of an epoch

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the bar."""
        self.tokens = self.trainer.batches().tokens(0)
        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc=self.title,
            unit="step",
            mininterval=1,
            disable=not state.is_world_process_zero,
        )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """One step more."""
        meter = self.trainer.meter
        speed = self.tokens * state.epoch / max(meter.seconds, 1e-9)
        loss = sum(meter.losses.values()) * args.world_size / sum(meter.steps.values())
        self.bar.set_postfix_str(f"loss {loss:.3f}, {speed:,.0f} tokens/s", refresh=False)
        self.bar.update()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The bar is full."""
        self.close()

    def close(self) -> None:
        """Close the bar, so that what is printed next has a line of its own."""
        if self.bar is not None:
            self.bar.close()
