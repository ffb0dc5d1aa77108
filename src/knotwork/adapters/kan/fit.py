"""Fit the grids of the splines to the activations of the base."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from knotwork.adapters.architectures import block_number, body_of
from knotwork.adapters.kan.layer import KanLoraMlp
from knotwork.adapters.kan.splines import Spline
from knotwork.errors import UserError

NARROWEST = 0.01
"""Least deviation in medians of its layer: a feature that hardly moves would make slopes that explode."""


@torch.no_grad()
def fit_grid(model: nn.Module, loader: Iterable[Mapping[str, Tensor]]) -> None:
    """Fit the grid of every active adapter, for each feature to its mean and standard deviation.

    Before training, when the adapted network is the pretrained one, these are the activations of the base. The
    grids are buffers and are saved with the adapter.

    Args:
        model: a model with KAN-LoRA on it, as :func:`peft.get_peft_model` returns it.
        loader: batches of training rows as the model takes them, ``input_ids`` and ``attention_mask`` of shape
            (rows, tokens); labels are left out.

    Raises:
        UserError: there is nothing to fit or to fit it on, or an activation is not finite.
    """
    watched = {}
    for name, layer in model.named_modules():
        if isinstance(layer, KanLoraMlp):
            for place, splines in layer.splines().items():
                where = f"block {block_number(name)} ({getattr(layer.architecture, place)})"
                for adapter in layer.working():
                    if layer.configs[adapter].range == "fitted":
                        watched[splines[adapter]] = Moments(where)
    if not watched:
        raise UserError("kan.range: the model has no splines whose range is to be fitted")
    training, body, device = model.training, body_of(model), next(model.parameters()).device
    mask: Tensor | None = None

    def watch(spline: Spline, args: tuple[Tensor, ...]) -> None:
        watched[spline].add(args[0].flatten(0, -2) if mask is None else args[0][mask])

    hooks = [spline.register_forward_pre_hook(watch) for spline in watched]
    try:
        model.eval()
        for batch in loader:
            inputs = {key: value.to(device) for key, value in batch.items() if key != "labels"}
            mask = inputs["attention_mask"].bool() if "attention_mask" in inputs else None
            body(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(training)
    for spline, moments in watched.items():
        spline.fit(*moments.result())


class Moments:
    """Running mean and standard deviation of features, in fp64.

    Args:
        where: the features' place in the model, for errors.
    """

    def __init__(self, where: str) -> None:
        self.where, self.count = where, 0
        self.sum: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    def add(self, features: Tensor) -> None:
        """Take (tokens, features) in.

        Raises:
            UserError: one is not finite.
        """
        if not features.isfinite().all():
            raise UserError(
                f"fit_grid: activations of {self.where} are not finite; check the weights of the base and the "
                "training rows"
            )
        features = features.double()
        self.count += len(features)
        self.sum = self.sum + features.sum(0)
        self.squares = self.squares + features.square().sum(0)

    def result(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each feature.

        Raises:
            UserError: nothing has been taken in.
        """
        if not self.count:
            raise UserError("fit_grid: no batch to fit the grid on; give at least one training row")
        mean = self.sum / self.count
        deviation = (self.squares / self.count - mean.square()).clamp(min=0).sqrt()
        least = NARROWEST * deviation.median()
        return mean, deviation.clamp(min=least if least > 0 else 1.0)
