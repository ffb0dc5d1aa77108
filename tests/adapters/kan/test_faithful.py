"""The paper's random KAN."""

import pytest
import torch
from peft import get_peft_model
from scipy.interpolate import BSpline
from torch.nn import functional

from knotwork import KanLoraConfig, UserError
from knotwork.adapters.kan.faithful import RandomKan

from .conftest import BLOCKS, HIDDEN, WIDTH, logits, small_base


def test_formula():
    torch.manual_seed(0)
    kan = RandomKan(3, 4).double()
    x = torch.randn(50, 3, dtype=torch.float64) * 2
    knots = torch.arange(-3, 9).double().mul(0.4).sub(1).numpy()
    sigma = torch.zeros(50, 8, 3, dtype=torch.float64)
    for k in range(8):
        element = BSpline.basis_element(knots[k : k + 5], extrapolate=False)
        sigma[:, k] = torch.from_numpy(element(x.numpy())).nan_to_num()
    expected = functional.silu(x) @ kan.base.T
    expected = expected + torch.einsum("tki,oki,oi->to", sigma, kan.spline, kan.spline_scale)
    assert torch.allclose(kan(x), expected, atol=1e-12)


def test_size_at_the_shapes_of_gpt2_small_is_the_papers():
    parameters = sum(value.numel() for value in RandomKan(768, 3072).to("meta").parameters())
    assert 12 * 2 * parameters == 566_231_040


@pytest.mark.parametrize("frozen", [False, True])
def test_takes_the_place_of_the_mlp(adapted, base, batch, frozen):
    model = adapted(faithful=True, faithful_frozen=frozen)
    assert not torch.allclose(logits(model, batch), logits(base(), batch), atol=1e-3)
    with torch.no_grad():
        for block in model.get_base_model().transformer.h:
            before = logits(model, batch)
            block.mlp.base_layer.c_fc.weight.add_(1.0)
            assert torch.equal(logits(model, batch), before)


def test_frozen_leaves_lora_alone_trainable(adapted):
    model = adapted(faithful=True, faithful_frozen=True)
    names = {name for name, value in model.named_parameters() if value.requires_grad}
    assert len(names) == BLOCKS * 4
    assert all(name.endswith((".A", ".B")) for name in names)
    model.set_adapter("default")
    assert names == {name for name, value in model.named_parameters() if value.requires_grad}


def test_otherwise_its_random_weights_are_trainable_too(adapted):
    model = adapted(faithful=True)
    trained = sum(value.numel() for name, value in model.named_parameters() if value.requires_grad)
    lora = 3 * (WIDTH + HIDDEN)
    assert trained == BLOCKS * 2 * (WIDTH * HIDDEN * 10 + lora)


def test_does_not_share_a_model_with_the_method_itself(adapted):
    model = adapted()
    with pytest.raises(UserError, match=r"kan\.faithful: an adapter with it and one without it"):
        model.add_adapter("paper", KanLoraConfig(r=2, faithful=True))


def test_has_nothing_to_merge_into(adapted):
    with pytest.raises(UserError, match=r"kan\.faithful: the pretrained matrices are not in use"):
        adapted(faithful=True).merge_lora()


def test_has_nothing_to_fit_or_to_regularise(batch):
    from knotwork.adapters.kan import fit_grid

    model = get_peft_model(small_base(), KanLoraConfig(r=2, faithful=True, l1=1.0))
    assert model.regularisation() == 0.0
    with pytest.raises(UserError, match="no splines whose range"):
        fit_grid(model, [batch])
