"""The graph layer of the paper (arXiv 2504.10490), vectorised: full-width attention over every pair of tokens."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AllPairsLayer(nn.Module):
    r"""GAT (Veličković et al. 2018, arXiv 1710.10903) at full width, a projection, and the fusion of both.

    .. math::
        g_i = \sum_j \alpha_{ij} W h_j, \qquad
        \alpha_{ij} = \operatorname{softmax}_j \operatorname{LeakyReLU}(a_s^\top W h_j + a_t^\top W h_i), \qquad
        h_i \leftarrow h_i + F [h_i ; P g_i]

    The paper's code joined all tokens of the padded batch, in a graph built in Python for each example and layer.
    Here the graph is a mask, padding is left out (a text's prediction must not depend on its batch), and for
    language modelling pairs with later tokens are left out: with them the model sees the token it has to predict.
    All weights start at random, as the paper's do, so the adapted model does not begin as its base.

    Args:
        width: of h.
        heads: number of heads; divides ``width``.
        dropout: probability with which a pair is left out of a head in training.

    Shapes:
        - **input:** new tokens (rows, new, width), all tokens (rows, tokens, width), pairs (rows, new, tokens)
        - **output:** what is added to the new tokens (rows, new, width)
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.values = nn.Linear(width, width, bias=False)
        self.source = nn.Parameter(torch.empty(heads, width // heads))
        self.target = nn.Parameter(torch.empty(heads, width // heads))
        self.bias = nn.Parameter(torch.zeros(width))
        self.projection = nn.Linear(width, width)
        self.fusion = nn.Linear(2 * width, width)
        for weight in (self.values.weight, self.source, self.target):
            nn.init.xavier_uniform_(weight)

    def forward(self, new: Tensor, tokens: Tensor, pairs: Tensor) -> Tensor:
        """What the layer adds."""
        values = self.values(tokens).unflatten(-1, self.source.shape)
        queries = self.values(new).unflatten(-1, self.source.shape) if new is not tokens else values
        from_source = (values * self.source).sum(-1).transpose(1, 2)
        to_target = (queries * self.target).sum(-1).transpose(1, 2)
        scores = F.leaky_relu(to_target.unsqueeze(-1) + from_source.unsqueeze(-2), 0.2)
        # A row of padding joins nobody: the lowest number instead of -inf keeps its softmax finite.
        scores = scores.masked_fill(~pairs.unsqueeze(1), torch.finfo(scores.dtype).min)
        weights = F.dropout(scores.softmax(-1), self.dropout, self.training)
        attended = (weights @ values.transpose(1, 2)).transpose(1, 2).flatten(-2) + self.bias
        return self.fusion(torch.cat([new, self.projection(attended)], dim=-1))


def all_pairs(mask: Tensor, new: int, causal: bool) -> Tensor:
    """The pairs that are joined, (rows, new, tokens).

    Args:
        mask: (rows, tokens), 1 for real tokens.
        new: number of last columns that are targets.
        causal: whether a token is joined with itself and earlier ones only.
    """
    pairs = mask.bool().unsqueeze(1).expand(-1, new, -1)
    if causal:
        tokens = mask.shape[1]
        pairs = pairs & torch.ones(new, tokens, dtype=torch.bool, device=mask.device).tril(tokens - new)
    return pairs
