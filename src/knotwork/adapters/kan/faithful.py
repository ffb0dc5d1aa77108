"""The paper's own construction, kept to measure what was wrong with it."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from knotwork.adapters.kan.bases import BSpline
from knotwork.adapters.kan.config import KanLoraConfig
from knotwork.adapters.kan.layer import KanLoraLayer
from knotwork.adapters.kan.splines import Spline, spline_sum
from knotwork.errors import UserError

GRID_SIZE, ORDER, NOISE = 5, 3, 0.1


class RandomKan(nn.Module):
    """A KAN layer as the paper's code draws it: W_base SiLU(x) + (W_spline * s) sigma(x), without a bias.

    Cubic B-splines on 5 intervals over [-1, 1], which fade beyond it; s is a scale for every function.

    Args:
        inputs: features of x.
        outputs: features of the result.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.features, self.basis = inputs, BSpline(GRID_SIZE, ORDER, fading=True)
        self.base = nn.Parameter(torch.empty(outputs, inputs))
        self.spline = nn.Parameter(torch.empty(outputs, self.basis.size, inputs))
        self.spline_scale = nn.Parameter(torch.empty(outputs, inputs))
        for matrix in (self.base, self.spline_scale):
            nn.init.kaiming_uniform_(matrix, a=math.sqrt(5))
        nn.init.uniform_(self.spline, -NOISE / 2 / GRID_SIZE, NOISE / 2 / GRID_SIZE)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        flat = x.flatten(0, -2)
        coefficients = self.spline * self.spline_scale.unsqueeze(1)
        centre, scale = flat.new_zeros(flat.shape[1]), flat.new_ones(flat.shape[1])
        splines = spline_sum(flat, centre, scale, coefficients, self.basis)
        base = functional.linear(functional.silu(x.to(self.base.dtype)), self.base)
        return base + splines.view_as(base).to(base.dtype)


class FaithfulMlp(KanLoraLayer):
    """Two random KAN layers in place of the pretrained MLP, with LoRA on SiLU(x), and no activation between them.

    Nothing of the pretrained MLP is left in the forward pass, except its dropout.
    """

    adapter_layer_names = (*KanLoraLayer.adapter_layer_names, "kan_lora_up_random", "kan_lora_down_random")

    def _add(
        self, name: str, config: KanLoraConfig, place: str, inputs: int, outputs: int, spline_rank: int | None
    ) -> None:
        random = f"kan_lora_{place}_random"
        getattr(self, random)[name] = RandomKan(inputs, outputs)
        if config.faithful_frozen:
            self.frozen_peft_weight_names[name] = (*self.frozen_peft_weight_names.get(name, ()), random)

    def splines(self) -> dict[str, dict[str, Spline]]:
        """None that could be fitted or regularised."""
        return {}

    def merge_lora(self, adapter_names: list[str] | None = None) -> None:
        """Refused.

        Raises:
            UserError: always.
        """
        raise UserError("kan.faithful: the pretrained matrices are not in use, so nothing can be merged into them")

    def forward(self, x: Tensor) -> Tensor:
        """As the MLP's."""
        names = self.working()
        if not names:
            return self.base_layer(x)
        hidden = sum(self._kan("up", name, x) for name in names)
        result = sum(self._kan("down", name, hidden) for name in names)
        return self.get_base_layer().get_submodule(self.architecture.dropout)(result.to(x.dtype))

    def _kan(self, place: str, name: str, x: Tensor) -> Tensor:
        return getattr(self, f"kan_lora_{place}_random")[name](x) + self._low_rank(place, name, functional.silu(x))
