"""Rows to token ids: the prompt, cut to the context with its fixed parts whole."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from knotwork.corpora import Row
from knotwork.errors import UserError
from knotwork.tasks.task import Classification, Task


@dataclass(frozen=True)
class Example:
    """A row as the model sees it.

    Attributes:
        row: where it came from.
        ids: token ids of the whole prompt; a sonnet ends with the end-of-text token.
        truncated: whether a text was cut.
    """

    row: Row
    ids: list[int]
    truncated: bool


def encode(task: Task, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[Example]:
    """Token ids of every row, at most ``max_length`` tokens each.

    Raises:
        UserError: the prompt without its texts is already longer than ``max_length``.
    """
    if isinstance(task, Classification):
        return [_prompt(task.template, row, tokenizer, max_length) for row in rows]
    examples = []
    for row in rows:
        ids = [*tokenizer(task.template.format(*row.texts))["input_ids"], tokenizer.eos_token_id]
        examples.append(Example(row, ids[:max_length], truncated=len(ids) > max_length))
    return examples


def _prompt(template: str, row: Row, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Example:
    """Cut the longest text from its end until the prompt fits."""
    texts = list(row.texts)
    ids = tokenizer(template.format(*texts))["input_ids"]
    truncated = False
    while len(ids) > max_length:
        longest = max(range(len(texts)), key=lambda index: len(texts[index]))
        offsets = tokenizer(texts[longest], return_offsets_mapping=True)["offset_mapping"]
        kept = len(offsets) - (len(ids) - max_length)
        if kept < 1:
            raise UserError(
                f"base.max_length: {max_length} tokens are too few for the prompt {template!r}; raise it"
            )
        texts[longest] = texts[longest][: offsets[kept][0]].rstrip()
        ids = tokenizer(template.format(*texts))["input_ids"]
        truncated = True
    return Example(row, ids, truncated)
