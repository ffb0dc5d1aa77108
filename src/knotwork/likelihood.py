"""How likely a language model finds the rest of a text, given its beginning."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedTokenizerBase

from knotwork.answers import IGNORED, Text, losses
from knotwork.encoding import Example
from knotwork.errors import UserError
from knotwork.inference import by_length
from knotwork.statistics import given_lines

Floats = NDArray[np.float64]


def given_tokens(tokenizer: PreTrainedTokenizerBase, text: str, opening: str) -> int:
    """How many tokens of a text belong to its opening and the line break after it.

    A token that reaches over the opening's end belongs to it.
    """
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    return sum(start <= len(opening) for start, _ in offsets)


def true_continuation(
    model: nn.Module,
    answer: Text,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    batch_tokens: int,
) -> tuple[Floats, Floats]:
    """What :func:`continuation_nll` says of true sonnets after their given lines.

    Raises:
        UserError: a sonnet is cut within its given lines, so that there is nothing to say.
    """
    texts = [example.row.texts[0] for example in examples]
    given = [given_tokens(tokenizer, text, given_lines(text)) for text in texts]
    for example, count in zip(examples, given, strict=True):
        if len(example.ids) <= count:
            raise UserError(
                f"base.max_length: {len(example.ids)} tokens cut sonnet {example.row.id} within its given lines, "
                f"which take {count}; raise it"
            )
    return continuation_nll(model, answer, examples, given, batch_tokens)


@torch.no_grad()
def continuation_nll(
    model: nn.Module, answer: Text, examples: Sequence[Example], given: Sequence[int], batch_tokens: int
) -> tuple[Floats, Floats]:
    """Negative log-likelihood of what follows each example's given tokens, under the model in evaluation mode.

    Args:
        model: a language model.
        answer: makes its batches.
        examples: whole texts.
        given: how many tokens of each are given, at least 1.
        batch_tokens: tokens of a batch, padding included.

    Returns:
        For each example the summed negative log-likelihood in nats, and the number of tokens behind it.
    """
    place = next(model.parameters()).device
    nll, tokens = np.zeros(len(examples)), np.zeros(len(examples))
    was_training = model.training
    model.eval()
    for indices in by_length([len(example.ids) for example in examples], batch_tokens):
        batch = {name: tensor.to(place) for name, tensor in answer.collate([examples[i] for i in indices]).items()}
        labels = batch.pop("labels")
        for row, index in enumerate(indices):
            labels[row, : given[index] - 1] = IGNORED  # the label of a place is the token after it
        flat = losses(answer.logits(model, batch), labels).cpu().double().numpy()
        nll[indices] = flat.reshape(len(indices), -1).sum(1)
        tokens[indices] = (labels != IGNORED).sum(1).cpu().numpy()
    model.train(was_training)
    return nll, tokens
