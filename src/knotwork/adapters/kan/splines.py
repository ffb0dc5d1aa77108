"""W_spline sigma(x): sums of one-dimensional functions of the features, with dense or factored coefficients."""

import math
from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from knotwork.adapters.kan.bases import Basis
from knotwork.errors import UserError

TILE = {"cpu": 2**19}
"""Values of the basis held at once, by device: on a CPU they should stay in its cache."""
LARGE_TILE = 2**25
COLUMNS = 4096
"""About so many of them for each token: fewer waste the matrix product, more the cache."""
WIDTH = 3.0
"""Standard deviations from the mean to either end of a fitted grid: 99.7 % of a normal feature lie on it."""
EPSILON = 1e-6


def spline_sum(x: Tensor, centre: Tensor, scale: Tensor, coefficients: Tensor, basis: Basis) -> Tensor:
    """y_o = sum over features i and functions k of c_oki b_k((x_i - centre_i) scale_i), in fp32 or fp64.

    The basis is evaluated some tokens at a time and again for the backward pass, so that no tensor of
    tokens x features x functions outlives its chunk.

    Args:
        x: (tokens, features).
        centre: (features,).
        scale: (features,).
        coefficients: (outputs, size of the basis, features).
        basis: the functions.

    Returns:
        (tokens, outputs), also inside autocast no narrower than fp32.
    """
    with torch.autocast(x.device.type, enabled=False):
        wide = torch.promote_types(x.dtype, torch.float32)
        return _SplineSum.apply(x.to(wide), centre.to(wide), scale.to(wide), coefficients.to(wide), basis)


class _SplineSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, centre: Tensor, scale: Tensor, coefficients: Tensor, basis: Basis
    ) -> Tensor:
        ctx.save_for_backward(x, centre, scale, coefficients)
        ctx.basis = basis
        result = x.new_zeros(len(x), len(coefficients))
        for columns, tiles in _tiles(x, coefficients):
            weight = coefficients[..., columns].flatten(1)
            for rows in tiles:
                scaled = (x[rows, columns] - centre[columns]) * scale[columns]
                result[rows].addmm_(basis.values(scaled).flatten(1), weight.T)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, centre, scale, coefficients = ctx.saved_tensors
        by_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        by_coefficients = torch.empty_like(coefficients) if ctx.needs_input_grad[3] else None
        with torch.autocast(x.device.type, enabled=False):
            for columns, tiles in _tiles(x, coefficients):
                part = coefficients[..., columns]
                weight = part.flatten(1)
                by_weight = torch.zeros_like(weight)
                for rows in tiles:
                    values, pull = ctx.basis.values_and_pull((x[rows, columns] - centre[columns]) * scale[columns])
                    if by_coefficients is not None:
                        by_weight.addmm_(gradient[rows].T, values.flatten(1))
                    if by_x is not None:
                        pulled = pull((gradient[rows] @ weight).view(values.shape))
                        torch.mul(pulled, scale[columns], out=by_x[rows, columns])
                if by_coefficients is not None:
                    by_coefficients[..., columns] = by_weight.view_as(part)
        return by_x, None, None, by_coefficients, None


