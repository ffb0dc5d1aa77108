"""The adapted MLP of a block, and the low-rank update of one of its matrices."""

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, _get_in_out_features
from peft.utils.other import transpose
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from knotwork.adapters.architectures import Architecture
from knotwork.adapters.kan.bases import BASES
from knotwork.adapters.kan.config import KanLoraConfig
from knotwork.adapters.kan.splines import SPLINES, Spline
from knotwork.errors import UserError


class LowRank(nn.Module):
    """(alpha / r) B A f(x), B 0 at the start (Hu et al. 2021, arXiv 2106.09685).

    Args:
        inputs: features of x.
        outputs: features of the result.
        rank: r.
        scaling: alpha / r.
        dropout: of what goes into A.
    """

    def __init__(self, inputs: int, outputs: int, rank: int, scaling: float, dropout: float) -> None:
        super().__init__()
        self.A = nn.Parameter(torch.empty(rank, inputs))
        self.B = nn.Parameter(torch.zeros(outputs, rank))
        self.scaling, self.dropout = scaling, dropout
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        x = functional.dropout(x.to(self.A.dtype), self.dropout, self.training)
        return functional.linear(functional.linear(x, self.A) * self.scaling, self.B)

    def weight(self) -> Tensor:
        """(alpha / r) B A as a matrix, (outputs, inputs)."""
        return self.B @ self.A * self.scaling


