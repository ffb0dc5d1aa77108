"""One run: an adapter trained on a task with a seed, saved with its card."""

import os
import resource
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from knotwork import adapters, models, provenance, tasks
from knotwork.adapters.adapter import Adapter, Setup
from knotwork.answers import Answer, Text, answer_for
from knotwork.corpora import Row
from knotwork.corpora.select import cap, hold_out
from knotwork.encoding import Example, encode
from knotwork.errors import UserError
from knotwork.files import read_json, sha256, whole_folder, write_json, write_text
from knotwork.identity import base_folder
from knotwork.inference import padding_waste, score
from knotwork.params import Params
from knotwork.training import failures
from knotwork.training.card import model_card
from knotwork.training.checkpoints import (
    ROOT,
    MarkComplete,
    SaveEvery,
    StopWithPipeline,
    locked,
    newest_complete,
    run_key,
    stopped_early,
    writing,
)
from knotwork.training.estimate import bytes_needed, check_memory, seconds_needed
from knotwork.training.trainer import KnotTrainer

SCHEMA_VERSION = 1
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
SELECTION_BATCH_TOKENS = 8192


SETUP_BATCH = 16


def decisive(
    params: Params, task: str, seed: int, base: dict[str, Any], files: dict[str, str], graphs: dict[str, str]
) -> dict[str, Any]:
    """Everything but code that decides a run's weights, by dotted parameter name; files by their hashes."""
    train = params.train
    return {
        "task": task,
        "seed": seed,
        "adapter": params.adapter,
        **{f"{params.adapter}.{key}": value for key, value in params.chosen.model_dump().items()},
        f"answer.{task}": getattr(params.answer, task),
        f"corpus.max_rows.{task}": getattr(params.corpus.max_rows, task),
        "corpus.seed": params.corpus.seed,
        "corpus.files": files,
        **({"graphs.files": graphs} if params.uses_graphs else {}),
        "budget.trainable_parameters": params.budget.trainable_parameters,
        "base.sha256": base["sha256"],
        "base.max_length": params.base.max_length,
        f"train.epochs.{task}": getattr(train.epochs, task),
        "train.selection": train.selection,
        "train.patience": train.patience,
        **{f"train.batch.{key}": value for key, value in train.batch.model_dump().items()},
        **{f"train.optimizer.{key}": value for key, value in train.optimizer.model_dump(mode="json").items()},
        "train.precision": train.precision,
        "train.gradient_checkpointing": train.gradient_checkpointing,
    }


def split_rows(params: Params, task: str, raw: Path) -> tuple[list[Row], list[Row], dict[str, int]]:
    """Rows to train on, rows that choose the epoch, and how many there were."""
    table = tasks.get(task).read(raw, "train")
    rows = cap(table.rows, getattr(params.corpus.max_rows, task), params.corpus.seed)
    if params.train.selection == "dev":
        chosen = tasks.get(task).read(raw, "dev").rows
    else:
        rows, chosen = hold_out(rows, params.train.selection, params.corpus.seed)
    counts = {"train_all": len(table.rows), "train": len(rows), "selection": len(chosen), "skipped": table.skipped}
    return rows, chosen, counts


