"""Forward passes over many examples: batched by length, logits reduced batch by batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from knotwork.answers import IGNORED, Answer, Text, losses
from knotwork.encoding import Example

Floats = NDArray[np.float64]

WASTE = 1.05


@dataclass(frozen=True)
class Scores:
    """What a model says about examples, in their order.

    Attributes:
        probabilities: of the classes, (examples, classes); no columns for a language model.
        nll: negative log-likelihood in nats of the label, or summed over the text's tokens; 0 without a label.
        tokens: predictions behind ``nll``: 1 per labelled example, or the text's tokens after its first.
        waste: tokens computed over real tokens.
    """

    probabilities: Floats
    nll: Floats
    tokens: Floats
    waste: float


def by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices in batches of similar length.

    A batch has at most ``batch_tokens`` tokens, padding included, and at most 5 % padding.
    """
    batch: list[int] = []
    real = 0
    for index in sorted(range(len(lengths)), key=lambda index: (lengths[index], index)):
        padded = lengths[index] * (len(batch) + 1)
        if batch and (padded > batch_tokens or padded > WASTE * (real + lengths[index])):
            yield batch
            batch, real = [], 0
        batch.append(index)
        real += lengths[index]
    if batch:
        yield batch


def padding_waste(batches: Sequence[Sequence[int]], lengths: Sequence[int]) -> float:
    """Tokens computed over real tokens."""
    computed = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    return computed / sum(lengths[index] for batch in batches for index in batch)


@torch.no_grad()
def score(model: nn.Module, answer: Answer, examples: Sequence[Example], batch_tokens: int) -> Scores:
    """Probabilities and likelihoods of examples, under the model in evaluation mode."""
    place = next(model.parameters()).device
    lengths = [len(example.ids) for example in examples]
    nll, tokens = np.zeros(len(examples)), np.zeros(len(examples))
    probabilities: list[Floats] = [np.zeros(0)] * len(examples)
    batches = list(by_length(lengths, batch_tokens))
    was_training = model.training
    model.eval()
    for indices in batches:
        batch = {name: tensor.to(place) for name, tensor in answer.collate([examples[i] for i in indices]).items()}
        labels = batch.pop("labels")
        logits = answer.logits(model, batch)
        flat = losses(logits, labels).cpu().double().numpy()  # not every accelerator has doubles
        nll[indices] = flat.reshape(len(indices), -1).sum(1)
        tokens[indices] = (labels != IGNORED).reshape(len(indices), -1).sum(1).cpu().numpy()
        if not isinstance(answer, Text):
            for index, row in zip(indices, logits.cpu().double().softmax(-1).numpy(), strict=True):
                probabilities[index] = row
    model.train(was_training)
    return Scores(np.stack(probabilities), nll, tokens, padding_waste(batches, lengths))
