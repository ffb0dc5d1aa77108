"""What the graph layers of a trained model attend to, in figures that can be drawn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from knotwork.adapters.graph.model import recorded_attention
from knotwork.answers import Answer
from knotwork.encoding import Example
from knotwork.graphs.token_graph import KINDS

DRAWN = 4  # texts with all their edges
LENGTH = 24  # tokens that these should have
LONGEST = 32  # tokens; the rest of a text is cut
AVERAGED_EXAMPLES, AVERAGED_TOKENS = 64, 4096


def pictures(
    model: PeftModel, tokenizer: PreTrainedTokenizerBase, answer: Answer, examples: Sequence[Example]
) -> dict[str, Any]:
    """Data of the pictures of a model with Graph-LoRA. Weights are means over heads.

    Args:
        model: the trained model.
        tokenizer: writes tokens out.
        answer: how the model is asked.
        examples: of dev, with their graphs.

    Returns:
        ``attention``: the texts nearest in length to ``LENGTH`` tokens with all their edges; the share of a token's
        attention by block and kind of edge, and the mean weight of an edge by dependency label, both also for
        attention that does not choose (``even``). Empty without graphs.
    """
    examples = [example for example in examples if example.graph is not None]
    labels = model.active_peft_config.labels
    if not examples:
        return {}
    model.eval()
    edges = pd.concat([_attention(model, answer, example) for example in _averaged(examples)], ignore_index=True)
    layers = [column for column in edges.columns if isinstance(column, int)]
    near = sorted(range(len(examples)), key=lambda index: abs(len(examples[index].ids) - LENGTH))[:DRAWN]
    drawn = [examples[index] for index in sorted(near)]
    return {
        "attention": {
            "layers": layers,
            "examples": [
                _text(example, tokenizer, _attention(model, answer, example), labels) for example in drawn
            ],
            "kinds": _kinds(edges, layers),
            "labels": _labels(edges, layers, labels),
        }
    }


@torch.no_grad()
def _attention(model: PeftModel, answer: Answer, example: Example) -> pd.DataFrame:
    """An example's edges, self loops included: source, target, kind, label, even, and a weight for each block."""
    place = next(model.parameters()).device
    batch = {name: tensor.to(place) for name, tensor in answer.collate([example]).items() if name != "labels"}
    with recorded_attention(model) as recorded:
        answer.logits(model, batch)
    passes = {block: made[0] for block, made in recorded.items()}
    edges, _ = next(iter(passes.values()))
    table = pd.DataFrame(
        {name: getattr(edges, f"{name}s").cpu().numpy() for name in ("source", "target", "kind", "label")}
    )
    table["even"] = 1 / table.groupby("target")["target"].transform("size")
    weights = {block: weights.double().mean(1).cpu().numpy() for block, (_, weights) in passes.items()}
    return table.join(pd.DataFrame(weights))


def _averaged(examples: Sequence[Example]) -> Sequence[Example]:
    """The first examples, at least one, within the limits of what is averaged over."""
    lengths = np.cumsum([len(example.ids) for example in examples])
    return examples[: min(AVERAGED_EXAMPLES, max(1, int((lengths <= AVERAGED_TOKENS).sum())))]


def _text(
    example: Example, tokenizer: PreTrainedTokenizerBase, edges: pd.DataFrame, labels: Sequence[str]
) -> dict[str, Any]:
    shown = edges[(edges["source"] < LONGEST) & (edges["target"] < LONGEST)]
    layers = [column for column in edges.columns if isinstance(column, int)]
    return {
        "id": example.row.id,
        "tokens": [tokenizer.decode([token]) for token in example.ids[:LONGEST]],
        "cut": len(example.ids) > LONGEST,
        "edges": [
            {
                "source": edge["source"],
                "target": edge["target"],
                "kind": KINDS[edge["kind"]],
                "label": labels[edge["label"] - 1] if edge["label"] else None,
                "weights": [_rounded(edge[layer]) for layer in layers],
            }
            for edge in shown.to_dict("records")
        ],
    }


def _kinds(edges: pd.DataFrame, layers: Sequence[int]) -> list[dict[str, Any]]:
    """Of every block and kind, the share of a token's attention; shares of a block sum to 1."""
    tokens = (edges["kind"] == KINDS.index("self")).sum()
    shares = edges.groupby("kind")[["even", *layers]].sum() / tokens
    return [
        {
            "layer": layer,
            "kind": KINDS[kind],
            "weight": _rounded(shares.at[kind, layer]),
            "even": _rounded(shares.at[kind, "even"]),
        }
        for layer in layers
        for kind in shares.index
    ]


def _labels(edges: pd.DataFrame, layers: Sequence[int], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Of every dependency label, the mean weight of its edges over all blocks, the most common first."""
    groups = edges[edges["label"] > 0].groupby("label")
    means, counts = groups[["even", *layers]].mean(), groups.size().sort_values(ascending=False, kind="stable")
    return [
        {
            "label": labels[code - 1],
            "weight": _rounded(means.loc[code, layers].mean()),
            "even": _rounded(means.at[code, "even"]),
            "count": int(count),
        }
        for code, count in counts.items()
    ]


def _rounded(weight: float) -> float:
    return round(float(weight), 3)
