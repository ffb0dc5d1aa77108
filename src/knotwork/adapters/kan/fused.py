"""Bases whose many elementwise operations are compiled into one pass each, for the processor at hand."""

import os
import shutil
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from knotwork.adapters.kan.bases import FEW_CELLS, Basis, BSpline

PAYS = 1e9
"""Inputs of splines in a training from which compiling pays: it takes half a minute and saves 30 to 100 ns each."""
WARM = (34, 21)
"""Tokens and features of the first call: unequal, so that no later shape is a special case and compiles again."""


class Fused(Basis):
    """A basis, compiled; a single token or feature, which would compile anew, is left to the basis itself.

    Args:
        basis: what is compiled.
    """

    def __init__(self, basis: Basis) -> None:
        super().__init__(basis.grid_size, basis.order)
        self.basis = basis

    def values(self, x: Tensor) -> Tensor:
        """As the basis."""
        return self._functions(x.device)[0](x) if min(x.shape) > 1 else self.basis.values(x)

    def derivatives(self, x: Tensor) -> Tensor:
        """As the basis, not compiled."""
        return self.basis.derivatives(x)

    def values_and_pull(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """As the basis; in one pass each the little that both need costs less than to keep it."""
        if min(x.shape) < 2:
            return self.basis.values_and_pull(x)
        values, pull = self._functions(x.device)
        return values(x), lambda gradient: pull(x, gradient)

    @torch.no_grad()  # as within the splines' own forward and backward pass, or they would compile again
    def warm_up(self, device: torch.device) -> None:
        """Compile now; what stands in the way of it raises whatever it raises."""
        x, gradient = torch.zeros(WARM, device=device), torch.zeros(WARM[0], self.size, WARM[1], device=device)
        for tensor in (x, gradient):
            torch._dynamo.mark_dynamic(tensor, [0, tensor.ndim - 1])
        _, pull = self.values_and_pull(x)
        pull(gradient)

    def _functions(self, device: torch.device) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
        fading = isinstance(self.basis, BSpline) and self.basis.margin > 0
        return _compiled(type(self.basis), self.grid_size, self.order, fading, device.type)


@cache
def _compiled(
    kind: type[Basis], grid_size: int, order: int, fading: bool, device: str
) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Values and pull: one compiled code serves the splines of all blocks."""
    basis = kind(grid_size, order, fading=True) if fading else kind(grid_size, order)

    def pull(x: Tensor, gradient: Tensor) -> Tensor:
        return basis.values_and_pull(x)[1](gradient)

    return (
        torch.compile(lambda x: basis.values(x), fullgraph=True),
        torch.compile(pull, fullgraph=True),
    )


def fuse(model: nn.Module, tokens: int) -> str:
    """Compile the bases of a model's splines where that is possible and pays.

    Whether it pays is a matter of counts alone, so that a run does the same whenever it is resumed.

    Args:
        model: about to be trained.
        tokens: that the training will see.

    Returns:
        Which way the splines go, in a few words.
    """
    holders = [module for module in model.modules() if isinstance(getattr(module, "basis", None), Basis)]
    inputs = tokens * sum(holder.features for holder in holders)
    if inputs < PAYS:
        return f"splines eager: compiling pays from {PAYS:.0e} inputs on, these are {inputs:.0e}"
    if any(isinstance(holder.basis, BSpline) and holder.basis.cells > FEW_CELLS for holder in holders):
        return f"splines eager: only grids of up to {FEW_CELLS} intervals are compiled"
    device = next(model.parameters()).device
    if device.type == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        return "splines eager: there is no C++ compiler (g++, clang++ or $CXX)"
    for holder in holders:
        holder.basis = Fused(holder.basis)
    try:
        holders[0].basis.warm_up(device)
    except (RuntimeError, OSError) as error:
        for holder in holders:
            holder.basis = holder.basis.basis
        return f"splines eager: they do not compile here ({type(error).__name__})"
    return "splines compiled"
