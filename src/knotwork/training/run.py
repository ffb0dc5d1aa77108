"""One run: an adapter trained on a task with a seed, saved with its card."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from transformers import EarlyStoppingCallback, PrinterCallback, TrainingArguments

from knotwork import adapters, models, provenance, tasks
from knotwork.adapters.adapter import Adapter, Setup
from knotwork.answers import Answer, Joint, Text
from knotwork.encoding import Example
from knotwork.errors import UserError
from knotwork.files import read_json, whole_folder, write_json, write_text
from knotwork.identity import base_folder
from knotwork.inference import score
from knotwork.members import member_settings
from knotwork.params import Params
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
from knotwork.training.estimate import FLOAT, bytes_needed, check_memory, seconds_needed
from knotwork.training.outcome import forget_peak_memory, history, outcome, signatures
from knotwork.training.parts import Part, answer_of, described, read_part, sampler, setup_batches
from knotwork.training.progress import Progress
from knotwork.training.trainer import KnotTrainer

SCHEMA_VERSION = 1
SELECTION_BATCH_TOKENS = 8192


def decisive(
    params: Params, task: str, seed: int, base: dict[str, Any], files: dict[str, Any], graphs: dict[str, Any]
) -> dict[str, Any]:
    """Everything but code that decides a run's weights, by dotted parameter name; files by their hashes."""
    train = params.train
    return {
        "task": task,
        "seed": seed,
        "adapter": params.adapter,
        **{f"{params.adapter}.{key}": value for key, value in params.chosen.model_dump().items()},
        **{
            key: value
            for settings in member_settings(params, task).values()
            for key, value in settings.items()
            if key != "code"  # the checkpoints' key has it
        },
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
    task, adapter, members = tasks.get(task_name), adapters.get(params.adapter), params.members(task_name)
    identity = read_json(data / "identity/base.json")
    folder = base_folder(params.base.path, params.base.revision)
    tokenizer = models.load_tokenizer(folder)
    parts = [read_part(params, member, data, tokenizer, adapter) for member in members]
    answer = answer_of(params, task_name, parts, tokenizer)
    fresh = models.fresh_base(folder, answer, params.base.max_length, seed)
    files, graph_files = ({part.task.name: getattr(part, kind) for part in parts} for kind in ("files", "graphs"))
    if task_name in files:
        files, graph_files = files[task_name], graph_files[task_name]
    decided = decisive(params, task_name, seed, identity, files, graph_files)

    setup = Setup(
        params.budget.trainable_parameters,
        seed,
        lambda: setup_batches(parts, answer, seed),
        data / "graphs" / members[0].place,
    )
    model = adapter.prepare(fresh(), params.chosen, answer, setup)
    trainable = models.count_trainable(model, answer.head)
    # The head adapter has nothing to train for a member without a head.
    trained = [part for part in parts if trainable["adapter"] or answer.of(part.task.name).head]
    machine = {"processes": os.environ.get("WORLD_SIZE", "1"), "device": models.device().type}
    checkpoints = ROOT / run_key(decided | machine)
    epochs = getattr(params.train.epochs, task_name) if trained else 0
    with locked(checkpoints):
        trainer = _trainer(params, adapter, model, answer, trained or parts, epochs, seed, checkpoints)
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
        several = [part.task.name for part in parts] if isinstance(answer, Joint) else []
        curves = history(trainer, seed, several)
        card = {
            "schema_version": SCHEMA_VERSION,
            "task": task_name,
            "title": task.title,
            "adapter": params.adapter,
            "seed": seed,
            "answer": getattr(params.answer, task_name),
            **described(parts),
            "max_length": params.base.max_length,
            "base": {**identity, "path": params.base.path},
            "corpus": {"manifest": params.corpus.manifest, "files": files},
            "graphs": params.graphs.model_dump() if params.uses_graphs else None,
            "selection": str(params.train.selection),
            "decisive": decided,
            "note": adapter.note(params.chosen, answer),
            "trainable": trainable,
            "training": outcome(trainer, curves, isinstance(answer, Text), epochs),
            "machine": provenance.machine(str(trainer.args.device), torch.get_num_threads()),
            "versions": provenance.versions(),
            **provenance.commit(),
        }
        if several:
            card |= _by_member(params, parts, answer, trainer, curves, card)
        else:
            card["training"] |= signatures(trainer, curves, isinstance(answer, Text))
        with whole_folder(destination) as aside:
            with writing(destination):
                adapter.save(trainer.model, aside, answer)
            curves.to_csv(aside / "history.csv", index=False, lineterminator="\n", float_format="%.8g")
            write_json(aside / "run.json", card)
            write_text(aside / "README.md", model_card(card))
        shutil.rmtree(checkpoints, ignore_errors=True)


def _by_member(
    params: Params,
    parts: Sequence[Part],
    answer: Joint,
    trainer: KnotTrainer,
    curves: pd.DataFrame,
    card: dict[str, Any],
) -> dict[str, Any]:
    """Changes to the card: ``members`` holds what the card of a single task says otherwise than that of all."""
    members = {}
    best = curves[curves["epoch"] == card["training"]["best_epoch"]]
    for part in parts:
        name = part.task.name
        text = isinstance(answer.of(name), Text)
        metric = None if best.empty else best[f"{name}_selection_metric"].item()
        members[name] = {
            "task": name,
            "title": part.task.title,
            "answer": getattr(params.answer, name),
            **described([part]),
            "corpus": card["corpus"] | {"files": part.files},
            "training": card["training"]
            | {"selection_metric": None if pd.isna(metric) else metric}
            | signatures(trainer, curves, text, f"{name}_"),
        }
    found = [member["training"] for member in members.values()]
    worst = {key: _worst([each[key] for each in found]) for key in ("stall", "collapse")}
    reasons = [f"{name}: {reason}" for name, each in members.items() for reason in each["training"]["reasons"]]
    return {"members": members, "training": card["training"] | worst | {"reasons": reasons}}


def _worst(signs: Sequence[str]) -> str:
    return next(sign for sign in ("yes", "not assessed", "no") if sign in signs)


def _trainer(
    params: Params,
    adapter: Adapter,
    model: nn.Module,
    answer: Answer,
    parts: Sequence[Part],
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
        ddp_find_unused_parameters=isinstance(answer, Joint),  # a step uses one head
        ddp_backend="gloo" if place.type == "cpu" and "WORLD_SIZE" in os.environ else None,
        disable_tqdm=True,
        report_to="none",
    )
    batches = sampler(params, answer, parts, seed)
    if args.world_size > min(map(len, batches().batches(0))):
        raise UserError(
            f"train.batch.size: {train.batch.size} examples are too few for {args.world_size} processes; raise it"
        )

    def select(model: nn.Module) -> dict[str, float]:
        figures = {
            part.task.name: selection_figures(model, answer.of(part.task.name), part.selection) for part in parts
        }
        return joint_figures(answer, figures) if isinstance(answer, Joint) else figures.popitem()[1]

    examples = [example for part in parts for example in part.examples]
    progress = Progress("training")
    callbacks = [SaveEvery(train.checkpoint_steps), MarkComplete(), StopWithPipeline(), progress]
    if train.patience is not None:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=train.patience))
    trainer = KnotTrainer(model, args, answer, examples, batches, select, adapter.penalty, callbacks)
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


