"""Where a backbone keeps its blocks and their MLPs: another backbone is another row."""

from dataclasses import dataclass

from peft import PeftModel
from torch import nn

from knotwork.errors import UserError


@dataclass(frozen=True)
class Architecture:
    """Names of modules.

    Attributes:
        blocks: the list of blocks, from the model without its head.
        mlp: a block's MLP.
        up: the MLP's first matrix, from the residual stream to the hidden features.
        activation: what stands between the matrices.
        down: its second matrix.
        dropout: what follows the second matrix.
    """

    blocks: str
    mlp: str
    up: str
    activation: str
    down: str
    dropout: str


ARCHITECTURES = {
    "gpt2": Architecture(blocks="h", mlp="mlp", up="c_fc", activation="act", down="c_proj", dropout="dropout"),
}
"""By ``model.config.model_type``."""


def architecture_of(model: nn.Module) -> Architecture:
    """The row of a model.

    Raises:
        UserError: there is none.
    """
    kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    if kind not in ARCHITECTURES:
        raise UserError(f"base.path: adapters know {', '.join(ARCHITECTURES)}, not {kind}; take another base")
    return ARCHITECTURES[kind]


def body_of(model: nn.Module) -> nn.Module:
    """The backbone, without what PEFT and a head put around it."""
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    return inner.base_model


def blocks_of(model: nn.Module) -> nn.ModuleList:
    """The list of blocks, first to last.

    Raises:
        UserError: the architecture is unknown.
    """
    body = body_of(model)
    return body.get_submodule(architecture_of(body).blocks)


def block_number(name: str) -> int:
    """The block that a module is in, by its full name: ``transformer.h.3.mlp`` is in block 3."""
    return next(int(part) for part in name.split(".") if part.isdigit())


def select_blocks(choice: str | int | list[int], count: int, key: str) -> list[int]:
    """Numbers of the blocks that ``choice`` means, ascending.

    Args:
        choice: ``all``, a list of numbers, or how many from the top.
        count: blocks of the model.
        key: the parameter, for the error.

    Raises:
        UserError: the model has no such block, or one is named twice.
    """
    if choice == "all":
        return list(range(count))
    chosen = list(range(count - choice, count)) if isinstance(choice, int) else sorted(choice)
    if not chosen or chosen[0] < 0 or chosen[-1] >= count or len(set(chosen)) < len(chosen):
        raise UserError(
            f"{key}: {choice} does not fit a model of {count} blocks; they are numbered 0 to {count - 1}"
        )
    return chosen
