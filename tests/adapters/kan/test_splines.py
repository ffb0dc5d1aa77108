import pytest
import torch
from torch.autograd import gradcheck

from knotwork.adapters.kan import splines
from knotwork.adapters.kan.bases import BASES, BSpline
from knotwork.adapters.kan.splines import SPLINES, FactoredSpline, spline_sum
from knotwork.errors import UserError


def arguments(tokens=7, outputs=3, features=4, basis=None, dtype=torch.float64):
    torch.manual_seed(0)
    basis = basis or BSpline(5, 3)
    x = torch.randn(tokens, features, dtype=dtype)
    centre, scale = torch.randn(features, dtype=dtype) / 5, torch.rand(features, dtype=dtype) + 0.3
    return x, centre, scale, torch.randn(outputs, basis.size, features, dtype=dtype), basis


@pytest.mark.parametrize("name", BASES)
def test_sum_is_the_dense_one(name):
    x, centre, scale, coefficients, basis = arguments(basis=BASES[name](5, 3))
    dense = torch.einsum("tki,oki->to", basis.values((x - centre) * scale), coefficients)
    assert torch.allclose(spline_sum(x, centre, scale, coefficients, basis), dense)


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("grid_size", [5, 20])
def test_gradients_of_inputs_and_coefficients(name, grid_size):
    x, centre, scale, coefficients, basis = arguments(basis=BASES[name](grid_size, 3))
    x.requires_grad_()
    coefficients.requires_grad_()
    assert gradcheck(lambda x, c: spline_sum(x, centre, scale, c, basis), (x, coefficients))


def test_tiles_change_nothing(monkeypatch):
    results = []
    for tile, columns in ((1, 1), (10**9, 10**9)):
        monkeypatch.setitem(splines.TILE, "cpu", tile)
        monkeypatch.setattr(splines, "COLUMNS", columns)
        x, *rest, coefficients, basis = arguments(tokens=23)
        leaves = x.requires_grad_(), coefficients.requires_grad_()
        result = spline_sum(x, *rest, coefficients, basis)
        results.append((result, *torch.autograd.grad(result.square().sum(), leaves)))
    assert all(torch.allclose(one, all_) for one, all_ in zip(*results, strict=True))


def test_nothing_as_large_as_the_basis_is_kept_for_the_backward_pass():
    x, *rest, coefficients, basis = arguments(tokens=200)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        spline_sum(x.requires_grad_(), *rest, coefficients.requires_grad_(), basis)
    assert kept
    assert max(kept) <= x.numel()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_autocast_computes_in_fp32(dtype):
    x, *rest, coefficients, basis = arguments(dtype=torch.float32)
    leaves = x.to(dtype).requires_grad_(), coefficients.requires_grad_()
    plain = spline_sum(leaves[0].float(), *rest, coefficients, basis)
    with torch.autocast("cpu", torch.bfloat16):
        inside = spline_sum(leaves[0], *rest, coefficients, basis)
        gradients = torch.autograd.grad(inside.sum(), leaves)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, plain)
    assert torch.equal(gradients[1], torch.autograd.grad(plain.sum(), coefficients)[0])


@pytest.mark.parametrize("kind", SPLINES)
def test_a_new_spline_adds_nothing_and_counts_its_parameters(kind):
    rank = None if kind == "full" else 2
    spline = SPLINES[kind](6, 9, rank, BSpline(5, 3))
    spline.set_range(-2.0, 2.0)
    assert not spline(torch.randn(2, 3, 6)).any()
    assert spline(torch.randn(2, 3, 6)).shape == (2, 3, 9)
    assert SPLINES[kind].count(6, 9, 2, 8) == sum(value.numel() for value in spline.parameters())


@pytest.mark.parametrize("kind", ["factored", "latent"])
def test_of_the_factors_the_outer_alone_is_zero(kind):
    values = dict(SPLINES[kind](6, 9, 2, BSpline(5, 3)).named_parameters())
    assert not values.pop("U").any()
    assert all(value.all() for value in values.values())


def test_latent_splines_act_on_the_projection():
    spline = SPLINES["latent"](6, 9, 2, BSpline(5, 3))
    spline.set_range(-1.0, 1.0)
    torch.nn.init.normal_(spline.U)
    torch.nn.init.normal_(spline.mean)
    x = torch.randn(5, 6)
    with torch.no_grad():
        features = (x - spline.mean) @ spline.A.T
        features = features / (features.square().mean(1, keepdim=True) + 1e-6).sqrt()
        basis = spline.basis.values(features)
        expected = torch.einsum("tki,oki->to", basis, spline.V) @ spline.U.T
    assert torch.allclose(spline(x), expected, atol=1e-6)


def test_range_is_an_affine_map_per_feature():
    spline = FactoredSpline(2, 3, 1, BSpline(5, 3))
    assert not spline.fitted
    spline.set_range(torch.tensor([-1.0, 10.0]), torch.tensor([3.0, 10.5]))
    assert spline.fitted
    ends = torch.tensor([[-1.0, 10.0], [3.0, 10.5]])
    assert torch.allclose((ends - spline.centre) * spline.scale, torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))


def test_training_unfitted_is_one_line():
    spline = FactoredSpline(2, 3, 1, BSpline(5, 3))
    with pytest.raises(UserError, match=r"kan\.range: the splines are not fitted yet; call knotwork\.fit_grid"):
        spline(torch.randn(4, 2))
    with torch.no_grad():
        assert not spline(torch.randn(4, 2)).any()
    assert not spline.eval()(torch.randn(4, 2)).any()
