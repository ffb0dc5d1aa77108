"""How rough the functions are that KAN-LoRA learned, exactly, from the coefficients of their B-splines.

A function f of one feature is looked at over its fitted range, with t = 0 at the lower end and t = 1 at the upper
one. Its roughness is the integral of f''(t)^2 over the range: 0 for a straight line, 4 for t^2. It grows with the
square of the function's size; the ratio to the integral of (f - mean f)^2 does not, and is (2 pi n)^4 for a sine
with n periods in the range. So the fourth root of the ratio by 2 pi is a number of waves.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knotwork.adapters.kan.bases import BSpline
from knotwork.adapters.kan.splines import FullSpline, Spline
from knotwork.errors import UserError

Floats = NDArray[np.float64]


class Roughness(NamedTuple):
    """Of a model's functions: the mean roughness, and the waves of all together."""

    mean: float
    waves: float


def of_splines(splines: Iterable[Spline]) -> Roughness:
    """Over the functions from every feature to every output of every spline, (outputs x features) each."""
    rough = variance = functions = 0.0
    for spline in splines:
        bends, varies = bending(spline.basis), spread(spline.basis)
        rough += _total(spline, bends)
        variance += _total(spline, varies)
        functions += spline.outputs * len(spline.centre)
    return Roughness(rough / functions, waves(rough, variance))


def waves(rough: float, variance: float) -> float:
    """Periods of the sine that is as rough for its size; not a number for functions that do not change."""
    return (rough / variance) ** 0.25 / (2 * math.pi) if variance > 0 else math.nan


def drawn_waves(basis: BSpline) -> float:
    """Waves of functions whose coefficients are drawn independently of each other, as V's are at the start."""
    return waves(np.trace(bending(basis)), np.trace(spread(basis)))


def bending(basis: BSpline) -> Floats:
    """R, (size, size): c R c is the integral of f''^2 for f with coefficients c.

    On uniform knots h apart the second derivative is a spline of order - 2 whose coefficients are the second
    differences of c by h^2 (de Boor 1978, chapter 10).

    Raises:
        UserError: pieces of straight lines have their second derivative in the knots alone.
    """
    if basis.order < 2:
        raise UserError(f"kan.order: {basis.order} is too low for a second derivative; give at least 2")
    second = np.diff(np.eye(basis.size), 2, axis=0) * basis.grid_size**2
    return second.T @ products(BSpline(basis.grid_size, basis.order - 2)) @ second


def spread(basis: BSpline) -> Floats:
    """M, (size, size): c M c is the integral of (f - mean f)^2 for f with coefficients c."""
    gram = products(basis)
    means = gram.sum(1)  # the basis sums to 1
    return gram - np.outer(means, means)


def products(basis: BSpline) -> Floats:
    """Integrals over t of products of two functions of the basis, (size, size), exact by Gauss-Legendre."""
    places, weights = np.polynomial.legendre.leggauss(basis.order + 1)
    t = (np.arange(basis.grid_size)[:, None] + (places + 1) / 2).ravel() / basis.grid_size
    values = basis.values(torch.from_numpy(2 * t - 1).unsqueeze(1)).squeeze(2).numpy()
    return values.T @ (values * np.tile(weights, basis.grid_size)[:, None]) / (2 * basis.grid_size)


@torch.no_grad()
def _total(spline: Spline, form: Floats) -> float:
    """The sum of a quadratic form over all functions, without making the coefficients of each."""
    full = isinstance(spline, FullSpline)
    inner: Tensor = (spline.coefficients if full else spline.V).double()
    formed = torch.einsum("qki,kl->qli", inner, torch.from_numpy(form).to(inner))
    if not full:
        formed = torch.einsum("qp,pli->qli", (spline.U.double().T @ spline.U.double()), formed)
    return float((formed * inner).sum())
