"""Ranks of Graph-LoRA for a budget of trainable parameters."""

from transformers import PreTrainedModel

from knotwork.adapters.architectures import blocks_of, select_blocks
from knotwork.adapters.budget import TOLERANCE
from knotwork.adapters.targets import find_targets
from knotwork.errors import UserError
from knotwork.graphs.token_graph import KINDS
from knotwork.params import Graph


def ranks_for(budget: int, model: PreTrainedModel, settings: Graph, labels: int) -> tuple[int, int]:
    """LoRA's rank and the width of z that come within 5 % of a budget, as near to each other as possible.

    Args:
        budget: trainable parameters to spend, heads not counted.
        model: the base.
        settings: the adapter's settings; its heads divide the width.
        labels: number of dependency labels.

    Raises:
        UserError: none do.
    """
    targets = find_targets(model, settings.target_modules, "graph.target_modules")
    unit = sum(sum(model.get_submodule(name).weight.shape) for name in targets)
    chosen = len(select_blocks(settings.blocks, len(blocks_of(model)), "graph.blocks"))
    found = []
    for width in range(settings.heads, budget, settings.heads):
        graph = chosen * layer_size(model.config.hidden_size, width, labels)
        rank = max(1, round((budget - graph) / unit))
        off = abs(graph + rank * unit - budget)
        found.append((off > TOLERANCE * budget, abs(rank - width), off, rank, width))
        if graph > budget:
            break
    missed, _, _, rank, width = min(found, default=(True, 0, 0, 1, settings.heads))
    if missed:
        nearest = min(found, key=lambda choice: choice[2], default=(True, 0, 0, 1, settings.heads))
        rank, width = nearest[3:]
        cost = rank * unit + chosen * layer_size(model.config.hidden_size, width, labels)
        raise UserError(
            f"budget.trainable_parameters: {budget:,} is not met by any ranks of graph within 5 %; nearest is "
            f"{cost:,} (r {rank}, graph_r {width} with {settings.heads} heads)"
        )
    return rank, width


def layer_size(hidden: int, width: int, labels: int) -> int:
    """Parameters of the graph's layer in one block."""
    return 2 * hidden * width + 2 * width**2 + (len(KINDS) + labels + 1) * width + width + 1
