"""Baseline: the frozen base, with a trained classification head where the task has one."""

from pathlib import Path

from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from knotwork.adapters.adapter import Adapter, FreshBase, Setup
from knotwork.answers import Answer
from knotwork.params import Head

FILE = "head.safetensors"


class HeadAdapter(Adapter):
    """No adapter: a linear head on the frozen base."""

    def prepare(self, model: PreTrainedModel, settings: Head, answer: Answer, setup: Setup) -> PreTrainedModel:
        """Freeze all but the head; without a head nothing is trainable and the base stays as it is."""
        model.requires_grad_(False)
        if answer.head:
            model.get_submodule(answer.head).requires_grad_(True)
        return model

    def save(self, model: PreTrainedModel, folder: Path, answer: Answer) -> None:
        """Write the head's matrix alone (an empty file where there is none)."""
        state = model.get_submodule(answer.head).state_dict() if answer.head else {}
        save_file({name: value.contiguous() for name, value in state.items()}, folder / FILE)

    def load(self, folder: Path, base: FreshBase, answer: Answer) -> PreTrainedModel:
        """A fresh base with the saved head."""
        model = base()
        if answer.head:
            model.get_submodule(answer.head).load_state_dict(load_file(folder / FILE))
        return model


ADAPTER = HeadAdapter()