def joint_figures(answer: Joint, figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """Loss and metric of several tasks together, and those of each.

    The loss is what is trained: the mean of the tasks' losses by their weights. The metric is the geometric mean of
    accuracies and, for text, of the probability per token (one over the perplexity), so that a relative gain counts
    the same whichever task makes it and no task's scale decides the epoch.
    """
    weights = {name: answer.weight(name) for name in figures}
    parts = [
        1 / each["metric"] if isinstance(answer.of(name), Text) else each["metric"]
        for name, each in figures.items()
    ]
    loss = sum(weights[name] * each["loss"] for name, each in figures.items()) / sum(weights.values())
    own = {f"{name}_{key}": value for name, each in figures.items() for key, value in each.items()}
    return {"loss": loss, "metric": float(np.prod(parts) ** (1 / len(parts))), **own}


def _bf16(precision: str, place: torch.device) -> bool:
    if precision == "auto":
        return place.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bf16"


def _announce(
    title: str, params: Params, trainer: KnotTrainer, adapter: Adapter, trainable: dict[str, int], answer: Answer
) -> None:
    """One line on what is about to run, after the check that it fits."""
    model, lengths, place = trainer.model, trainer.lengths, trainer.args.device
    parameters = sum(parameter.numel() for parameter in model.parameters())
    examples, epochs = trainer.train_dataset.examples, int(trainer.args.num_train_epochs)
    by_task: dict[str, list[list[int]]] = {}
    for batch in trainer.batches():  # this process's share of them
        by_task.setdefault(examples[batch[0]].task, []).append(batch)
    trained, checkpointed = sum(trainable.values()), trainer.args.activation_checkpointing
    needed = max(
        bytes_needed(model.config, answer.of(task), parameters, trained, batches, lengths, checkpointed)
        for task, batches in by_task.items()
    )
    loaded = FLOAT * parameters if model.device.type == place.type else 0  # its weights, in use already
    processes = trainer.args.world_size if place.type == "cpu" else 1  # that share the memory
    check_memory(processes * (needed - loaded), place)
    tokens = epochs * trainer.batches().tokens(0)
    way = adapter.speed_up(model.to(place), tokens)
    if checkpointed:
        model.activation_checkpointing_enable()  # the Trainer would do it after the estimate
    with trainer.accelerator.autocast():  # in the precision of the training
        seconds = sum(
            seconds_needed(model, answer.of(task), [[examples[i] for i in batch] for batch in batches], epochs)
            for task, batches in by_task.items()
        )
    forget_peak_memory(place)
    if trainer.is_world_process_zero():
        print(
            f"{title}: {params.adapter}, {trained:,} trainable parameters, {len(lengths):,} rows, "
            f"{epochs} epochs, {tokens:,} tokens; about {needed / 2**30:.1f} GiB and "
            f"{seconds / 60:.1f} minutes on {place}" + (f"; {way}" if way else ""),
            flush=True,
        )
