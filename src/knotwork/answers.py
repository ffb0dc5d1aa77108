"""How an answer is read off the model: a score head, label words, or text; jointly for several tasks.

Each way says which model class it needs, how examples become a batch, and what the logits and labels of a
batch are; training and evaluation use nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import (
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from knotwork.encoding import Example
from knotwork.errors import UserError
from knotwork.graphs import token_graph
from knotwork.heads import GPT2WithHeads
from knotwork.tasks.task import Classification, Task

IGNORED = -100
Batch = dict[str, Tensor]


class OneTask:
    """What the ways of a single task share.

    Attributes:
        causal: whether every token is predicted, so that none may see later ones.
    """

    causal: ClassVar[bool] = False

    def of(self, task: str) -> "Answer":
        """The answer of a task."""
        return self

    def task(self, batch: Batch) -> str:
        """The task of a batch among several; there is one, without a name."""
        return ""

    def weight(self, task: str) -> float:
        """What the task's mean loss counts for."""
        return 1.0


@dataclass(frozen=True)
class Score(OneTask):
    """``GPT2ForSequenceClassification``: a linear head on the last token of the prompt."""

    model_class: ClassVar[type[PreTrainedModel]] = GPT2ForSequenceClassification
    peft_task: ClassVar[str] = "SEQ_CLS"
    head: ClassVar[str | None] = "score"

    pad_id: int
    classes: int

    @property
    def config(self) -> dict[str, Any]:
        """What the model's configuration has to say."""
        return {"num_labels": self.classes, "pad_token_id": self.pad_id}

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Padded on the right; labels (batch,)."""
        batch = _pad(examples, self.pad_id)
        batch["labels"] = _labels(examples)
        return batch

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits of the classes, (batch, classes)."""
        return model(**batch).logits


@dataclass(frozen=True)
class OwnHead(Score):
    """``GPT2WithHeads``: as :class:`Score`, by the task's head among those of others."""

    name: str

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits of the classes, (batch, classes)."""
        return model(**batch, head=self.name).logits


@dataclass(frozen=True)
class LanguageModel(OneTask):
    """``GPT2LMHeadModel``: nothing is added to the pretrained model."""

    model_class: ClassVar[type[PreTrainedModel]] = GPT2LMHeadModel
    peft_task: ClassVar[str] = "CAUSAL_LM"
    head: ClassVar[str | None] = None

    pad_id: int

    @property
    def config(self) -> dict[str, Any]:
        """What the model's configuration has to say."""
        return {}


