"""Baseline: every weight of the base is trainable."""

from pathlib import Path

from transformers import PreTrainedModel

from knotwork.adapters.adapter import Adapter, FreshBase, Setup
from knotwork.answers import Answer
from knotwork.params import Full


class FullAdapter(Adapter):
    """No adapter: full fine-tuning."""

    def prepare(self, model: PreTrainedModel, settings: Full, answer: Answer, setup: Setup) -> PreTrainedModel:
        """Make every weight trainable."""
        return model.requires_grad_(True)

    def save(self, model: PreTrainedModel, folder: Path, answer: Answer) -> None:
        """Write the whole model in the hub's format."""
        model.save_pretrained(folder)

    def load(self, folder: Path, base: FreshBase, answer: Answer) -> PreTrainedModel:
        """Read the whole model."""
        return base(folder)


ADAPTER = FullAdapter()
