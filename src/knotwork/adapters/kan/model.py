"""Hybrid KAN-LoRA as a PEFT tuner: which MLPs are adapted, and with which ranks."""

from collections.abc import Iterator
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTuner
from torch import Tensor, nn

from knotwork.adapters.architectures import architecture_of, block_number, blocks_of, select_blocks
from knotwork.adapters.kan.config import KanLoraConfig
from knotwork.adapters.kan.faithful import FaithfulMlp
from knotwork.adapters.kan.layer import MERGE_REFUSED, KanLoraLayer, KanLoraMlp
from knotwork.adapters.kan.splines import Spline
from knotwork.errors import UserError

TINY = 1e-12
"""Keeps logarithms and quotients of magnitudes finite while all are 0."""


class KanLoraModel(BaseTuner):
    """Puts :class:`KanLoraMlp` (or the paper's :class:`FaithfulMlp`) in the place of MLPs."""

    prefix = "kan_lora_"
    tuner_layer_cls = KanLoraLayer
    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012 - PEFT's name and type

    def _prepare_adapter_config(self, peft_config: KanLoraConfig, model_config: dict[str, Any]) -> KanLoraConfig:
        return peft_config

    def _prepare_model(self, peft_config: KanLoraConfig, model: nn.Module) -> None:
        """Name the modules that `blocks` means: ends of names, which fit the model with and without a head."""
        parts = architecture_of(model)
        chosen = select_blocks(peft_config.blocks, len(blocks_of(model)), "kan.blocks")
        for key in ("r", "spline_r"):
            ranks = getattr(peft_config, key)
            if isinstance(ranks, list) and len(ranks) != len(chosen):
                raise UserError(
                    f"kan.{key}: {len(ranks)} ranks for {len(chosen)} blocks; the adapter was made for another base"
                )
        peft_config.target_modules = {f"{parts.blocks}.{block}.{parts.mlp}" for block in chosen}

    def _create_and_replace(
        self,
        peft_config: KanLoraConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        kind = FaithfulMlp if peft_config.faithful else KanLoraMlp
        layer = target if isinstance(target, KanLoraLayer) else kind(target, architecture_of(self.model))
        if type(layer) is not kind:
            raise UserError("kan.faithful: an adapter with it and one without it do not go onto the same model")
        ranks = _ranks(peft_config, block_number(current_key), len(blocks_of(self.model)))
        if layer is not target:
            layer._active_adapter = self.active_adapters
        layer.update_layer(adapter_name, peft_config, **ranks)
        if layer is not target:
            self._replace_module(parent, target_name, layer, target)

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        """PEFT's own looks for a weight, which an MLP has not; ours are on the right device already."""
        setattr(parent, child_name, new_module)

    def _check_merge_allowed(self) -> None:
        raise UserError(MERGE_REFUSED)

    def merge_lora(self, adapter_names: list[str] | None = None) -> None:
        """Merge the low-rank part into the pretrained matrices; ``unmerge_adapter`` takes it out again."""
        for layer in self._layers():
            layer.merge_lora(adapter_names)

    def regularisation(self) -> Tensor:
        """Sparsity of the splines (Liu et al. 2024, arXiv 2404.19756, section 2.5), 0 where it is off.

        The sum over the splines at work of l1 |Phi| + entropy S(Phi): |Phi| adds up the magnitudes of all functions
        of a layer, S is the entropy of their shares in it. A function's magnitude is its mean absolute coefficient,
        which bounds its mean over data where the functions of the basis sum to 1.
        """
        total = next(self.model.parameters()).new_zeros((), dtype=torch.float32)
        for name, spline in self.splines():
            config = self.peft_config[name]
            if config.l1 or config.entropy:
                magnitudes = spline.edges()
                sum_ = magnitudes.sum()
                shares = magnitudes / (sum_ + TINY)
                entropy = -(shares * (shares + TINY).log()).sum()
                total = total + config.l1 * sum_ + config.entropy * entropy
        return total

    def splines(self) -> Iterator[tuple[str, Spline]]:
        """The splines at work with their adapters' names, from the first block to the last."""
        for layer in self._layers():
            for spline_of in layer.splines().values():
                yield from ((name, spline_of[name]) for name in layer.working())

    def _layers(self) -> Iterator[KanLoraLayer]:
        return (module for module in self.model.modules() if isinstance(module, KanLoraLayer))

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: KanLoraConfig, adapter_name: str, state_dict: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """PEFT's own, with one line for an adapter that was saved for another base."""
        saved = super()._remap_adapter_state_dict_for_load(model, config, adapter_name, state_dict)
        place = f".{adapter_name}."
        wanted = {
            key: value.shape for key, value in model.state_dict().items() if cls.prefix in key and place in key
        }
        given = {key: value.shape for key, value in saved.items() if cls.prefix in key}
        for key in sorted(wanted.keys() | given.keys()):
            if wanted.get(key) != given.get(key):
                raise UserError(
                    f"{key}: the adapter was saved for another base (it holds {_shape(given.get(key))}, "
                    f"this base needs {_shape(wanted.get(key))}); load the base that it names"
                )
        return saved


def _ranks(config: KanLoraConfig, block: int, count: int) -> dict[str, Any]:
    """Ranks and scaling of one block."""
    position = select_blocks(config.blocks, count, "kan.blocks").index(block)
    spline_r = config.r if config.spline_r is None else config.spline_r
    rank, spline_rank = (value[position] if isinstance(value, list) else value for value in (config.r, spline_r))
    # The scale is the same everywhere, or blocks of unequal rank would learn unequally fast.
    largest = max(config.r) if isinstance(config.r, list) else config.r
    return {
        "rank": rank,
        "scaling": config.alpha / largest,
        "spline_rank": None if config.spline == "full" else spline_rank,
    }


def _shape(shape: torch.Size | None) -> str:
    return "nothing" if shape is None else " x ".join(str(size) for size in shape)
