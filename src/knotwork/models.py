"""Base models and their tokenizers, loaded; and what of them is trainable."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from knotwork.answers import Answer
from knotwork.errors import UserError


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a base model.

    Raises:
        UserError: it cannot tell characters from tokens (no offsets), or has no end-of-text token.
    """
    _quieten()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if not tokenizer.is_fast or tokenizer.eos_token_id is None:
        raise UserError(f"base.path: the tokenizer of {folder} must be a fast one with an end-of-text token")
    return tokenizer


def fresh_base(folder: Path, answer: Answer, max_length: int, seed: int) -> Callable[..., PreTrainedModel]:
    """A function that makes the base model in fp32, as ``answer`` needs it, its new head drawn from ``seed``.

    Raises:
        UserError: ``max_length`` is longer than the model's context.
    """
    positions = AutoConfig.from_pretrained(folder).n_positions
    if max_length > positions:
        raise UserError(
            f"base.max_length: {max_length} is longer than the context of {folder} ({positions} tokens)"
        )

    def make(source: Path | None = None) -> PreTrainedModel:
        torch.manual_seed(seed)
        _quieten()
        model = answer.model_class.from_pretrained(source or folder, dtype=torch.float32, **answer.config)
        # A saved adapter names its base by the path that the parameters give.
        model.name_or_path = str(folder)
        return model

    return make


def count_trainable(model: nn.Module, head: str | None) -> dict[str, int]:
    """Trainable parameters: of the adapter, and of the classification head, counted apart."""
    counts = {"adapter": 0, "head": 0}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            counts["head" if head and head in name.split(".") else "adapter"] += parameter.numel()
    return counts


def device() -> torch.device:
    """The accelerator, if there is one, otherwise the CPU."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.device(accelerator or "cpu")


def _quieten() -> None:
    """A new head is new by intention, long texts are cut, and loading is too quick for bars of progress."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
    # PEFT asks transformers for a property that has a new name.
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
