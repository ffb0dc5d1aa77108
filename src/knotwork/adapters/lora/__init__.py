"""LoRA (Hu et al. 2021, arXiv 2106.09685), PEFT's own implementation: h = W0 x + (alpha / r) B A x."""

from pathlib import Path

from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from knotwork.adapters import FreshBase
from knotwork.answers import Answer
from knotwork.errors import UserError
from knotwork.params import Lora

BASE = "base"
"""Folder of the base's own weights, where they were trained too (``lora.faithful``)."""


def prepare(model: PreTrainedModel, settings: Lora, answer: Answer) -> PeftModel:
    """Put LoRA on the named matrices; W0 stays frozen unless ``faithful``.

    ``faithful`` does what the paper's public code did: the base is frozen by its LoRA layer, and then the task
    scripts set every parameter trainable.

    Raises:
        UserError: no module of the model has one of the names.
    """
    modules = [f".{name}" for name, _ in model.named_modules()]
    for target in settings.target_modules:
        if not any(module.endswith(f".{target}") for module in modules):
            raise UserError(
                f"lora.target_modules: the base has no module {target!r}; GPT-2 has c_attn, c_proj, c_fc "
                "(mlp.c_proj and attn.c_proj tell the two apart)"
            )
    config = LoraConfig(
        task_type=answer.peft_task,
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.target_modules),
        use_rslora=settings.use_rslora,
        use_dora=settings.use_dora,
        fan_in_fan_out=True,
        modules_to_save=[answer.head] if answer.head else None,
    )
    adapted = get_peft_model(model, config)
    if settings.faithful:
        for name, parameter in adapted.named_parameters():
            # The head has a trainable copy of its own; its original stays out of use.
            parameter.requires_grad_("original_module" not in name)
    return adapted


def save(model: PeftModel, folder: Path, answer: Answer) -> None:
    """Write the adapter in PEFT's format, and the base beside it where it was trained."""
    model.save_pretrained(folder, save_embedding_layers=False)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    if any("lora_" not in name and "modules_to_save" not in name for name in trained):
        weights = {
            name.removeprefix("base_model.model.").replace(".base_layer", "").replace(".original_module", ""): value
            for name, value in model.state_dict().items()
            if "lora_" not in name and "modules_to_save" not in name
        }
        model.get_base_model().save_pretrained(folder / BASE, state_dict=weights)


def load(folder: Path, base: FreshBase, answer: Answer) -> PeftModel:
    """A fresh base (or the trained one beside it) with the adapter on it."""
    model = base(folder / BASE) if (folder / BASE).is_dir() else base()
    return PeftModel.from_pretrained(model, folder)
