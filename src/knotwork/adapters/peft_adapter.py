"""What adapters in PEFT's format share: how they are saved and loaded."""

from pathlib import Path

from peft import PeftModel
from peft.utils.save_and_load import get_base_model_state_dict

from knotwork.adapters.adapter import Adapter, FreshBase
from knotwork.answers import Answer

BASE = "base"
"""Folder of the base's own weights, where they were trained too (``faithful``)."""


class PeftAdapter(Adapter):
    """An adapter that is a PEFT method."""

    def save(self, model: PeftModel, folder: Path, answer: Answer) -> None:
        """Write the adapter in PEFT's format, and the base beside it where it was trained."""
        model.save_pretrained(folder, save_embedding_layers=False)
        own = ("lora_", model.base_model.prefix, "modules_to_save")
        trained = (name for name, parameter in model.named_parameters() if parameter.requires_grad)
        if any(not any(part in name for part in own) for name in trained):
            model.get_base_model().save_pretrained(folder / BASE, state_dict=get_base_model_state_dict(model))

    def load(self, folder: Path, base: FreshBase, answer: Answer) -> PeftModel:
        """A fresh base (or the trained one beside it) with the adapter on it."""
        model = base(folder / BASE) if (folder / BASE).is_dir() else base()
        return PeftModel.from_pretrained(model, folder)


def train_everything(model: PeftModel) -> PeftModel:
    """Make every weight trainable but the head's original, which has a trained copy and is out of use."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("original_module" not in name)
    return model
