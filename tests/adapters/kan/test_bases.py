import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.chebyshev import chebval
from scipy.interpolate import BSpline as ScipyBSpline
from torch.autograd import gradcheck

from knotwork.adapters.kan.bases import BASES, BSpline, Chebyshev, Gaussian

GRIDS = [(1, 0), (1, 3), (2, 1), (5, 3), (6, 2), (13, 3), (20, 5), (200, 3), (201, 2)]


def inputs(count=4001, features=2, dtype=torch.float64, low=-1.0, high=1.0):
    generator = torch.Generator().manual_seed(0)
    ends = torch.tensor([[low] * features, [high] * features], dtype=dtype)
    drawn = torch.rand(count, features, generator=generator, dtype=dtype) * (high - low) + low
    return torch.cat([ends, drawn])


def scipy_values(x, grid_size, order, derivative=0):
    """(tokens, size, features) by scipy, on knots that go on evenly beyond [-1, 1]."""
    knots = -1 + np.arange(-order, grid_size + order + 1) * (2 / grid_size)
    size = grid_size + order
    columns = []
    for k in range(size):
        function = ScipyBSpline.basis_element(knots[k : k + order + 2], extrapolate=False)
        if derivative:
            function = function.derivative()
        columns.append(np.nan_to_num(function(x.double().numpy())))
    return torch.from_numpy(np.stack(columns, 1))


@pytest.mark.parametrize(("grid_size", "order"), GRIDS)
def test_bspline_agrees_with_scipy(grid_size, order):
    x = inputs()[2:]
    basis = BSpline(grid_size, order)
    assert torch.allclose(basis.values(x), scipy_values(x, grid_size, order), atol=1e-10)
    if order > 1:
        expected = scipy_values(x, grid_size, order, derivative=1)
        assert torch.allclose(basis.derivatives(x), expected, atol=1e-8)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_bspline_in_fp32_is_accurate_to_1e_5_at_grid_size_200(order):
    x = inputs(dtype=torch.float32)[2:]
    error = BSpline(200, order).values(x) - scipy_values(x, 200, order)
    assert error.abs().max() < 1e-5


@pytest.mark.parametrize(("grid_size", "order"), GRIDS)
def test_bsplines_sum_to_one_and_only_order_plus_one_of_them_count(grid_size, order):
    x = inputs(low=-3.0, high=3.0)
    values = BSpline(grid_size, order).values(x)
    assert values.shape == (len(x), grid_size + order, 2)
    assert torch.allclose(values.sum(1), torch.ones_like(x), atol=1e-12)
    assert values.min() >= -1e-12
    assert (values != 0).sum(1).max() <= order + 1


@pytest.mark.parametrize("grid_size", [5, 40])
def test_fading_bsplines_agree_with_scipy_beyond_the_range(grid_size):
    x = inputs(low=-4.0, high=4.0)
    basis = BSpline(grid_size, 3, fading=True)
    assert torch.allclose(basis.values(x), scipy_values(x, grid_size, 3), atol=1e-10)
    assert torch.allclose(basis.derivatives(x), scipy_values(x, grid_size, 3, derivative=1), atol=1e-8)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 30])
def test_chebyshev_agrees_with_numpy(size):
    x = inputs(low=-5.0, high=5.0)
    squashed = np.tanh(x.numpy())
    expected = np.stack([chebval(squashed, np.eye(size)[k]) for k in range(size)], 1)
    assert np.allclose(Chebyshev(size, 0).values(x).numpy(), expected, atol=1e-10)


def test_gaussians_are_one_at_their_centres_and_even_around_them():
    basis = Gaussian(4, 1)
    centres = torch.linspace(-1, 1, 5, dtype=torch.float64).unsqueeze(1)
    assert torch.allclose(torch.diagonal(basis.values(centres).squeeze(2)), torch.ones(5, dtype=torch.float64))
    left, right = (basis.values(centres + shift).squeeze(2) for shift in (-0.2, 0.2))
    assert torch.allclose(torch.diagonal(left), torch.diagonal(right))
    assert torch.allclose(torch.diagonal(right), torch.full((5,), np.exp(-((0.2 / 0.5) ** 2)), dtype=torch.float64))


class Values(torch.autograd.Function):
    """A basis with its own derivatives, for gradcheck."""

    @staticmethod
    def forward(ctx, x, basis):
        ctx.save_for_backward(x)
        ctx.basis = basis
        return basis.values(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return (gradient * ctx.basis.derivatives(x)).sum(1), None


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize(("grid_size", "order"), [(5, 3), (3, 2), (16, 4)])
def test_derivatives_are_those_of_the_values(name, grid_size, order):
    x = inputs(20, low=-1.7, high=1.7).requires_grad_()
    assert gradcheck(Values.apply, (x, BASES[name](grid_size, order)))


def test_order_zero_is_flat():
    x = inputs(50)
    assert not BSpline(4, 0).derivatives(x).any()


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("grid_size", [1, 5, 200])
@settings(deadline=None)
@given(x=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_finite_for_every_finite_input(name, grid_size, x):
    basis = BASES[name](grid_size, 3)
    point = torch.tensor([[x]], dtype=torch.float32)
    assert basis.values(point).isfinite().all()
    assert basis.derivatives(point).isfinite().all()


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("grid_size", [5, 200])
def test_what_is_not_a_number_stays_so(name, grid_size):
    assert BASES[name](grid_size, 3).values(torch.full((1, 1), torch.nan)).isnan().any()
