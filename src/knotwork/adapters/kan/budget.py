"""Ranks of KAN-LoRA for a budget of trainable parameters."""

from peft.tuners.tuners_utils import _get_in_out_features
from transformers import PreTrainedModel

from knotwork.adapters.architectures import architecture_of, blocks_of, select_blocks
from knotwork.adapters.budget import solve_ranks
from knotwork.adapters.kan.bases import BASES
from knotwork.adapters.kan.splines import SPLINES
from knotwork.params import Kan


def ranks_for(budget: int, model: PreTrainedModel, settings: Kan) -> dict[str, list[int]]:
    """The rank of B A (``r``) and of the splines (``spline_r``; full ones have none) for each adapted block.

    Args:
        budget: trainable parameters to spend, heads not counted.
        model: the base.
        settings: which blocks and which splines.

    Raises:
        UserError: no ranks come within 5 % of the budget.
    """
    parts, blocks = architecture_of(model), blocks_of(model)
    size = BASES[settings.basis](settings.grid_size, settings.order).size
    full, count = settings.spline == "full", SPLINES[settings.spline].count
    what = f"kan with {settings.spline} splines"
    lora, splines, largest = [], [], []
    for block in select_blocks(settings.blocks, len(blocks), "kan.blocks"):
        mlp = blocks[block].get_submodule(parts.mlp)
        shapes = [_get_in_out_features(mlp.get_submodule(name)) for name in (parts.up, parts.down)]
        whole = sum(count(i, o, 0, size) for i, o in shapes) if full else 0
        lora.append(lambda r, whole=whole, shapes=shapes: whole + sum(r * (i + o) for i, o in shapes))
        splines.append(lambda r, shapes=shapes: sum(count(i, o, r, size) for i, o in shapes))
        largest.append(min(min(shape) for shape in shapes))
    if full:
        return {"r": solve_ranks(budget, lora, min(largest), what)}
    # Lowest block first, and in it LoRA first: what is left over goes to the top, and to its splines.
    costs = [cost for pair in zip(lora, splines, strict=True) for cost in pair]
    ranks = solve_ranks(budget, costs, min(largest), what)
    return {"r": ranks[::2], "spline_r": ranks[1::2]}
