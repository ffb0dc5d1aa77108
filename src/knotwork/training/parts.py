"""What a run is trained on: the rows of its task, or of each member of multitask."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from knotwork import tasks
from knotwork.adapters.adapter import Adapter
from knotwork.answers import Answer, Joint, answer_for, joint_answer
from knotwork.corpora import Row
from knotwork.corpora.select import cap, hold_out
from knotwork.encoding import Example, encode
from knotwork.errors import UserError
from knotwork.files import digest, sha256
from knotwork.params import MULTITASK, Member, Params
from knotwork.tasks.task import Task
from knotwork.training.batches import EpochBatches, LengthBatches, TaskBatches

SETUP_BATCH = 16


@dataclass(frozen=True)
class Part:
    """A task of a run.

    Attributes:
        task: the task.
        examples: to train on.
        selection: those that choose the epoch.
        counts: of rows.
        files: hashes of its corpus files.
        graphs: hashes of its graphs, where the adapter uses them.
    """

    task: Task
    examples: list[Example]
    selection: list[Example]
    counts: dict[str, int]
    files: dict[str, str]
    graphs: dict[str, str]

    @property
    def truncated(self) -> int:
        """Examples with a text that was cut."""
        return sum(example.truncated for example in [*self.examples, *self.selection])


def read_part(
    params: Params, member: Member, data: Path, tokenizer: PreTrainedTokenizerBase, adapter: Adapter
) -> Part:
    """Read the rows of a task and encode them.

    Raises:
        UserError: the files are missing or broken, or the graphs are stale.
    """
    task, raw, graphs = tasks.get(member.task), data / "raw" / member.place, data / "graphs" / member.place
    rows, chosen, counts = split_rows(params, member, raw)
    examples, selection = (
        adapter.attach(encode(task, some, tokenizer, params.base.max_length), graphs, params.graphs)
        for some in (rows, chosen)
    )
    return Part(task, examples, selection, counts, _hashes(raw), _hashes(graphs) if params.uses_graphs else {})


def split_rows(params: Params, member: Member, raw: Path) -> tuple[list[Row], list[Row], dict[str, int]]:
    """Rows to train on, rows that choose the epoch, and how many there were."""
    task = tasks.get(member.task)
    table = task.read(raw, "train")
    rows = cap(table.rows, member.max_rows, params.corpus.seed)
    if params.train.selection == "dev":
        chosen = task.read(raw, "dev").rows
    else:
        rows, chosen = hold_out(rows, params.train.selection, params.corpus.seed)
    counts = {"train_all": len(table.rows), "train": len(rows), "selection": len(chosen), "skipped": table.skipped}
    return rows, chosen, counts


def answer_of(params: Params, name: str, parts: Sequence[Part], tokenizer: PreTrainedTokenizerBase) -> Answer:
    """How the model of a run is asked.

    Raises:
        UserError: two label words of a task begin with the same token.
    """
    ways = {part.task: getattr(params.answer, part.task.name) for part in parts}
    if name != MULTITASK:
        ((task, way),) = ways.items()
        return answer_for(task, way, tokenizer)
    weights = {task.name: getattr(params.multitask.loss_weights, task.name) for task in ways}
    return joint_answer(ways, weights, tokenizer)


def sampler(params: Params, answer: Answer, parts: Sequence[Part], seed: int) -> Callable[..., EpochBatches]:
    """Gives the batches of a process from its rank and the number of processes."""
    lengths = [len(example.ids) for part in parts for example in part.examples]
    batch = params.train.batch
    if not isinstance(answer, Joint):
        return lambda rank=0, world=1: LengthBatches(lengths, batch.size, seed, rank, world)
    counts, temperature = [len(part.examples) for part in parts], params.multitask.temperature
    return lambda rank=0, world=1: TaskBatches(
        lengths, counts, batch.size, batch.accumulation, temperature, seed, rank, world
    )


def setup_batches(parts: Sequence[Part], answer: Answer, seed: int) -> Iterator[dict[str, Tensor]]:
    """Training rows of all tasks as the model takes them, without labels, in a seeded order."""
    examples = [example for part in parts for example in part.examples]
    order = np.random.default_rng(seed).permutation(len(examples))
    for start in range(0, len(order), SETUP_BATCH):
        chosen = [examples[index] for index in order[start : start + SETUP_BATCH]]
        for task in dict.fromkeys(example.task for example in chosen):
            batch = answer.of(task).collate([example for example in chosen if example.task == task])
            yield {name: tensor for name, tensor in batch.items() if name != "labels"}


def described(parts: Sequence[Part]) -> dict[str, Any]:
    """Prompt and counts of a run's tasks together."""
    if len(parts) == 1:
        prompt = parts[0].task.prompt
    else:
        prompts = {part.task.name: part.task.prompt for part in parts}
        template = "\n\n".join(f"{name}: {each['template']}" for name, each in prompts.items())
        prompt = {"template": template, "sha256": digest(prompts, length=64)}
    return {
        "prompt": prompt,
        "rows": {key: sum(part.counts[key] for part in parts) for key in parts[0].counts},
        "truncated": sum(part.truncated for part in parts),
    }


def _hashes(folder: Path) -> dict[str, str]:
    try:
        return {file.stem: sha256(file) for file in sorted(folder.iterdir())}
    except FileNotFoundError as error:
        raise UserError(f"{folder}: not found; run `dvc repro`, which makes it first") from error
