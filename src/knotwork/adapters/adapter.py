"""What every adapter package offers: prepare, save and load, and what it adds to a task's examples."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from knotwork.answers import Answer
from knotwork.encoding import Example
from knotwork.params import Adapter as Settings
from knotwork.params import Graphs
from knotwork.tasks.task import Task

FreshBase = Callable[..., PreTrainedModel]
"""``base()`` is a fresh base model, ``base(folder)`` the same architecture read from a folder."""

Complete = Callable[[Sequence[Example]], list[Example]]
"""Gives examples what the adapter needs beside token ids."""


@dataclass(frozen=True)
class Setup:
    """What an adapter may look at before training starts.

    Attributes:
        budget: trainable parameters to spend, heads not counted; ``None``: the ranks are given.
        seed: of the run.
        batches: starts over batches of training rows in a seeded order, as the model takes them (no labels).
        graphs: ``data/graphs/<task>/``.
    """

    budget: int | None
    seed: int
    batches: Callable[[], Iterator[dict[str, Tensor]]]
    graphs: Path


class Adapter(ABC):
    """An adapter; stateless, one instance a package, named ``ADAPTER``."""

    @abstractmethod
    def prepare(self, model: PreTrainedModel, settings: Settings, answer: Answer, setup: Setup) -> PreTrainedModel:
        """Make the adapter's weights trainable in a fresh base and return the model to train."""

    @abstractmethod
    def save(self, model: PreTrainedModel, folder: Path, answer: Answer) -> None:
        """Write what was trained."""

    @abstractmethod
    def load(self, folder: Path, base: FreshBase, answer: Answer) -> PreTrainedModel:
        """The trained model."""

    def attach(self, examples: Sequence[Example], folder: Path, made: Graphs | None = None) -> list[Example]:
        """Examples with what ``data/graphs/<task>/`` holds for them: nothing, for most adapters.

        Args:
            examples: prompts of the task.
            folder: ``data/graphs/<task>/``.
            made: the parameters by which it must have been made, where they matter.
        """
        return list(examples)

    def connect(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, card: dict[str, Any]
    ) -> Complete:
        """Ready a loaded model for texts never seen; gives what completes their examples."""
        return list

    def speed_up(self, model: PreTrainedModel, tokens: int) -> str:
        """Ready a model for a training of so many tokens; gives what a user should know of the way taken."""
        return ""

    def note(self, settings: Settings, answer: Answer) -> str:
        """What a reader of the run's card has to know of these settings."""
        return ""

    def figures(self, folder: Path) -> dict[str, float]:
        """Numbers for a task's metrics that only this adapter has, from ``data/graphs/<task>/``."""
        return {}

    def pictures(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        answer: Answer,
        examples: Sequence[Example],
    ) -> dict[str, Any]:
        """Data of the adapter's own pictures in the report, from a trained model and the dev examples."""
        return {}

    def penalty(self, model: PreTrainedModel) -> Tensor | None:
        """What is added to the training loss, if anything."""
        return None