@dataclass(frozen=True)
class Words(LanguageModel):
    """The language model's logits of one word for each class, after the prompt."""

    word_ids: tuple[int, ...]

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Padded on the left, so that the last position of every row is its prompt's end."""
        batch = _pad(examples, self.pad_id, left=True)
        batch["position_ids"] = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        batch["labels"] = _labels(examples)
        return batch

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits of the label words, (batch, classes)."""
        last = model(**batch, logits_to_keep=1).logits[:, -1]
        return last[:, list(self.word_ids)]


@dataclass(frozen=True)
class Text(LanguageModel):
    """Language modelling: every token is predicted from those before it."""

    causal: ClassVar[bool] = True

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Padded on the right; labels (batch, tokens): the next token, ignored after the end."""
        batch = _pad(examples, self.pad_id)
        mask = batch["attention_mask"][:, 1:].bool()
        labels = torch.full_like(batch["input_ids"], IGNORED)
        labels[:, :-1] = batch["input_ids"][:, 1:].masked_fill(~mask, IGNORED)
        batch["labels"] = labels
        return batch

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits of the next token, (batch, tokens, vocabulary)."""
        return model(**batch).logits


@dataclass(frozen=True)
class Joint:
    """``GPT2WithHeads``: several tasks, each answered in its own way. A batch holds examples of one task.

    Attributes:
        members: the answer of each task.
        weights: what each task's mean loss counts for.
    """

    model_class: ClassVar[type[PreTrainedModel]] = GPT2WithHeads
    peft_task: ClassVar[str] = "CAUSAL_LM"

    members: Mapping[str, Score | Words | Text]
    weights: Mapping[str, float]

    @property
    def heads(self) -> dict[str, int]:
        """Number of classes of the tasks that have a head."""
        return {name: member.classes for name, member in self.members.items() if isinstance(member, Score)}

    @property
    def head(self) -> str | None:
        """The module that holds the heads, if there are any."""
        return "score" if self.heads else None

    @property
    def causal(self) -> bool:
        """Whether one of them predicts every token."""
        return any(member.causal for member in self.members.values())

    @property
    def config(self) -> dict[str, Any]:
        """What the model has to be told."""
        return {"heads": self.heads}

    def of(self, task: str) -> "Answer":
        """The answer of a task."""
        return self.members[task]

    def task(self, batch: Batch) -> str:
        """The task of a batch."""
        return list(self.members)[int(batch["task"][0])]

    def weight(self, task: str) -> float:
        """What the task's mean loss counts for."""
        return self.weights[task]

    def collate(self, examples: Sequence[Example]) -> Batch:
        """As the task's own way does it, with ``task`` (batch,), the task's place among the members."""
        (task,) = {example.task for example in examples}
        place = torch.full((len(examples),), list(self.members).index(task))
        return {**self.members[task].collate(examples), "task": place}

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits as the task's own way gives them."""
        inputs = {name: tensor for name, tensor in batch.items() if name != "task"}
        return self.members[self.task(batch)].logits(model, inputs)


Answer = Score | Words | Text | Joint


def answer_for(task: Task, way: str, tokenizer: PreTrainedTokenizerBase) -> Answer:
    """The way ``answer.<task>`` names, for this tokenizer.

    Raises:
        UserError: two label words begin with the same token.
    """
    pad_id = tokenizer.eos_token_id
    if not isinstance(task, Classification):
        return Text(pad_id)
    if way == "score":
        return Score(pad_id, len(task.classes))
    word_ids = tuple(tokenizer(word)["input_ids"][0] for word in task.label_words)
    if len(set(word_ids)) < len(word_ids):
        raise UserError(
            f"answer.{task.name}: two of the label words {task.label_words} begin with the same token "
            "for this tokenizer; use answer: score"
        )
    return Words(pad_id, word_ids)


def joint_answer(
    members: Mapping[Task, str], weights: Mapping[str, float], tokenizer: PreTrainedTokenizerBase
) -> Joint:
    """The answer of several tasks, each by the way that stands for it.

    Raises:
        UserError: as :func:`answer_for`.
    """
    answers = {task.name: answer_for(task, way, tokenizer) for task, way in members.items()}
    own = {
        name: OwnHead(answer.pad_id, answer.classes, name) if isinstance(answer, Score) else answer
        for name, answer in answers.items()
    }
    return Joint(own, weights)


def losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every prediction in nats, in fp32, flat; 0 where the label is ignored."""
    return nn.functional.cross_entropy(
        logits.flatten(0, -2).float(), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )


def _labels(examples: Sequence[Example]) -> Tensor:
    labels = [IGNORED if example.row.label is None else example.row.label for example in examples]
    return torch.tensor(labels)


def _pad(examples: Sequence[Example], pad_id: int, left: bool = False) -> Batch:
    width = max(len(example.ids) for example in examples)
    ids = torch.full((len(examples), width), pad_id)
    mask = torch.zeros_like(ids)
    for index, example in enumerate(examples):
        place = slice(width - len(example.ids), width) if left else slice(len(example.ids))
        ids[index, place] = torch.tensor(example.ids)
        mask[index, place] = 1
    batch = {"input_ids": ids, "attention_mask": mask}
    graphs = [example.graph for example in examples if example.graph is not None]
    if graphs:
        batch |= {name: torch.from_numpy(array) for name, array in token_graph.collate(graphs, width, left).items()}
    return batch