def train_run(params: Params, task_name: str, seed: int, data: Path, destination: Path) -> None:
    """Train, choose the epoch, and write the run's folder (``models/<task>/seed-<n>/``).

    Args:
        params: the parameters.
        task_name: the task.
        seed: of the run.
        data: folder that the earlier stages filled.
        destination: the run's folder.

    Raises:
        UserError: the data, the base or the parameters do not allow it, or the pipeline that started it is gone.
    """
    task, adapter = tasks.get(task_name), adapters.get(params.adapter)
    raw, graphs = data / "raw" / task_name, data / "graphs" / task_name
    identity = read_json(data / "identity/base.json")
    files = _hashes(raw)
    graph_files = _hashes(graphs) if params.uses_graphs else {}
    folder = base_folder(params.base.path, params.base.revision)
    tokenizer = models.load_tokenizer(folder)
    answer = answer_for(task, getattr(params.answer, task_name), tokenizer)
    rows, chosen, counts = split_rows(params, task_name, raw)
    examples = adapter.attach(encode(task, rows, tokenizer, params.base.max_length), graphs, params.graphs)
    selection = adapter.attach(encode(task, chosen, tokenizer, params.base.max_length), graphs, params.graphs)
    fresh = models.fresh_base(folder, answer, params.base.max_length, seed)
    decided = decisive(params, task_name, seed, identity, files, graph_files)

    setup = Setup(params.budget.trainable_parameters, seed, lambda: _setup_batches(examples, answer, seed), graphs)
    model = adapter.prepare(fresh(), params.chosen, answer, setup)
    trainable = models.count_trainable(model, answer.head)
    machine = {"processes": os.environ.get("WORLD_SIZE", "1"), "device": models.device().type}
    checkpoints = ROOT / run_key(decided | machine)
    epochs = getattr(params.train.epochs, task_name) if sum(trainable.values()) else 0
    with locked(checkpoints):
        trainer = _trainer(params, adapter, model, answer, examples, selection, epochs, seed, checkpoints)
        if epochs:
            _announce(task.title, params, trainer, adapter, trainable, answer)
            with trainer.args.main_process_first():
                checkpoint = newest_complete(checkpoints)
            if checkpoint is not None:
                if trainer.is_world_process_zero():
                    print(f"{task.title}: going on from {checkpoint.name}", flush=True)
                if stopped_early(checkpoint):
                    # The Trainer forgets it and would train on; without an epoch left it goes to the best one.
                    trainer.args.num_train_epochs = 0
            try:
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            finally:
                trainer.pop_callback(Progress).close()
        else:
            trainer.model.to(trainer.args.device)
        # The first process deletes the checkpoints, from which the others may still be reading.
        trainer.accelerator.wait_for_everyone()
        if not trainer.is_world_process_zero():
            return
        history = _history(trainer, seed)
        card = {
            "schema_version": SCHEMA_VERSION,
            "task": task_name,
            "title": task.title,
            "adapter": params.adapter,
            "seed": seed,
            "answer": getattr(params.answer, task_name),
            "prompt": task.prompt,
            "max_length": params.base.max_length,
            "base": {**identity, "path": params.base.path},
            "corpus": {"manifest": params.corpus.manifest, "files": files},
            "graphs": params.graphs.model_dump() if params.uses_graphs else None,
            "selection": str(params.train.selection),
            "decisive": decided,
            "rows": counts,
            "note": adapter.note(params.chosen, answer),
            "truncated": sum(example.truncated for example in [*examples, *selection]),
            "trainable": trainable,
            "training": _outcome(trainer, history, isinstance(answer, Text), epochs),
            "machine": provenance.machine(str(trainer.args.device), torch.get_num_threads()),
            "versions": provenance.versions(),
            **provenance.commit(),
        }
        with whole_folder(destination) as aside:
            with writing(destination):
                adapter.save(trainer.model, aside, answer)
            history.to_csv(aside / "history.csv", index=False, lineterminator="\n", float_format="%.8g")
            write_json(aside / "run.json", card)
            write_text(aside / "README.md", model_card(card))
        shutil.rmtree(checkpoints, ignore_errors=True)


def _hashes(folder: Path) -> dict[str, str]:
    try:
        return {file.stem: sha256(file) for file in sorted(folder.iterdir())}
    except FileNotFoundError as error:
        raise UserError(f"{folder}: not found; run `dvc repro`, which makes it first") from error


def _setup_batches(examples: Sequence[Example], answer: Answer, seed: int) -> Iterator[dict[str, Tensor]]:
    """Training rows as the model takes them, without labels, in a seeded order."""
    order = np.random.default_rng(seed).permutation(len(examples))
    for start in range(0, len(order), SETUP_BATCH):
        batch = answer.collate([examples[index] for index in order[start : start + SETUP_BATCH]])
        yield {name: tensor for name, tensor in batch.items() if name != "labels"}


class Progress(TrainerCallback):
    """A bar over optimiser steps with loss and tokens per second."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.bar: tqdm | None = None
        self.trainer: KnotTrainer | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the bar."""
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
        speed = sum(self.trainer.lengths) * state.epoch / max(meter.seconds, 1e-9)
        loss = meter.loss * args.world_size / meter.steps
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


def _trainer(
    params: Params,
    adapter: Adapter,
    model: nn.Module,
    answer: Answer,
    examples: Sequence[Example],
    selection: Sequence[Example],
    epochs: int,
    seed: int,
    checkpoints: Path,
) -> KnotTrainer:
    train, optimizer = params.train, params.train.optimizer
    place = models.device()
    text = isinstance(answer, Text)
    args = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=epochs,
        per_device_train_batch_size=train.batch.size,
        gradient_accumulation_steps=train.batch.accumulation,
        learning_rate=params.chosen.learning_rate,
        weight_decay=optimizer.weight_decay,
        adam_beta1=optimizer.betas[0],
        adam_beta2=optimizer.betas[1],
        max_grad_norm=optimizer.max_grad_norm,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(optimizer.schedule, optimizer.schedule),
        warmup_steps=optimizer.warmup,
        activation_checkpointing=train.gradient_checkpointing,
        bf16=_bf16(train.precision, place),
        seed=seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="no",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_metric",
        greater_is_better=not text,
        restore_callback_states_from_checkpoint=True,
        use_cpu=place.type == "cpu",
        ddp_find_unused_parameters=False,
        ddp_backend="gloo" if place.type == "cpu" and "WORLD_SIZE" in os.environ else None,
        disable_tqdm=True,
        report_to="none",
    )
    if args.world_size > len(examples) // -(-len(examples) // train.batch.size):
        raise UserError(
            f"train.batch.size: {train.batch.size} examples are too few for {args.world_size} processes; raise it"
        )

    def select(model: nn.Module) -> dict[str, float]:
        return selection_figures(model, answer, selection)

    progress = Progress("training")
    callbacks = [SaveEvery(train.checkpoint_steps), MarkComplete(), StopWithPipeline(), progress]
    if train.patience is not None:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=train.patience))
    trainer = KnotTrainer(model, args, answer, examples, train.batch.size, select, adapter.penalty, callbacks)
    progress.trainer = trainer
    trainer.remove_callback(PrinterCallback)
    return trainer


