"""One variant of kan_questions.py trained with one seed: as the pipeline does, or until a few rows are known."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import kan_roughness
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

import knotwork
from knotwork import adapters, models, tasks
from knotwork.adapters.adapter import Setup
from knotwork.answers import Answer, answer_for, losses
from knotwork.corpora.select import cap
from knotwork.encoding import Example, encode
from knotwork.errors import UserError
from knotwork.files import digest, read_json, sha256, write_text
from knotwork.identity import base_folder
from knotwork.inference import score
from knotwork.params import Params
from knotwork.runs import Run, load_run
from knotwork.training.batches import LengthBatches
from knotwork.training.checkpoints import ROOT
from knotwork.training.run import selection_figures, train_run

DATA = Path("data")
MEMORY = ROOT / "kan-questions"
EXAMPLES, RIGHT = 64, 0.99


@dataclass(frozen=True)
class Trial:
    """A variant trained with one seed.

    Attributes:
        points: rows of the table; ``kept`` marks the weights that dev was scored with.
        facts: single figures.
        hits: whether each dev row is answered right, 0 or 1.
    """

    points: list[dict[str, Any]]
    facts: dict[str, Any]
    hits: list[int]


def remembered(trial: Callable[[Params, str, int], Trial], params: Params, task: str, seed: int) -> Trial:
    """A trial, or what an interrupted command left of the same: one with the same parameters, data and code."""
    file = MEMORY / f"{key_of([trial.__name__, params.model_dump(mode='json'), task, seed], task)}.json"
    if file.is_file():
        return Trial(**read_json(file))
    done = trial(params, task, seed)
    write_text(file, json.dumps(asdict(done)))  # keys in their order, which is that of the table's columns
    return done


def key_of(decisive: list[Any], task: str) -> str:
    """Hash of what decides a trial: what is given, the task's data, the base and the code."""
    code = [Path(__file__), Path(kan_roughness.__file__), *sorted(Path(knotwork.__file__).parent.rglob("*.py"))]
    files = [*code, *sorted((DATA / "raw" / task).glob("*")), DATA / "identity/base.json"]
    return digest([decisive, [sha256(file) for file in files if file.is_file()]])


def forget() -> None:
    """Delete what :func:`remembered` keeps."""
    shutil.rmtree(MEMORY, ignore_errors=True)


def by_epoch(params: Params, task: str, seed: int) -> Trial:
    """Train as the pipeline does: a point an epoch."""
    history, run = _trained(params, task, seed)
    facts = _facts(run, history)
    renamed = history.rename(columns={"selection_metric": "selection_accuracy"})
    points = renamed[["epoch", "train_loss", "selection_loss", "selection_accuracy"]].assign(
        stall=facts["stall"], kept=history["epoch"] == facts["best_epoch"]
    )
    return Trial(points.to_dict("records"), facts, hits(run.model, run.answer, params, task))


def by_grid(params: Params, task: str, seed: int) -> Trial:
    """The same with one point: the last training loss, and how rough the functions of the kept epoch are."""
    history, run = _trained(params, task, seed)
    splines = [spline for _, spline in run.model.base_model.splines()]
    rough = kan_roughness.of_splines(splines)
    point = {
        "train_loss": float(history["train_loss"].iloc[-1]),
        "roughness": rough.mean,
        "waves": rough.waves,
        "waves_drawn": kan_roughness.drawn_waves(splines[0].basis),
        "kept": True,
    }
    return Trial([point], _facts(run, history), hits(run.model, run.answer, params, task))


def by_pass(params: Params, task: str, seed: int) -> Trial:
    """Train on 64 rows at a constant rate until 99 % are answered right: a point a pass over them.

    Without a plan of the length there is no schedule and no warm-up; else the optimiser is the pipeline's.
    """
    model, answer, examples = prepared(params, task, seed, EXAMPLES)
    batch, optimizer = params.train.batch, params.train.optimizer
    trained = [value for value in model.parameters() if value.requires_grad]
    adam = torch.optim.AdamW(
        trained, params.chosen.learning_rate, betas=optimizer.betas, weight_decay=optimizer.weight_decay
    )
    sampler = LengthBatches([len(example.ids) for example in examples], batch.size, seed)
    passes = getattr(params.train.epochs, task)
    points = [_measured(model, answer, examples, 0)]
    with tqdm(total=passes, unit="pass", leave=False) as bar:
        while points[-1]["train_accuracy"] < RIGHT and len(points) <= passes:
            model.train()
            batches = sampler.batches(len(points) - 1)
            for indices in batches:
                _step(params, model, answer, [examples[index] for index in indices], trained, adam)
            points.append(_measured(model, answer, examples, points[-1]["step"] + len(batches)))
            bar.set_postfix_str(f"{points[-1]['train_accuracy']:.0%} right", refresh=False)
            bar.update()
    steps, share = points[-1]["step"], points[-1]["train_accuracy"]
    points = [{**point, "kept": point is points[-1]} for point in points]
    facts = {
        "rows": EXAMPLES,
        "trainable_parameters": models.count_trainable(model, answer.head)["adapter"],
        "steps": steps if share >= RIGHT else None,
        "train_accuracy": share,
    }
    return Trial(points, facts, hits(model, answer, params, task))


