"""Formulas for functions that are known at some points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import make_interp_spline
from sympy import Symbol, lambdify
from sympy.parsing.sympy_parser import (
    convert_xor,
    implicit_multiplication_application,
    parse_expr,
    standard_transformations,
)

from knotwork.adapters.kan.symbolic import read

X = np.linspace(-2.3, 1.9, 49)


def values(formula: str, x: np.ndarray) -> np.ndarray:
    """What a formula, as it is written for readers, gives."""
    text = formula.replace("²", "^2").replace("³", "^3").replace("−", "-")
    rules = (*standard_transformations, implicit_multiplication_application, convert_xor)
    return np.broadcast_to(lambdify(Symbol("x"), parse_expr(text, transformations=rules))(x), x.shape)


@pytest.mark.parametrize(
    "function, formula",
    [
        (lambda x: 0.31 * np.sin(1.2 * x + 0.4) - 0.1, "0.31 sin(1.2 x + 0.4) − 0.1"),
        (lambda x: np.cos(5 * x - 0.3), "sin(5 x + 1.27)"),
        (lambda x: 2 * np.tanh(3 * x - 1) + 0.5, "2 tanh(3 x − 1) + 0.5"),
        (lambda x: 1 / (1 + np.exp(-4 * x)), "0.5 tanh(2 x) + 0.5"),
        (lambda x: np.exp(-((2 * x + 0.4) ** 2)), "exp(−(2 x + 0.4)²)"),
        (lambda x: 0.02 * np.exp(1.5 * x), "0.02 exp(1.5 x)"),
        (lambda x: -3 * np.log(2.5 - x), "−3 log(1.19 − 0.476 x) − 2.23"),
        (lambda x: 0.5 * x - 0.2, "0.5 x − 0.2"),
        (lambda x: 0.5 * x**2 - x, "0.5 x² − x"),
        (lambda x: 1e-5 * (x**3 - 0.2 * x), "1.0e−5 x³ − 2.0e−6 x"),
    ],
)
def test_known_functions_are_recognised(function, formula):
    reading = read(X, function(X))
    assert reading.r2 == pytest.approx(1, abs=1e-6)
    assert np.allclose(values(reading.formula, X), function(X), atol=0.01 * np.abs(function(X)).max())
    assert reading.formula == formula


@pytest.mark.parametrize("y", [np.full_like(X, 3.0), np.zeros_like(X)])
def test_what_does_not_change_has_no_formula(y):
    assert read(X, y) is None


def test_points_count_by_their_weight():
    """Where no input lies, the function may do what it wants."""
    y = np.where(X < 0.5, 0.7 * X, np.sin(40 * X))
    assert read(X, y, weights=X < 0.5).formula == "0.7 x"
    assert read(X, y, weights=X < 0.5).r2 == pytest.approx(1)
    assert read(X, y).r2 < 0.9


@pytest.mark.parametrize("offset", [-300.0, 5000.0])
def test_inputs_far_from_zero(offset):
    for function in (np.exp, np.sin, np.tanh):
        reading = read(X + offset, function(X))
        assert reading.r2 > 0.999
        assert "inf" not in reading.formula
        assert "nan" not in reading.formula


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-5, 5, width=32), min_size=8, max_size=8))
def test_the_fit_is_as_good_as_it_says(points):
    """For any smooth curve the formula that is printed explains what R² says."""
    y = make_interp_spline(np.linspace(X[0], X[-1], 8), points)(X)
    reading = read(X, y)
    if reading is None:
        assert np.ptp(y) < 1e-3
        return
    error = np.mean((values(reading.formula, X) - y) ** 2) / y.var()
    # Numbers of 3 digits cost a little, more where large terms cancel.
    assert reading.r2 <= 1
    assert 1 - error == pytest.approx(reading.r2, abs=0.05)
