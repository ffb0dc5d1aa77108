"""A closed formula for a function of one variable that is known at some points."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import sympy
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeWarning, curve_fit

Floats = NDArray[np.float64]

DIGITS = 3  # of a number in a formula
NOTHING = 5e-3  # parts of a formula below this share of the whole are left out
CLOSE = 0.002  # a simpler formula is taken if its R² is not lower by more
DEGREES = (1, 2, 3)
_X = sympy.Symbol("x")


@dataclass(frozen=True)
class Reading:
    """A formula in x, and the share of the function's variance that it explains."""

    formula: str
    r2: float


@dataclass(frozen=True)
class Shape:
    """A function g of b t + c, t in [-1, 1], to be read as a g(b t + c) + d.

    Attributes:
        function: g.
        written: g(rate x + shift) in sympy.
        starts: (starts, parameters), where the search for the inner parameters begins.
        inner: b and c by the inner parameters.
    """

    function: Callable[[Floats], Floats]
    written: Callable[[float, float], sympy.Expr]
    starts: Floats
    inner: Callable[..., tuple[Floats | float, Floats | float]] = lambda b, c: (b, c)

    def values(self, t: Floats, *parameters: Floats | float) -> Floats:
        """g at t; the parameters broadcast."""
        b, c = self.inner(*parameters)
        return self.function(b * t + c)


def _affine(rate: float, shift: float) -> sympy.Expr:
    return rate * _X + (shift if abs(shift) > NOTHING else 0)


def _sine(rate: float, shift: float) -> sympy.Expr:
    turns = round(shift / math.pi)
    return (-1) ** turns * sympy.sin(_affine(rate, shift - turns * math.pi))


def _exponential(rate: float, shift: float) -> sympy.Expr:
    far = abs(shift) > 20  # a factor that nobody could read
    return sympy.exp(_affine(rate, shift)) if far else math.exp(shift) * sympy.exp(rate * _X)


def _grid(*axes: ArrayLike) -> Floats:
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


_RATES = np.geomspace(0.5, 10, 14)
_SHIFTS = np.linspace(-4, 4, 17)
_PHASES = np.linspace(0, np.pi, 8, endpoint=False)
_MARGINS = np.linspace(-5, 2, 8)  # logarithm of how far from the points a logarithm's pole lies

# Affine maps inside and outside make others the same: a cosine is a sine, a sigmoid a tanh of half its argument.
SHAPES = (
    Shape(np.sin, _sine, _grid(_RATES, _PHASES)),
    Shape(np.tanh, lambda rate, shift: sympy.tanh(_affine(rate, shift)), _grid(_RATES, _SHIFTS)),
    Shape(
        lambda u: np.exp(-(u**2)),
        lambda rate, shift: sympy.exp(-(_affine(rate, shift) ** 2)),
        _grid(_RATES, _SHIFTS),
    ),
    Shape(
        lambda u: np.exp(np.clip(u, -50, 50)),
        _exponential,
        _grid(np.concatenate([-_RATES, _RATES]) / 2),
        lambda b: (b, 0.0),
    ),
    *(
        Shape(
            np.log,
            lambda rate, shift: sympy.log(_affine(rate, shift)),
            _grid(_MARGINS),
            lambda margin, side=side: (side, 1 + np.exp(margin)),
        )
        for side in (1.0, -1.0)
    ),
)