def selection_figures(model: nn.Module, answer: Answer, examples: Sequence[Example]) -> dict[str, float]:
    """Loss and metric (accuracy, or perplexity for text) of the rows that choose the epoch."""
    scores = score(model, answer, examples, SELECTION_BATCH_TOKENS)
    loss = float(scores.nll.sum() / scores.tokens.sum())
    if isinstance(answer, Text):
        return {"loss": loss, "metric": float(torch.tensor(loss).exp()), "largest_share": 0.0}
    predictions = scores.probabilities.argmax(1)
    gold = [example.row.label for example in examples]
    shares = pd.Series(predictions).value_counts(normalize=True)
    return {
        "loss": loss,
        "metric": float((predictions == gold).mean()),
        "largest_share": float(shares.max()),
    }


def _bf16(precision: str, place: torch.device) -> bool:
    if precision == "auto":
        return place.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bf16"


def _announce(
    title: str, params: Params, trainer: KnotTrainer, adapter: Adapter, trainable: dict[str, int], answer: Answer
) -> None:
    """One line on what is about to run, after the check that it fits."""
    model, lengths = trainer.model, trainer.lengths
    parameters = sum(parameter.numel() for parameter in model.parameters())
    batches = trainer.batches().batches(0)
    needed = bytes_needed(model.config, answer, parameters, sum(trainable.values()), batches, lengths)
    check_memory(needed, trainer.args.device)
    epochs = int(trainer.args.num_train_epochs)
    examples = trainer.train_dataset.examples
    way = adapter.speed_up(model.to(trainer.args.device), epochs * sum(lengths))
    chosen = [[examples[index] for index in batch] for batch in batches]
    seconds = seconds_needed(model, answer, chosen, epochs) / trainer.args.world_size
    if trainer.is_world_process_zero():
        print(
            f"{title}: {params.adapter}, {sum(trainable.values()):,} trainable parameters, {len(lengths):,} rows, "
            f"{epochs} epochs, {epochs * sum(lengths):,} tokens; about {needed / 2**30:.1f} GiB and "
            f"{seconds / 60:.1f} minutes on {trainer.args.device}" + (f"; {way}" if way else ""),
            flush=True,
        )


def _history(trainer: KnotTrainer, seed: int) -> pd.DataFrame:
    rows = []
    for entry in trainer.state.log_history:
        if "eval_loss" not in entry:
            continue
        renamed = {
            "seed": seed,
            "epoch": round(entry["epoch"]),
            "step": entry["step"],
            "train_loss": entry["eval_train_loss"],
            "selection_loss": entry["eval_loss"],
            "selection_metric": entry["eval_metric"],
        }
        kept = {key: entry[f"eval_{key}"] for key in ("learning_rate", "tokens_per_second", "seconds")}
        rows.append({**renamed, **kept})
    return pd.DataFrame(rows, columns=HISTORY)


def _outcome(trainer: KnotTrainer, history: pd.DataFrame, text: bool, epochs: int) -> dict[str, Any]:
    """Figures of the finished training for the card."""
    shares = [e["eval_largest_share"] for e in trainer.state.log_history if "eval_largest_share" in e]
    stall, stall_reason = failures.stall(history["train_loss"].tolist())
    accuracies = [] if text else history["selection_metric"].tolist()
    collapse, collapse_reason = failures.collapse(accuracies, [] if text else shares)
    metric = history["selection_metric"]
    best = None if history.empty else (metric.idxmin() if text else metric.idxmax())
    seconds = trainer.meter.seconds
    memory = (
        torch.cuda.max_memory_allocated() / 2**20
        if trainer.args.device.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    )
    return {
        "epochs_planned": epochs,
        "epochs": len(history),
        "steps": trainer.state.global_step,
        "best_epoch": None if best is None else int(history["epoch"][best]),
        "selection_metric": None if best is None else float(metric[best]),
        "train_seconds": seconds,
        "tokens_per_second": len(history) * sum(trainer.lengths) / seconds if seconds else 0.0,
        "peak_memory_mb": memory,
        "padding_waste": padding_waste(trainer.batches().batches(0), trainer.lengths),
        "stall": stall,
        "collapse": collapse,
        "reasons": [reason for reason in (stall_reason, collapse_reason) if reason],
    }
