"""Rows to token ids: the prompt, cut to the context with its fixed parts whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from knotwork.corpora import Row
from knotwork.errors import UserError
from knotwork.graphs.token_graph import TokenGraph
from knotwork.tasks.task import Classification, Task

if TYPE_CHECKING:  # the stage that builds graphs must start quickly
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Example:
    """A row as the model sees it.

    Attributes:
        row: where it came from.
        ids: token ids of the whole prompt; a sonnet ends with the end-of-text token.
        truncated: whether a text was cut.
        graph: its token graph, where the adapter uses one.
        task: the name of its task.
    """

    row: Row
    ids: list[int]
    truncated: bool
    graph: TokenGraph | None = None
    task: str = ""


def encode(task: Task, rows: Sequence[Row], tokenizer: "PreTrainedTokenizerBase", max_length: int) -> list[Example]:
    """Token ids of every row, at most ``max_length`` tokens each.

    Raises:
        UserError: the prompt without its texts is already longer than ``max_length``.
    """
    if isinstance(task, Classification):
        return [_prompt(task, row, tokenizer, max_length) for row in rows]
    examples = []
    for row in rows:
        ids = [*tokenizer(task.template.format(*row.texts))["input_ids"], tokenizer.eos_token_id]
        examples.append(Example(row, ids[:max_length], truncated=len(ids) > max_length, task=task.name))
    return examples


def _prompt(task: Task, row: Row, tokenizer: "PreTrainedTokenizerBase", max_length: int) -> Example:
    """Cut texts from their ends, the longest first, until the prompt fits."""
    template, texts = task.template, list(row.texts)
    ids = tokenizer(template.format(*texts))["input_ids"]
    truncated = False
    while (excess := len(ids) - max_length) > 0:
        offsets = [tokenizer(text, return_offsets_mapping=True)["offset_mapping"] for text in texts]
        *_, second, longest = sorted([0, *map(len, offsets)])
        # Down to the second longest; texts that are about as long share what is left to cut.
        kept = longest - min(excess, max(longest - second, -(-excess // len(texts))))
        if kept < 1:
            raise UserError(
                f"base.max_length: {max_length} tokens are too few for the prompt {template!r}; raise it"
            )
        index = [len(pairs) for pairs in offsets].index(longest)
        texts[index] = texts[index][: offsets[index][kept][0]].rstrip()
        ids = tokenizer(template.format(*texts))["input_ids"]
        truncated = True
    return Example(row, ids, truncated, task=task.name)
