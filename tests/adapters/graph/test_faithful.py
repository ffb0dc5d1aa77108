import pytest
import torch
import torch.nn.functional as F
from torch_geometric.nn import GATConv

from knotwork.adapters.graph.faithful import AllPairsLayer, all_pairs

from .conftest import WIDTH, logits

HEADS = 4


@pytest.fixture
def layer():
    torch.manual_seed(1)
    return AllPairsLayer(WIDTH, HEADS, dropout=0.0)


@pytest.mark.parametrize("causal", [False, True])
def test_is_pytorch_geometrics_layer_on_the_joined_pairs_projected_and_fused(layer, causal):
    hidden = torch.randn(2, 7, WIDTH)
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    pairs = all_pairs(mask, 7, causal)
    reference = GATConv(WIDTH, WIDTH // HEADS, HEADS, add_self_loops=False)
    with torch.no_grad():
        reference.lin.weight.copy_(layer.values.weight)
        reference.att_src.copy_(layer.source[None])
        reference.att_dst.copy_(layer.target[None])
        reference.bias.copy_(layer.bias.normal_())
    ours = layer(hidden, hidden, pairs)
    for row, count in enumerate((7, 4)):
        joined = [(j, i) for i in range(count) for j in range(i + 1 if causal else count)]
        attended = reference(hidden[row, :count], torch.tensor(joined).T)
        fused = layer.fusion(torch.cat([hidden[row, :count], layer.projection(attended)], dim=-1))
        assert torch.allclose(ours[row, :count], fused, atol=1e-5)
    assert torch.isfinite(ours).all()


def test_language_model_sees_no_later_token_and_all_pairs_do(adapted):
    ids = torch.randint(1, 40, (1, 10), generator=torch.Generator().manual_seed(9))
    for causal in (True, False):
        model = adapted(faithful=True, causal=causal)
        same = torch.allclose(logits(model, input_ids=ids)[:, :6], logits(model, input_ids=ids[:, :6]), atol=1e-4)
        assert same == causal


def test_generates_with_the_cache_what_it_generates_without(adapted):
    model = adapted(faithful=True)
    ids = torch.tensor([[0, 0, 5, 9], [3, 4, 30, 2]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    settings = {
        "input_ids": ids,
        "attention_mask": mask,
        "max_new_tokens": 8,
        "do_sample": False,
        "pad_token_id": 0,
    }
    assert torch.equal(model.generate(**settings), model.generate(**settings, use_cache=False))


def test_padding_does_not_matter(adapted):
    model = adapted(faithful=True, causal=False)
    ids = torch.tensor([[7, 8, 9]])
    padded, mask = F.pad(ids, (0, 4)), torch.tensor([[1] * 3 + [0] * 4])
    assert torch.allclose(
        logits(model, input_ids=padded, attention_mask=mask)[:, :3], logits(model, input_ids=ids), atol=1e-5
    )
