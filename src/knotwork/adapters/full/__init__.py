"""Baseline: every weight of the base is trainable."""

from pathlib import Path

from transformers import PreTrainedModel

from knotwork.adapters import FreshBase
from knotwork.answers import Answer
from knotwork.params import Full


def prepare(model: PreTrainedModel, settings: Full, answer: Answer) -> PreTrainedModel:
    """Make every weight trainable."""
    return model.requires_grad_(True)


def save(model: PreTrainedModel, folder: Path, answer: Answer) -> None:
    """Write the whole model in the hub's format."""
    model.save_pretrained(folder)


def load(folder: Path, base: FreshBase, answer: Answer) -> PreTrainedModel:
    """Read the whole model."""
    return base(folder)
