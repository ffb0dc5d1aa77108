"""What a finished training was like: its learning curves and its figures for the card."""

import resource
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch

from knotwork.inference import padding_waste
from knotwork.training import failures
from knotwork.training.trainer import KnotTrainer

HISTORY = [
    "seed",
    "epoch",
    "step",
    "train_loss",
    "selection_loss",
    "selection_metric",
    "learning_rate",
    "tokens_per_second",
    "seconds",
]
CURVES = {"train_loss": "train_loss", "selection_loss": "loss", "selection_metric": "metric"}
"""Columns that each of several tasks has as well, and what the Trainer's log calls them."""


def history(trainer: KnotTrainer, seed: int, tasks: Sequence[str] = ()) -> pd.DataFrame:
    """The learning curves, a row per epoch; several ``tasks`` have columns ``<task>_train_loss`` and so on."""
    logged = {"step": "step", "learning_rate": "eval_learning_rate", "tokens_per_second": "eval_tokens_per_second"}
    logged |= {"seconds": "eval_seconds"} | {name: f"eval_{key}" for name, key in CURVES.items()}
    own = {f"{task}_{name}": f"eval_{task}_{key}" for task in tasks for name, key in CURVES.items()}
    rows = [
        {"seed": seed, "epoch": round(entry["epoch"])}
        # A task that nothing of the adapter serves is not trained on.
        | {name: entry.get(key) for name, key in {**logged, **own}.items()}
        for entry in trainer.state.log_history
        if "eval_loss" in entry
    ]
    return pd.DataFrame(rows, columns=[*HISTORY, *own])


def outcome(trainer: KnotTrainer, curves: pd.DataFrame, less_is_better: bool, planned: int) -> dict[str, Any]:
    """Figures of the finished training for the card: how long, how fast, the epoch chosen."""
    metric = curves["selection_metric"]
    best = None if curves.empty else int(metric.idxmin() if less_is_better else metric.idxmax())
    seconds = trainer.meter.seconds
    tokens = sum(trainer.batches().tokens(epoch) for epoch in range(len(curves)))
    return {
        "epochs_planned": planned,
        "epochs": len(curves),
        "steps": trainer.state.global_step,
        "best_epoch": None if best is None else int(curves["epoch"][best]),
        "selection_metric": None if best is None else float(metric[best]),
        "train_seconds": seconds,
        "tokens_per_second": tokens / seconds if seconds else 0.0,
        "peak_memory_mb": peak_memory(trainer.args.device),
        "padding_waste": padding_waste(trainer.batches().batches(0), trainer.lengths),
    }


def forget_peak_memory(place: torch.device) -> None:
    """What was needed before is no part of the training: where it can be told apart, count from now on."""
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)


def peak_memory(place: torch.device) -> float:
    """MB: of an accelerator what was allocated there, otherwise of the process."""
    if place.type == "cuda":
        return torch.cuda.max_memory_allocated(place) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def signatures(trainer: KnotTrainer, curves: pd.DataFrame, text: bool, prefix: str = "") -> dict[str, Any]:
    """The failure signatures of a task, with reasons, from the columns that begin with ``prefix``."""
    log = trainer.state.log_history
    shares = [entry[f"eval_{prefix}largest_share"] for entry in log if f"eval_{prefix}largest_share" in entry]
    stall, stall_reason = failures.stall(curves[f"{prefix}train_loss"].dropna().tolist())
    accuracies = [] if text else curves[f"{prefix}selection_metric"].tolist()
    collapse, collapse_reason = failures.collapse(accuracies, [] if text else shares)
    reasons = [reason for reason in (stall_reason, collapse_reason) if reason]
    return {"stall": stall, "collapse": collapse, "reasons": reasons}
