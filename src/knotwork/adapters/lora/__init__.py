"""LoRA (Hu et al. 2021, arXiv 2106.09685), PEFT's own implementation: h = W0 x + (alpha / r) B A x."""

from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from knotwork.adapters.adapter import Setup
from knotwork.adapters.budget import solve_ranks
from knotwork.adapters.peft_adapter import PeftAdapter, train_everything
from knotwork.adapters.targets import find_targets
from knotwork.answers import Answer
from knotwork.params import Lora

FAITHFUL = (
    "This run follows the paper's public code (`faithful`): the base's own weights were trained too and "
    "lie in `base/`. It is a full fine-tune with LoRA matrices on top, not LoRA."
)


class LoraAdapter(PeftAdapter):
    """Low-rank updates of the named matrices."""

    def prepare(self, model: PreTrainedModel, settings: Lora, answer: Answer, setup: Setup) -> PeftModel:
        """Put LoRA on the named matrices; W0 stays frozen unless ``faithful``.

        ``faithful`` does what the paper's public code did: the base is frozen by its LoRA layer, and then the task
        scripts set every parameter trainable.

        Raises:
            UserError: no module of the model has one of the names, or no rank meets the budget.
        """
        targets = find_targets(model, settings.target_modules, "lora.target_modules")
        ranks = {} if setup.budget is None else _ranks(model, targets, setup.budget)
        config = LoraConfig(
            task_type=answer.peft_task,
            r=settings.r or max(ranks.values()),
            rank_pattern=ranks,
            # The scale alpha / r is the same everywhere, or blocks of unequal rank would learn unequally fast.
            alpha_pattern={name: settings.alpha * rank / max(ranks.values()) for name, rank in ranks.items()},
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=list(settings.target_modules),
            use_rslora=settings.use_rslora,
            use_dora=settings.use_dora,
            fan_in_fan_out=True,
            modules_to_save=[answer.head] if answer.head else None,
        )
        adapted = get_peft_model(model, config)
        return train_everything(adapted) if settings.faithful else adapted

    def note(self, settings: Lora, answer: Answer) -> str:
        """A faithful run is no LoRA."""
        return FAITHFUL if settings.faithful else ""


def _ranks(model: PreTrainedModel, targets: list[str], budget: int) -> dict[str, int]:
    """The rank of every target; those of a block share theirs."""
    blocks: dict[str, list[str]] = {}
    for name in targets:
        blocks.setdefault(_block(name), []).append(name)
    shapes = [[model.get_submodule(name).weight.shape for name in members] for members in blocks.values()]
    costs = [sum(map(sum, members)).__mul__ for members in shapes]
    ranks = solve_ranks(budget, costs, min(min(shape) for members in shapes for shape in members), "lora")
    return {name: rank for members, rank in zip(blocks.values(), ranks, strict=True) for name in members}


def _block(name: str) -> str:
    """The name up to the block's number: ``transformer.h.3.attn.c_attn`` is in ``transformer.h.3``."""
    parts = name.split(".")
    numbers = [index for index, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[: numbers[0] + 1]) if numbers else name


ADAPTER = LoraAdapter()
