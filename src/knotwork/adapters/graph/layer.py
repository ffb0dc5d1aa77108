"""The layer of Graph-LoRA: attention over the token graph in a few dimensions, added after a block."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from knotwork.adapters.graph.config import GraphLoraConfig
from knotwork.adapters.graph.faithful import AllPairsLayer
from knotwork.errors import UserError
from knotwork.graphs.token_graph import KINDS

Memory = dict[tuple[int, str], Tensor]


class Edges(NamedTuple):
    """In-edges of a batch's tokens, self loops included, sorted by target; what all blocks share.

    Positions are flat: ``row * columns + column``. While text is generated, targets are the new tokens alone and
    sources all tokens so far.

    Attributes:
        sources: (edges,).
        targets: (edges,).
        kinds: (edges,), codes of :data:`knotwork.graphs.token_graph.KINDS`.
        labels: (edges,), codes of dependency labels.
        offsets: (targets + 1,): edges of target t are those from ``offsets[t]`` to ``offsets[t + 1]``.
    """

    sources: Tensor
    targets: Tensor
    kinds: Tensor
    labels: Tensor
    offsets: Tensor

    @classmethod
    def sort(cls, edges: Tensor, kinds: Tensor, labels: Tensor, rows: int, new: int, earlier: int = 0) -> "Edges":
        """Add self loops and sort by target.

        Args:
            edges: (2, edges), source and target.
            kinds: (edges,).
            labels: (edges,).
            rows: of the batch.
            new: columns of the batch.
            earlier: columns before them, from the cache.
        """
        own = torch.arange(rows * new, device=edges.device)
        loops = own + (own // new + 1) * earlier
        targets, order = torch.cat([edges[1], own]).sort(stable=True)
        blank = own.new_zeros(len(own))
        return cls(
            torch.cat([edges[0], loops])[order],
            targets,
            torch.cat([kinds, blank])[order],
            torch.cat([labels, blank])[order],
            torch.searchsorted(targets, torch.arange(rows * new + 1, device=edges.device)),
        )


class GraphInputs(NamedTuple):
    """What travels through the arguments of the model's call to every block.

    Attributes:
        edges: token graph of the batch; ``None`` where no adapter needs one.
        pairs: (rows, new, tokens), the pairs of tokens that the paper's layer joins; ``None`` likewise.
        memory: while text is generated, what each layer keeps of earlier tokens; beside the KV cache.
    """

    edges: Edges | None
    pairs: Tensor | None
    memory: Memory | None


class GraphAttention(nn.Module):
    r"""Multi-head GATv2 (Brody et al. 2022, arXiv 2105.14491) with learned embeddings of kind and label of an edge.

    .. math::
        z'_i = \sum_{j \in N(i) \cup \{i\}} \alpha_{ij} W_s z_j, \qquad
        \alpha_{ij} = \operatorname{softmax}_j \left( a^\top \operatorname{LeakyReLU}
        \left( W_t z_i + W_s z_j + e_{kind(ij)} + e_{label(ij)} \right) \right)

    The same as PyTorch Geometric's ``GATv2Conv`` without bias, with the embeddings as edge features; this one takes
    two thirds of its time, since edges come sorted. Every sum, those of the gradients included, is taken in a fixed
    order, so the same input gives the same bits each time.

    Args:
        width: of z and z'; each head has ``width / heads`` dimensions.
        heads: number of heads.
        labels: number of dependency labels.
        dropout: probability with which an edge is left out of a head in training.

    Shapes:
        - **input:** z of all tokens (tokens, width), z of the targets (targets, width), edges
        - **output:** z' (targets, width); with ``return_attention_weights`` also :math:`\alpha` (edges, heads)
    """

    def __init__(self, width: int, heads: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.source = nn.Linear(width, width, bias=False)
        self.target = nn.Linear(width, width, bias=False)
        self.kind = nn.Embedding(len(KINDS), width)
        self.label = nn.Embedding(labels + 1, width)
        self.attention = nn.Parameter(torch.empty(heads, width // heads))
        for weight in (self.source.weight, self.target.weight, self.attention):
            nn.init.xavier_uniform_(weight)
        for table in (self.kind, self.label):
            nn.init.normal_(table.weight, std=0.1)

    def forward(
        self, tokens: Tensor, targets: Tensor, edges: Edges, return_attention_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """z', and the attention weights if they are asked for."""
        shape, offsets = self.attention.shape, edges.offsets
        values = _rows(self.source(tokens), edges.sources)
        queries = _rows(self.target(targets), edges.targets)
        table = (self.kind.weight.unsqueeze(1) + self.label.weight).flatten(0, 1)
        embedded = _rows(table, edges.kinds * self.label.num_embeddings + edges.labels)
        scores = F.leaky_relu(values + queries + embedded, 0.2).unflatten(-1, shape)
        scores = (scores * self.attention).sum(-1)
        highest = torch.segment_reduce(scores.detach(), "max", offsets=offsets)
        weights = (scores - _rows(highest, edges.targets)).exp()
        # Divided after summing: there are fewer tokens than edges.
        sums = torch.segment_reduce(weights, "sum", offsets=offsets)
        kept = F.dropout(weights, self.dropout, self.training)
        messages = (values.unflatten(-1, shape) * kept.unsqueeze(-1)).flatten(-2)
        attended = torch.segment_reduce(messages, "sum", offsets=offsets).unflatten(-1, shape)
        attended = (attended / sums.unsqueeze(-1)).flatten(-2)
        return attended, kept / _rows(sums, edges.targets) if return_attention_weights else None


