"""What a run will need, told before it starts."""

import time
from collections.abc import Sequence

import psutil
import torch
from torch import nn
from transformers import PretrainedConfig

from knotwork.answers import Answer, Score, losses
from knotwork.encoding import Example
from knotwork.errors import UserError

FLOAT = 4  # bytes
ACTIVATIONS = 40  # numbers kept per token, layer and unit of width: measured on GPT-2's block with its MLP


def bytes_needed(
    config: PretrainedConfig,
    answer: Answer,
    parameters: int,
    trainable: int,
    batches: Sequence[Sequence[int]],
    lengths: Sequence[int],
    checkpointed: bool = False,
) -> int:
    """Bytes for weights, gradients, AdamW's two moments, and the largest batch's activations (fp32, rough).

    With gradient checkpointing (``checkpointed``) a layer keeps what goes into it, and one at a time all the rest.
    """
    peak = 0
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        tokens = len(batch) * longest
        width = config.n_embd * ACTIVATIONS + 2 * config.n_head * longest
        logits = 0 if isinstance(answer, Score) else 3 * config.vocab_size
        layers = config.n_layer * config.n_embd + width if checkpointed else config.n_layer * width
        peak = max(peak, tokens * (layers + logits))
    return FLOAT * (parameters + 3 * trainable + peak)


def check_memory(needed: int, place: torch.device) -> None:
    """Refuse a run that will not fit.

    Raises:
        UserError: more memory is needed, beside what is in use already, than is free.
    """
    free = torch.cuda.mem_get_info(place)[0] if place.type == "cuda" else psutil.virtual_memory().available
    if needed > free:
        raise UserError(
            f"training needs about {needed / 2**30:.1f} GiB more, {free / 2**30:.1f} GiB are free on {place}; "
            "lower train.batch.size (and raise train.batch.accumulation), or set train.gradient_checkpointing"
        )


def seconds_needed(model: nn.Module, answer: Answer, batches: Sequence[Sequence[Example]], epochs: int) -> float:
    """Seconds of training, from one forward and backward pass of a batch of middle size (rough)."""
    sizes = [sum(len(example.ids) for example in batch) for batch in batches]
    middle = sorted(range(len(batches)), key=sizes.__getitem__)[len(batches) // 2]
    place, was_training = next(model.parameters()).device, model.training
    model.train()  # where gradients are checkpointed, they are in training alone
    for _ in range(2):  # the first pass also allocates
        batch = {name: tensor.to(place) for name, tensor in answer.collate(batches[middle]).items()}
        labels = batch.pop("labels")
        start = time.perf_counter()
        losses(answer.logits(model, batch), labels).mean().backward()
        model.zero_grad()
        if place.type != "cpu":
            torch.accelerator.synchronize(place)  # until here its work was only queued
        seconds = time.perf_counter() - start
    model.train(was_training)
    return seconds / sizes[middle] * sum(sizes) * epochs
