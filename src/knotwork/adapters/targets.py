"""The modules that a list of names means."""

from torch import nn

from knotwork.errors import UserError


def find_targets(model: nn.Module, names: list[str], key: str) -> list[str]:
    """Full names of the modules whose name ends in one of ``names``, in the model's order.

    Args:
        model: the base.
        names: ends of names.
        key: the parameter that gives them, for the error.

    Raises:
        UserError: no module has one of the names.
    """
    found = {name: [m for m, _ in model.named_modules() if f".{m}".endswith(f".{name}")] for name in names}
    for name, modules in found.items():
        if not modules:
            raise UserError(
                f"{key}: the base has no module {name!r}; GPT-2 has c_attn, c_proj, c_fc "
                "(mlp.c_proj and attn.c_proj tell the two apart)"
            )
    chosen = {module for modules in found.values() for module in modules}
    return [name for name, _ in model.named_modules() if name in chosen]
