"""A GPT-2 of three blocks, token graphs drawn at random, and a builder whose graphs look at no later token."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from peft import get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

import knotwork
from knotwork.graphs.token_graph import KINDS, TokenGraph, collate

WIDTH, BLOCKS, VOCABULARY, LABELS = 16, 3, 40, ["det", "nsubj"]


def small_base() -> GPT2LMHeadModel:
    torch.manual_seed(3)
    shape = {"n_embd": WIDTH, "n_layer": BLOCKS, "n_head": 2, "vocab_size": VOCABULARY, "n_positions": 32}
    dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return GPT2LMHeadModel(GPT2Config(**shape, **dropout, bos_token_id=None, eos_token_id=None)).eval()


class Stream:
    """In-edges from every earlier token that makes a multiple of three with the new one."""

    def __init__(self) -> None:
        self.ids: list[int] = []

    def append(self, token_id: int) -> tuple[list[int], list[int], list[int]]:
        sources = [place for place, earlier in enumerate(self.ids) if (earlier + token_id) % 3 == 0]
        self.ids.append(token_id)
        return (
            sources,
            [1 + place % (len(KINDS) - 1) for place in sources],
            [place % (len(LABELS) + 1) for place in sources],
        )


class Builder:
    def stream(self) -> Stream:
        return Stream()


def causal_graph(ids) -> TokenGraph:
    stream = Stream()
    rows = [stream.append(token) for token in ids]
    offsets = np.cumsum([0, *(len(sources) for sources, _, _ in rows)]).astype(np.int32)
    sources, kinds, labels = (np.array([x for row in rows for x in row[part]]) for part in range(3))
    return TokenGraph(offsets, sources.astype(np.int32), kinds.astype(np.uint8), labels.astype(np.uint8))


def all_pairs_graph(ids) -> TokenGraph:
    count = len(ids)
    sources = np.tile(np.arange(count, dtype=np.int32), count)
    kinds = np.full(count * count, KINDS.index("sequence"), np.uint8)
    return TokenGraph(np.arange(count + 1, dtype=np.int32) * count, sources, kinds, np.zeros_like(kinds))


def graph_tensors(graphs, width, left=False) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in collate(graphs, width, left).items()}


def small_batch(graph=causal_graph) -> dict[str, torch.Tensor]:
    ids = torch.randint(1, VOCABULARY, (4, 12), generator=torch.Generator().manual_seed(5))
    mask = torch.ones_like(ids)
    mask[0, 7:] = mask[2, 3:] = 0
    rows = [row[: int(real.sum())].tolist() for row, real in zip(ids, mask, strict=True)]
    return {"input_ids": ids, "attention_mask": mask, **graph_tensors([graph(row) for row in rows], 12)}


def small_config(**settings) -> knotwork.GraphLoraConfig:
    shared = {"r": 4, "target_modules": ["c_attn", "c_fc", "c_proj"], "fan_in_fan_out": True}
    return knotwork.GraphLoraConfig(**shared | {"graph_r": 8, "heads": 2, "labels": LABELS} | settings)


def shake(model):
    """Give every trainable weight a value, as training would."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.add_(torch.randn(value.shape, generator=generator) * 0.2)
    return model


@torch.no_grad()
def logits(model, **inputs) -> torch.Tensor:
    return model(**inputs).logits


@pytest.fixture
def base() -> Callable[[], GPT2LMHeadModel]:
    return small_base


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    return small_batch()


@pytest.fixture
def adapted() -> Callable:
    """A model as it is after some training; keyword arguments are the configuration's."""

    def make(shaken=True, **settings):
        model = get_peft_model(small_base(), small_config(**settings)).eval()
        return shake(model) if shaken else model

    return make