def prepared(params: Params, task_name: str, seed: int, rows: int) -> tuple[nn.Module, Answer, list[Example]]:
    """A model ready to train, how it is asked, and so many training rows, drawn as ``corpus.max_rows`` draws them.

    Raises:
        UserError: data or base are not there, or there are fewer rows.
    """
    task, raw = tasks.get(task_name), DATA / "raw" / task_name
    folder = base_folder(params.base.path, params.base.revision)
    tokenizer = models.load_tokenizer(folder)
    answer = answer_for(task, getattr(params.answer, task_name), tokenizer)
    found = task.read(raw, "train").rows
    if len(found) < rows:
        raise UserError(f"{raw}: {len(found)} training rows, {rows} are needed; take a larger corpus")
    examples = encode(task, cap(found, rows, params.corpus.seed), tokenizer, params.base.max_length)

    def batches() -> Iterator[dict[str, torch.Tensor]]:
        yield {name: tensor for name, tensor in answer.collate(examples).items() if name != "labels"}

    setup = Setup(params.budget.trainable_parameters, seed, batches, DATA / "graphs" / task_name)
    fresh = models.fresh_base(folder, answer, params.base.max_length, seed)
    model = adapters.get(params.adapter).prepare(fresh(), params.chosen, answer, setup)
    return model.to(models.device()), answer, examples


def _measured(model: nn.Module, answer: Answer, examples: list[Example], step: int) -> dict[str, Any]:
    figures = selection_figures(model, answer, examples)
    return {"step": step, "train_loss": figures["loss"], "train_accuracy": figures["metric"]}


def _step(
    params: Params,
    model: nn.Module,
    answer: Answer,
    examples: list[Example],
    trained: list[nn.Parameter],
    adam: torch.optim.Optimizer,
) -> None:
    batch = {name: tensor.to(trained[0].device) for name, tensor in answer.collate(examples).items()}
    labels = batch.pop("labels")
    loss = losses(answer.logits(model, batch), labels).mean()
    penalty = adapters.get(params.adapter).penalty(model)
    (loss if penalty is None else loss + penalty).backward()
    if params.train.optimizer.max_grad_norm:
        nn.utils.clip_grad_norm_(trained, params.train.optimizer.max_grad_norm)
    adam.step()
    adam.zero_grad()


def _trained(params: Params, task: str, seed: int) -> tuple[pd.DataFrame, Run]:
    """The learning curve and the kept weights of a run; its folder is not."""
    with tempfile.TemporaryDirectory() as folder:
        destination = Path(folder) / "run"
        train_run(params, task, seed, DATA, destination)
        return pd.read_csv(destination / "history.csv"), load_run(destination)


def _facts(run: Run, history: pd.DataFrame) -> dict[str, Any]:
    outcome = run.card["training"]
    return {
        "rows": run.card["rows"]["train"],
        "trainable_parameters": run.card["trainable"]["adapter"],
        "train_loss": float(history["train_loss"].iloc[-1]),
        **{key: outcome[key] for key in ("best_epoch", "stall", "reasons")},
        "train_seconds": round(outcome["train_seconds"], 1),
    }


def hits(model: nn.Module, answer: Answer, params: Params, task_name: str) -> list[int]:
    """Whether each dev row is answered right."""
    task, length = tasks.get(task_name), params.base.max_length
    tokenizer = models.load_tokenizer(base_folder(params.base.path, params.base.revision))
    examples = encode(task, task.read(DATA / "raw" / task_name, "dev").rows, tokenizer, length)
    probabilities = score(model, answer, examples, params.evaluate.batch_tokens).probabilities
    gold = [example.row.label for example in examples]
    return (probabilities.argmax(1) == gold).astype(int).tolist()
