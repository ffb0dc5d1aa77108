"""A GPT-2 of two blocks, and a batch with padding."""

from collections.abc import Callable

import pytest
import torch
from peft import get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

import knotwork  # noqa: F401 - registers the method
from knotwork.adapters.kan import KanLoraConfig, fit_grid

WIDTH, HIDDEN, BLOCKS = 16, 64, 2
SPLINES = ("full", "factored", "latent")
BASES = ("bspline", "rbf", "chebyshev")


def small_base(width: int = WIDTH, blocks: int = BLOCKS) -> GPT2LMHeadModel:
    torch.manual_seed(3)
    config = GPT2Config(
        n_embd=width, n_layer=blocks, n_head=2, vocab_size=40, n_positions=16, bos_token_id=0, eos_token_id=0
    )
    return GPT2LMHeadModel(config).eval()


def small_batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(40, (4, 12), generator=torch.Generator().manual_seed(5))
    mask = torch.ones_like(ids)
    mask[0, 7:] = mask[2, 3:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def training_steps(model, batch, steps=2, lr=1e-2):
    """The largest gradient that every trainable tensor saw in a few steps."""
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    seen = dict.fromkeys(trained, 0.0)
    optimizer = torch.optim.AdamW(trained.values(), lr=lr)
    model.train()
    for _ in range(steps):
        model(**batch, labels=batch["input_ids"]).loss.backward()
        for name, value in trained.items():
            if value.grad is not None:
                seen[name] = max(seen[name], value.grad.abs().max().item())
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    return seen


@torch.no_grad()
def logits(model, batch):
    return model(**batch).logits


@pytest.fixture
def base() -> Callable[..., GPT2LMHeadModel]:
    return small_base


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    return small_batch()


@pytest.fixture
def adapted(batch) -> Callable:
    """A fitted model; keyword arguments are the configuration's."""

    def make(**settings):
        torch.manual_seed(7)
        model = get_peft_model(small_base(), KanLoraConfig(**{"r": 3, **settings}))
        if not settings.get("faithful") and settings.get("range", "fitted") == "fitted":
            fit_grid(model, [batch])
        return model.eval()

    return make