class KanLoraLayer(nn.Module, BaseTunerLayer):
    """A block's MLP with the adapters around it: what all kinds of KAN-LoRA share.

    Args:
        base_layer: the pretrained MLP.
        architecture: how its parts are called.
    """

    adapter_layer_names: tuple[str, ...] = ("kan_lora_up", "kan_lora_down")

    def __init__(self, base_layer: nn.Module, architecture: Architecture) -> None:
        super().__init__()
        self.base_layer, self.architecture = base_layer, architecture
        self.merged_adapters, self.frozen_peft_weight_names = [], {}
        self.configs: dict[str, KanLoraConfig] = {}
        for name in self.adapter_layer_names:
            self.add_module(name, nn.ModuleDict())

    @property
    def up(self) -> nn.Module:
        """The pretrained MLP's first matrix."""
        return self.get_base_layer().get_submodule(self.architecture.up)

    @property
    def down(self) -> nn.Module:
        """The pretrained MLP's second matrix."""
        return self.get_base_layer().get_submodule(self.architecture.down)

    def matrices(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of both matrices, by place."""
        return {place: _get_in_out_features(getattr(self, place)) for place in ("up", "down")}

    def update_layer(
        self, name: str, config: KanLoraConfig, rank: int, scaling: float, spline_rank: int | None
    ) -> None:
        """Add an adapter.

        Raises:
            UserError: a rank is larger than a matrix.
        """
        with torch.device(self.up.weight.device):
            for place, (inputs, outputs) in self.matrices().items():
                _check_rank("r", rank, inputs, outputs)
                low_rank = LowRank(inputs, outputs, rank, scaling, config.dropout)
                getattr(self, f"kan_lora_{place}")[name] = low_rank
                self._add(name, config, place, inputs, outputs, spline_rank)
        self.configs[name] = config
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    @abstractmethod
    def _add(
        self, name: str, config: KanLoraConfig, place: str, inputs: int, outputs: int, spline_rank: int | None
    ) -> None:
        """Add what an adapter has beside the low-rank update of a matrix."""

    def working(self) -> list[str]:
        """The adapters that take part in the forward pass; none where they are disabled."""
        return [] if self.disable_adapters else [name for name in self.active_adapters if name in self.kan_lora_up]

    def delete_adapter(self, adapter_name: str) -> None:
        """Remove an adapter."""
        self.configs.pop(adapter_name, None)
        super().delete_adapter(adapter_name)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Refused.

        Raises:
            UserError: always.
        """
        raise UserError(MERGE_REFUSED)

    @torch.no_grad()
    def merge_lora(self, adapter_names: list[str] | None = None) -> None:
        """Add (alpha / r) B A to the pretrained matrices; splines stay beside them. ``unmerge`` takes it back."""
        for name in adapter_names or self.working():
            if name in self.kan_lora_up and name not in self.merged_adapters:
                self._fold(name, 1)
                self.merged_adapters.append(name)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Take the merged low-rank updates out of the pretrained matrices again."""
        if not self.merged:
            warnings.warn("already unmerged: nothing to do", stacklevel=2)
        while self.merged_adapters:
            self._fold(self.merged_adapters.pop(), -1)

    def _fold(self, name: str, sign: int) -> None:
        for place in self.matrices():
            matrix, low_rank = getattr(self, place), getattr(self, f"kan_lora_{place}")[name]
            update = transpose(low_rank.weight(), isinstance(matrix, Conv1D))
            matrix.weight.data += sign * update.to(matrix.weight.dtype)

    def _low_rank(self, place: str, name: str, x: Tensor) -> Tensor | float:
        return 0.0 if name in self.merged_adapters else getattr(self, f"kan_lora_{place}")[name](x)


MERGE_REFUSED = (
    "KAN-LoRA: splines are functions of their inputs and cannot be merged into a matrix; "
    "merge_lora() merges the low-rank part alone"
)


class KanLoraMlp(KanLoraLayer):
    """Hybrid KAN-LoRA: h = (W_base + (alpha / r) B A) f(x) + W_spline sigma(x) for both matrices.

    The splines of the second matrix act on the pre-activation, the result of the first; the activation between
    them is the second's f. Several active adapters add up.
    """

    adapter_layer_names = (*KanLoraLayer.adapter_layer_names, "kan_lora_up_spline", "kan_lora_down_spline")

    def _add(
        self, name: str, config: KanLoraConfig, place: str, inputs: int, outputs: int, spline_rank: int | None
    ) -> None:
        basis = BASES[config.basis](config.grid_size, config.order)
        _check_rank("spline_r", spline_rank, inputs, outputs if config.spline == "factored" else inputs)
        spline = SPLINES[config.spline](inputs, outputs, spline_rank, basis)
        if config.range != "fitted":
            spline.set_range(*config.range)
        getattr(self, f"kan_lora_{place}_spline")[name] = spline

    def splines(self) -> dict[str, dict[str, Spline]]:
        """The splines by place and adapter."""
        return {place: dict(getattr(self, f"kan_lora_{place}_spline")) for place in self.matrices()}

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """As the MLP's.

        Raises:
            UserError: splines are trained unfitted, or active adapters differ in their activation.
        """
        names = self.working()
        if not names:
            if self.disable_adapters and self.merged:
                self.unmerge()
            return self.base_layer(x, *args, **kwargs)
        activations = {self.configs[name].activation for name in names}
        if len(activations) > 1:
            raise UserError("kan.activation: adapters with different activations cannot be active together")
        mlp, parts = self.get_base_layer(), self.architecture
        pretrained = activations == {"pretrained"}
        between = mlp.get_submodule(parts.activation) if pretrained else functional.silu
        before = nn.Identity() if pretrained else functional.silu
        hidden = self._matrix("up", x, before, names)
        result = self._matrix("down", hidden, between, names)
        return mlp.get_submodule(parts.dropout)(result)

    def _matrix(self, place: str, x: Tensor, f: Callable[[Tensor], Tensor], names: list[str]) -> Tensor:
        activated = f(x)
        result = getattr(self, place)(activated)
        for name in names:
            spline = getattr(self, f"kan_lora_{place}_spline")[name]
            change = self._low_rank(place, name, activated) + spline(x)
            result = result + change.to(result.dtype)
        return result


def _check_rank(key: str, rank: int | None, inputs: int, outputs: int) -> None:
    if rank is not None and rank > min(inputs, outputs):
        raise UserError(
            f"kan.{key}: {rank} is above the size of the layer; a matrix of {inputs} x {outputs} "
            f"takes at most {min(inputs, outputs)}"
        )
