"""Where the layers of Graph-LoRA go, and how a batch's graph gets to them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from peft.tuners.lora import LoraLayer, LoraModel
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel

from knotwork.adapters.architectures import blocks_of, body_of, select_blocks
from knotwork.adapters.graph.config import GraphLoraConfig
from knotwork.adapters.graph.faithful import all_pairs
from knotwork.adapters.graph.growing import GrowingGraphs, Stream, attach_to
from knotwork.adapters.graph.layer import Edges, GraphInputs, GraphLoraLayer
from knotwork.errors import UserError

CHILD = "graph_lora"
"""Name of the graph's layer in its block."""
TENSORS = ("graph_edges", "graph_kinds", "graph_labels")
CACHES = ("cache", "past_key_values")
"""The KV cache's name among a model's arguments: from transformers 5.24 on, and before."""


class Builder(Protocol):
    """Makes token graphs of growing texts."""

    def stream(self) -> Stream:
        """Begin a text."""


class GraphLoraModel(LoraModel):
    """LoRA on the target modules and a graph layer after each chosen block.

    The adapted model takes ``graph_edges`` (2, edges), ``graph_kinds`` (edges,) and ``graph_labels`` (edges,) with
    its token ids; positions are flat, ``row * width + column``. They are sorted once and go to the blocks through
    the arguments of their calls, where gradient checkpointing keeps them for the second pass.

    Args:
        model: the base, of an architecture in :mod:`knotwork.adapters.architectures`.
        peft_config: a :class:`GraphLoraConfig`, or several by adapter name.
        adapter_name: the adapter's name.

    Attributes:
        graph_builder: makes the graphs of token ids alone, which generation needs; ``None``: the caller brings
            every graph.
    """

    prefix = "graph_lora_"
    tuner_layer_cls = (LoraLayer, GraphLoraLayer)

    def __init__(self, model: PreTrainedModel, *args: Any, **kwargs: Any) -> None:
        super().__init__(model, *args, **kwargs)
        self.graph_builder: Builder | None = None
        self._hook = body_of(model).register_forward_pre_hook(self._bring_graph, with_kwargs=True)

    def graph_layers(self) -> dict[int, GraphLoraLayer]:
        """The graph's layers by the number of their block."""
        layers = (getattr(block, CHILD, None) for block in blocks_of(self.model))
        return {number: layer for number, layer in enumerate(layers) if layer is not None}

    def _check_target_module_exists(self, peft_config: GraphLoraConfig, key: str) -> Any:
        if self._number(key) in select_blocks(peft_config.blocks, len(blocks_of(self.model)), "graph.blocks"):
            return True
        return super()._check_target_module_exists(peft_config, key)

    def _create_and_replace(
        self,
        lora_config: GraphLoraConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        **kwargs: Any,
    ) -> None:
        if self._number(current_key) is None:
            super()._create_and_replace(
                lora_config, adapter_name, target, target_name, parent, current_key, **kwargs
            )
            return
        if not hasattr(target, CHILD):
            # A sibling in the block, not a wrapper around it: PEFT does not look for targets inside wrappers.
            layer = GraphLoraLayer(self.model.config.hidden_size)
            layer.hook = target.register_forward_hook(layer.after_block, with_kwargs=True)
            target.add_module(CHILD, layer)
        layer = target.get_submodule(CHILD)
        layer.update_layer(adapter_name, lora_config)
        if not any(parameter.is_meta for parameter in layer.parameters()):
            layer.to(next(target.parameters()).device)
        layer.set_adapter(self.active_adapters, inference_mode=lora_config.inference_mode)

    def _number(self, key: str) -> int | None:
        """The number of the block of that name, if it is one."""
        module = self.model.get_submodule(key)
        return next((number for number, block in enumerate(blocks_of(self.model)) if block is module), None)

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        """PEFT's own takes the name out at the end of a key only; the graph's layers hold whole modules."""
        place, found, name = key.partition(f".{CHILD}.")
        if not found:
            return super()._remove_adapter_name_from_key(key, adapter_name)
        return place + found + name.replace(f".{adapter_name}", "", 1)

    def _check_merge_allowed(self) -> None:
        raise UserError("Graph-LoRA cannot be merged: what it adds depends on the graph, not on the token alone")

    def unload(self) -> nn.Module:
        """The base without anything of Graph-LoRA."""
        self._hook.remove()
        for number, layer in self.graph_layers().items():
            layer.hook.remove()
            delattr(blocks_of(self.model)[number], CHILD)
        return super().unload()

    def _bring_graph(
        self, body: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Pre-forward hook of the backbone: one argument for all blocks in place of the graph's tensors."""
        tensors = [kwargs.pop(name, None) for name in TENSORS]
        active = self._active_configs()
        if active:
            ids = args[0] if args else kwargs.get("input_ids")
            ids = kwargs.get("inputs_embeds") if ids is None else ids
            cache = next((kwargs[name] for name in CACHES if kwargs.get(name) is not None), None)
            kwargs["token_graph"] = self._inputs(tensors, ids, kwargs.get("attention_mask"), cache, active)
        return args, kwargs

    def _active_configs(self) -> list[GraphLoraConfig]:
        for layer in self.graph_layers().values():
            if not layer.disable_adapters:
                return [self.peft_config[name] for name in layer.active_adapters if name in self.peft_config]
        return []

    def _inputs(
        self,
        tensors: Sequence[Tensor | None],
        ids: Tensor,
        mask: Tensor | None,
        cache: Cache | None,
        active: Sequence[GraphLoraConfig],
    ) -> GraphInputs:
        """What the blocks need of a batch.

        Raises:
            UserError: the graph's tensors do not fit the batch or the parser's labels, the mask has tokens that are
                neither in the batch nor in a cache, or the call continues a cache that holds no graphs.
        """
        rows, new = ids.shape[:2]
        earlier = 0 if cache is None else cache.get_seq_length()
        faithful = [config for config in active if config.faithful]
        given = all(tensor is not None for tensor in tensors)
        if not given and any(tensor is not None for tensor in tensors):
            raise UserError(f"Graph-LoRA takes {', '.join(TENSORS)} together")
        if mask is not None and mask.dim() != 2 and not given:
            raise UserError("Graph-LoRA takes an attention mask of (rows, tokens): use the default, dynamic cache")
        if mask is not None and mask.dim() == 2 and mask.shape[1] != earlier + new:
            # Going on without the earlier tokens would give the new ones a graph of their own, and say nothing.
            raise UserError(
                f"Graph-LoRA: an attention mask of {mask.shape[1]} tokens for {new} new ones after {earlier} in "
                "the cache; pass the cache that the earlier ones are in"
            )
        growing = None if cache is None else self._growing(cache, rows, given)
        edges = pairs = None
        if len(faithful) < len(active):
            if given:
                _check(*tensors, rows * new, min(len(config.labels) for config in active if not config.faithful))
                edges = Edges.sort(*tensors, rows, new)
            elif self.graph_builder is not None and not ids.is_floating_point():
                growing = growing or GrowingGraphs([self.graph_builder.stream() for _ in range(rows)])
                edges = growing.append(ids, mask)
        if faithful:
            seen = ids.new_ones((rows, earlier + new)) if mask is None else mask
            pairs = all_pairs(seen, new, any(config.causal for config in faithful))
        return GraphInputs(edges, pairs, None if cache is None or growing is None else growing.memory)

    def _growing(self, cache: Cache, rows: int, given: bool) -> GrowingGraphs | None:
        """The graphs that grow beside a KV cache."""
        if cache.get_seq_length() > 0:
            if given or not hasattr(cache, "token_graphs"):
                raise UserError(
                    "Graph-LoRA cannot go on from this cache: it needs the one that generate began with, and no "
                    "graph tensors"
                )
            return cache.token_graphs
        if given:
            return None
        graphs = GrowingGraphs([self.graph_builder.stream() for _ in range(rows)] if self.graph_builder else [])
        attach_to(cache, graphs)
        return graphs


@contextmanager
def recorded_attention(model: nn.Module) -> Iterator[dict[int, list[tuple[Edges, Tensor]]]]:
    """Record the attention weights of every forward pass made inside the context.

    Args:
        model: an adapted model.

    Yields:
        By the number of the block, for each pass the edges (with self loops, sorted by target) and their weights
        (edges, heads).
    """
    layers = {
        number: layer
        for number, block in enumerate(blocks_of(model))
        if (layer := getattr(block, CHILD, None)) is not None
    }
    for layer in layers.values():
        layer.recorded = []
    try:
        yield {number: layer.recorded for number, layer in layers.items()}
    finally:
        for layer in layers.values():
            layer.recorded = None


def _check(edges: Tensor, kinds: Tensor, labels: Tensor, positions: int, known: int) -> None:
    """Refuse graphs of another batch or of another parser."""
    if torch.compiler.is_compiling() or not edges.shape[1]:
        return
    if edges.min() < 0 or edges.max() >= positions:
        raise UserError(f"graph_edges: positions go from 0 to {positions - 1} in this batch, row * width + column")
    if labels.max() > known:
        raise UserError(f"graph_labels: the adapter knows {known} dependency labels; use the parser of its config")