def _tiles(x: Tensor, coefficients: Tensor) -> Iterator[tuple[slice, list[slice]]]:
    """Ranges of features, and for each the ranges of tokens."""
    outputs, size, features = coefficients.shape
    wide = max(COLUMNS // size, 1)
    # Not fewer tokens than outputs: the coefficients are read again for every tile.
    high = max(TILE.get(x.device.type, LARGE_TILE) // (size * min(wide, features)), outputs)
    rows = [slice(start, start + high) for start in range(0, len(x), high)]
    return ((slice(start, start + wide), rows) for start in range(0, features, wide))


class Spline(nn.Module):
    """W_spline sigma(x) of one matrix; W_spline is 0 at the start.

    Each feature has an affine map onto the range of the basis: a scale of 0 says that it is not fitted yet.

    Args:
        inputs: features of x.
        outputs: features of the result.
        features: features of which there are functions.
        basis: the functions.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, inputs: int, outputs: int, features: int, basis: Basis) -> None:
        super().__init__()
        self.inputs, self.outputs, self.features, self.basis = inputs, outputs, features, basis
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("scale", torch.zeros(features))
        self._fitted = False

    @staticmethod
    @abstractmethod
    def count(inputs: int, outputs: int, rank: int, size: int) -> int:
        """Trainable parameters of such a spline."""

    @abstractmethod
    def edges(self) -> Tensor:
        """Magnitude of every function, as the mean absolute coefficient times its weight in the result."""

    @abstractmethod
    def _sum(self, x: Tensor) -> Tensor:
        """The result of x (tokens, inputs)."""

    @torch.no_grad()
    def fit(self, mean: Tensor, deviation: Tensor) -> None:
        """Fit the range to the mean and standard deviation of x, each (inputs,)."""
        self.set_range(mean - WIDTH * deviation, mean + WIDTH * deviation)

    def project(self, x: Tensor) -> Tensor:
        """The features of which there are functions, (..., features), from x (..., inputs)."""
        return x

    @torch.no_grad()
    def set_range(self, low: Tensor | float, high: Tensor | float) -> None:
        """Map ``low`` to ``high``, one number or one a feature, onto the range of the basis."""
        low, high = (torch.as_tensor(end, dtype=torch.float64, device=self.scale.device) for end in (low, high))
        self.centre.copy_((low + high) / 2)
        self.scale.copy_(2 / (high - low))

    @property
    def fitted(self) -> bool:
        """Whether the range has been set."""
        # Asked once: on an accelerator every look costs a synchronisation.
        self._fitted = self._fitted or bool(self.scale.all())
        return self._fitted

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs).

        Raises:
            UserError: it is being trained, but has no range yet.
        """
        if self.training and torch.is_grad_enabled() and not self.fitted:
            raise UserError(
                "kan.range: the splines are not fitted yet; call knotwork.fit_grid(model, batches) before "
                "training, or give a range"
            )
        return self._sum(x.flatten(0, -2)).view(*x.shape[:-1], self.outputs)


class FullSpline(Spline):
    """Every coefficient of W_spline its own, (outputs, size, inputs); no rank."""

    def __init__(self, inputs: int, outputs: int, rank: None, basis: Basis) -> None:
        super().__init__(inputs, outputs, inputs, basis)
        self.coefficients = nn.Parameter(torch.zeros(outputs, basis.size, inputs))

    @staticmethod
    def count(inputs: int, outputs: int, rank: int, size: int) -> int:
        """Whatever the rank."""
        return outputs * size * inputs

    def edges(self) -> Tensor:
        """(outputs, inputs)."""
        return self.coefficients.abs().mean(1)

    def _sum(self, x: Tensor) -> Tensor:
        return spline_sum(x, self.centre, self.scale, self.coefficients, self.basis)


class FactoredSpline(Spline):
    """W_spline = U V: ``rank`` sums of functions V, and how U (0 at the start) spreads them over the result."""

    def __init__(self, inputs: int, outputs: int, rank: int, basis: Basis, features: int | None = None) -> None:
        super().__init__(inputs, outputs, features or inputs, basis)
        features = features or inputs
        self.V = nn.Parameter(_drawn(rank, basis.size, features, fan=features))
        self.U = nn.Parameter(torch.zeros(outputs, rank))

    @staticmethod
    def count(inputs: int, outputs: int, rank: int, size: int) -> int:
        """U and V."""
        return rank * (outputs + size * inputs)

    def edges(self) -> Tensor:
        """(rank, features)."""
        return self.V.abs().mean(1) * self.U.abs().sum(0).unsqueeze(1)

    def _sum(self, x: Tensor) -> Tensor:
        sums = spline_sum(self.project(x), self.centre, self.scale, self.V, self.basis)
        return functional.linear(sums, self.U)


class LatentSpline(FactoredSpline):
    """As :class:`FactoredSpline`, of ``rank`` features instead of x itself: the size of LoRA.

    The features are A (x - mean), scaled to a mean square of 1 for each token. Activations have a large mean in
    common, along which the features would leave any fixed grid as soon as A moves; there splines are constant and
    learn nothing more.
    """

    mean: Tensor

    def __init__(self, inputs: int, outputs: int, rank: int, basis: Basis) -> None:
        super().__init__(inputs, outputs, rank, basis, features=rank)
        self.A = nn.Parameter(_drawn(rank, inputs, fan=inputs))
        self.register_buffer("mean", torch.zeros(inputs))

    @staticmethod
    def count(inputs: int, outputs: int, rank: int, size: int) -> int:
        """A, U and V."""
        return rank * (inputs + outputs + size * rank)

    @torch.no_grad()
    def fit(self, mean: Tensor, deviation: Tensor) -> None:
        """Take the mean; the features have a mean square of 1 whatever the deviation."""
        self.mean.copy_(mean)
        self.set_range(-WIDTH, WIDTH)

    def project(self, x: Tensor) -> Tensor:
        """A (x - mean), scaled."""
        # Not a matrix-vector product, whose last digits depend on where in memory the matrix lies.
        centred = functional.linear(x.to(self.A.dtype), self.A, -(self.A * self.mean).sum(1))
        return functional.rms_norm(centred.float(), centred.shape[-1:], eps=EPSILON)


SPLINES: dict[str, type[Spline]] = {"full": FullSpline, "factored": FactoredSpline, "latent": LatentSpline}
"""By the name that ``kan.spline`` gives."""


def _drawn(*shape: int, fan: int) -> Tensor:
    """Uniform, as LoRA draws its A: the sum over ``fan`` features keeps their variance within a factor."""
    bound = 1 / math.sqrt(fan)
    return torch.empty(shape).uniform_(-bound, bound)
