import pytest
import torch
from torch_geometric.nn import GATv2Conv

from knotwork.adapters.graph.layer import Edges, GraphAttention

TOKENS, WIDTH, HEADS, LABELS = 20, 12, 3, 4


@pytest.fixture
def attention():
    torch.manual_seed(1)
    return GraphAttention(WIDTH, HEADS, LABELS, dropout=0.0).double()


def some_edges(count=60):
    generator = torch.Generator().manual_seed(2)
    edges = torch.randint(TOKENS, (2, count), generator=generator)
    kinds = torch.randint(1, 7, (count,), generator=generator)
    return edges, kinds, torch.randint(LABELS + 1, (count,), generator=generator)


def pyg(attention):
    """PyTorch Geometric's layer with the same weights; its edge features are the embeddings."""
    reference = GATv2Conv(
        WIDTH, WIDTH // HEADS, HEADS, edge_dim=WIDTH, bias=False, add_self_loops=False, negative_slope=0.2
    ).double()
    with torch.no_grad():
        reference.lin_l.weight.copy_(attention.source.weight)
        reference.lin_r.weight.copy_(attention.target.weight)
        reference.lin_edge.weight.copy_(torch.eye(WIDTH))
        reference.att.copy_(attention.attention[None])
    return reference


def test_output_weights_and_gradients_are_those_of_pytorch_geometric(attention):
    edges, kinds, labels = some_edges()
    made = Edges.sort(edges, kinds, labels, rows=2, new=TOKENS // 2)
    z = torch.randn(TOKENS, WIDTH, dtype=torch.double, requires_grad=True)
    ours, weights = attention(z, z, made, return_attention_weights=True)
    (ours**2).sum().backward()
    our_gradient = z.grad.clone()
    z.grad = None

    features = attention.kind(made.kinds) + attention.label(made.labels)
    index = torch.stack([made.sources, made.targets])
    theirs, (_, their_weights) = pyg(attention)(z, index, features.detach(), return_attention_weights=True)
    (theirs**2).sum().backward()
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert torch.allclose(weights, their_weights, atol=1e-5)
    assert torch.allclose(our_gradient, z.grad, atol=1e-5)


def test_weights_of_a_token_sum_to_one_and_stay_finite_for_huge_scores(attention):
    edges = Edges.sort(*some_edges(), rows=1, new=TOKENS)
    with torch.no_grad():
        attention.attention.mul_(1e4)
        _, weights = attention(
            torch.randn(TOKENS, WIDTH).double(), torch.randn(TOKENS, WIDTH).double(), edges, True
        )
    sums = torch.zeros(TOKENS, HEADS).double().index_add_(0, edges.targets, weights)
    assert torch.allclose(sums, torch.ones_like(sums))


def test_edges_get_self_loops_and_are_sorted_by_target():
    given = torch.tensor([[0, 3, 1], [2, 0, 0]])
    edges = Edges.sort(given, torch.tensor([1, 2, 3]), torch.tensor([4, 5, 6]), rows=2, new=2)
    assert edges.targets.tolist() == [0, 0, 0, 1, 2, 2, 3]
    assert edges.sources.tolist() == [3, 1, 0, 1, 0, 2, 3]
    assert edges.kinds.tolist() == [2, 3, 0, 0, 1, 0, 0]
    assert edges.labels.tolist() == [5, 6, 0, 0, 4, 0, 0]
    assert edges.offsets.tolist() == [0, 3, 4, 6, 7]


def test_self_loops_of_new_tokens_point_past_those_in_the_cache():
    nothing = torch.zeros(0, dtype=torch.long)
    edges = Edges.sort(nothing.reshape(2, 0), nothing, nothing, rows=2, new=2, earlier=3)
    assert edges.sources.tolist() == [3, 4, 8, 9]
    assert edges.targets.tolist() == [0, 1, 2, 3]


def test_dropout_leaves_out_edges_in_training_only():
    torch.manual_seed(1)
    attention = GraphAttention(WIDTH, HEADS, LABELS, dropout=0.5)
    edges = Edges.sort(*some_edges(), rows=1, new=TOKENS)
    z = torch.randn(TOKENS, WIDTH)
    assert (attention(z, z, edges, True)[1] == 0).any()
    assert (attention.eval()(z, z, edges, True)[1] > 0).all()