def read(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> Reading | None:
    """The formula that fits best: a polynomial up to degree 3, or a sine, tanh, Gaussian, exp or log.

    Among formulas that fit about equally well one with the fewest parameters is taken.

    Args:
        x: points, at least 8.
        y: values there.
        weights: how much each point counts, such as the density of inputs; none are equal.

    Returns:
        The formula with numbers of 3 digits; ``None`` for a function that does not change.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    weights = np.ones_like(x) if weights is None else np.asarray(weights, float)
    weights = weights / weights.sum()
    variance = weights @ (y - weights @ y) ** 2
    if not variance > (1e-6 * np.abs(y).max()) ** 2:
        return None
    candidates = [_polynomial(x, y, weights, degree) for degree in DEGREES]
    candidates += [_shaped(x, y, weights, shape) for shape in SHAPES]
    scores = [1 - weights @ (y - candidate.values) ** 2 / variance for candidate in candidates]
    enough = max(scores) - CLOSE
    _, score, best = min(
        (candidate.parameters, -score, index)
        for index, (candidate, score) in enumerate(zip(candidates, scores, strict=True))
        if score >= enough
    )
    return Reading(_written(candidates[best]), float(-score))


@dataclass(frozen=True)
class _Candidate:
    parameters: int
    values: Floats
    expression: sympy.Expr
    constant: float = 0.0  # apart, since it stands last


def _polynomial(x: Floats, y: Floats, weights: Floats, degree: int) -> _Candidate:
    fitted = np.polynomial.Polynomial.fit(x, y, degree, w=np.sqrt(weights))
    powers = np.abs(x).max() ** np.arange(degree + 1)
    terms = [
        coefficient * _X**power
        for power, coefficient in enumerate(fitted.convert().coef)
        if _counts(coefficient * powers[power], y)
    ]
    return _Candidate(degree + 1, fitted(x), sum(terms, sympy.Integer(0)))


def _shaped(x: Floats, y: Floats, weights: Floats, shape: Shape) -> _Candidate:
    middle, half = (x.min() + x.max()) / 2, (x.max() - x.min()) / 2
    t = (x - middle) / half
    (slope, constant), inner = _fit(shape, t, y, weights)
    values = slope * shape.values(t, *inner) + constant
    b, c = shape.inner(*inner)
    expression = slope * shape.written(float(b / half), float(c - b * middle / half))
    return _Candidate(2 + len(inner), values, expression, constant if _counts(constant, y) else 0.0)


def _counts(part: float, y: Floats) -> bool:
    return abs(part) > NOTHING * np.abs(y).max()


def _fit(shape: Shape, t: Floats, y: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Outer and inner parameters: the best start with its outer parameters solved for, then all together."""
    values = shape.values(t, *(start[:, None] for start in shape.starts.T))
    centred, aim = values - (values @ weights)[:, None], y - weights @ y
    slopes = (centred * weights) @ aim / np.maximum((centred**2) @ weights, 1e-12)
    errors = (aim - slopes[:, None] * centred) ** 2 @ weights
    best = int(errors.argmin())
    outer = np.array([slopes[best], weights @ y - slopes[best] * (values[best] @ weights)])
    start = np.concatenate([outer, shape.starts[best]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            refined, _ = curve_fit(
                lambda t, a, d, *inner: a * shape.values(t, *inner) + d,
                t,
                y,
                p0=start,
                sigma=1 / np.sqrt(np.maximum(weights, 1e-9)),
                maxfev=400,
            )
        except RuntimeError:  # not settled in time: the start is good enough
            refined = start
    return refined[:2], refined[2:]


def _written(candidate: _Candidate) -> str:
    """The formula as one writes it: numbers rounded, no stars."""
    expression = candidate.expression
    rounded = expression.xreplace({number: _rounded(float(number)) for number in expression.atoms(sympy.Float)})
    text = sympy.sstr(rounded, full_prec=False)
    if candidate.constant:
        sign = "-" if candidate.constant < 0 else "+"
        text += f" {sign} {sympy.sstr(_rounded(abs(candidate.constant)), full_prec=False)}"
    return text.replace("**2", "²").replace("**3", "³").replace("*", " ").replace("-", "−")


def _rounded(number: float) -> sympy.Number:
    value = float(f"{number:.{DIGITS}g}")
    return sympy.Integer(int(value)) if value.is_integer() and abs(value) < 1000 else sympy.Float(value, DIGITS)