class GraphLoraLayer(nn.Module, BaseTunerLayer):
    """Adds ``gate * B z'`` to a block's output h, with z' = GATv2(z) and z = A h, scaled to a mean square of 1.

    The scaling keeps the attention as sharp after the last block, where h is large, as after the first. B is zero
    at the start and the gate is not, so that the model begins as its base and every weight has a gradient from the
    second step on.

    Args:
        width: of h.
    """

    adapter_layer_names = (
        "graph_lora_A",
        "graph_lora_attention",
        "graph_lora_B",
        "graph_lora_gate",
        "graph_lora_faithful",
    )
    # PEFT asks a layer for those of its base; this one has no base layer.
    weight = None
    bias = None

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.graph_lora_A = nn.ModuleDict()
        self.graph_lora_attention = nn.ModuleDict()
        self.graph_lora_B = nn.ModuleDict()
        self.graph_lora_gate = nn.ParameterDict()
        self.graph_lora_faithful = nn.ModuleDict()
        self.recorded: list[tuple[Edges, Tensor]] | None = None

    def update_layer(self, adapter_name: str, config: GraphLoraConfig) -> None:
        """Add an adapter's weights."""
        if config.faithful:
            self.graph_lora_faithful[adapter_name] = AllPairsLayer(
                self.width, config.heads, config.attention_dropout
            )
            return
        width = config.graph_r
        self.graph_lora_A[adapter_name] = nn.Linear(self.width, width, bias=False)
        self.graph_lora_attention[adapter_name] = GraphAttention(
            width, config.heads, len(config.labels), config.attention_dropout
        )
        self.graph_lora_B[adapter_name] = nn.Linear(width, self.width, bias=False)
        nn.init.zeros_(self.graph_lora_B[adapter_name].weight)
        self.graph_lora_gate[adapter_name] = nn.Parameter(torch.ones(1))

    def forward(self, hidden: Tensor, inputs: GraphInputs | None) -> Tensor:
        """The block's output with the graph's part, (rows, new, width).

        Raises:
            UserError: an active adapter needs a token graph and the call brought none.
        """
        if self.disable_adapters:
            return hidden
        out = hidden
        for adapter in self.active_adapters:
            if adapter in self.graph_lora_faithful:
                layer = self.graph_lora_faithful[adapter]
                new = hidden.to(layer.values.weight.dtype)
                tokens = self._remembered(adapter, new, inputs)
                out = out + layer(new, tokens, inputs.pairs).to(hidden.dtype)
            elif adapter in self.graph_lora_A:
                out = out + self._update(adapter, hidden, inputs)
        return out

    def after_block(self, block: nn.Module, args: tuple, kwargs: dict[str, Any], output: Tensor) -> Tensor:
        """Forward hook of the block; the graph comes with the arguments of the block's own call."""
        return self(output, kwargs.get("token_graph"))

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Refused.

        Raises:
            UserError: always.
        """
        raise UserError("Graph-LoRA cannot be merged: what it adds depends on the graph, not on the token alone")

    def unmerge(self) -> None:
        """Nothing was merged."""

    def _update(self, adapter: str, hidden: Tensor, inputs: GraphInputs | None) -> Tensor:
        if inputs is None or inputs.edges is None:
            raise UserError(
                "Graph-LoRA needs the token graph of its batch: pass graph_edges, graph_kinds and graph_labels "
                "(answers.collate makes them from examples with graphs), or set a graph builder to generate"
            )
        # In fp32 even under autocast: the sums are small and the exponentials are not.
        reduce = self.graph_lora_A[adapter]
        z = reduce(hidden.to(reduce.weight.dtype)).float()
        z = F.rms_norm(z, z.shape[-1:], eps=1e-6)
        tokens = self._remembered(adapter, z, inputs)
        with torch.autocast(z.device.type, enabled=False):
            attended, weights = self.graph_lora_attention[adapter](
                tokens.flatten(0, 1), z.flatten(0, 1), inputs.edges, self.recorded is not None
            )
        if weights is not None:
            self.recorded.append((inputs.edges, weights.detach()))
        gated = (self.graph_lora_gate[adapter] * attended).view_as(z)
        return self.graph_lora_B[adapter](gated).to(hidden.dtype)

    def _remembered(self, adapter: str, new: Tensor, inputs: GraphInputs) -> Tensor:
        """Values of all tokens so far, (rows, tokens, ...); they are kept while text is generated."""
        if inputs.memory is None:
            return new
        key = (id(self), adapter)
        if key in inputs.memory:
            new = torch.cat([inputs.memory[key], new], dim=1)
        inputs.memory[key] = new
        return new


def _rows(table: Tensor, index: Tensor) -> Tensor:
    """Rows of a table; the gradient of indexing is quicker on a CPU, but not deterministic on an accelerator."""
    return table.index_select(0, index) if table.device.type == "cpu" else F.embedding(index, table)
