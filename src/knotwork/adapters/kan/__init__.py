"""Hybrid KAN-LoRA: splines beside LoRA on both matrices of the MLP, starting as the pretrained network."""

from collections.abc import Iterator, Sequence
from typing import Any

from peft import PeftModel, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from knotwork.adapters.adapter import Setup
from knotwork.adapters.kan.budget import ranks_for
from knotwork.adapters.kan.config import KanLoraConfig
from knotwork.adapters.kan.fit import fit_grid
from knotwork.adapters.kan.fused import fuse
from knotwork.adapters.peft_adapter import PeftAdapter
from knotwork.answers import Answer
from knotwork.encoding import Example
from knotwork.errors import UserError
from knotwork.params import Kan

__all__ = ["ADAPTER", "KanAdapter", "KanLoraConfig", "fit_grid"]

FAITHFUL = (
    "This run follows the paper (`faithful`): its MLPs are randomly drawn KANs, the pretrained ones are not used, "
)
TRAINED = "and the base's own weights were trained too and lie in `base/`."
FROZEN = "and of all that LoRA alone was trained (`faithful_frozen`)."


class KanAdapter(PeftAdapter):
    """Splines and low-rank updates of the MLPs."""

    def prepare(self, model: PreTrainedModel, settings: Kan, answer: Answer, setup: Setup) -> PeftModel:
        """Put KAN-LoRA on the chosen blocks and fit its grid on training rows.

        Raises:
            UserError: the blocks or ranks do not fit the base, no rank meets the budget, or activations are not
                finite.
        """
        ranks = {}
        if setup.budget is not None:
            if settings.faithful:
                raise UserError(
                    "budget.trainable_parameters: the paper's KAN (kan.faithful) has the size that it has; "
                    "set it to null and give kan.r"
                )
            ranks = ranks_for(setup.budget, model, settings)
        shared = settings.model_dump(exclude={"learning_rate", "fit_rows"}) | ranks
        config = KanLoraConfig(
            task_type=answer.peft_task, modules_to_save=[answer.head] if answer.head else None, **shared
        )
        adapted = get_peft_model(model, config)
        if settings.faithful and not settings.faithful_frozen:
            for name, parameter in adapted.named_parameters():
                # Of the head its copy is trained; the MLPs are out of use.
                parameter.requires_grad_("original_module" not in name and "base_layer" not in name)
        elif not settings.faithful and settings.range == "fitted":
            fit_grid(adapted, _rows(setup, settings.fit_rows))
        return adapted

    def speed_up(self, model: PeftModel, tokens: int) -> str:
        """Compile the splines where it pays."""
        return fuse(model, tokens)

    def note(self, settings: Kan, answer: Answer) -> str:
        """A faithful run did not start from the pretrained MLPs."""
        if not settings.faithful:
            return ""
        return FAITHFUL + (FROZEN if settings.faithful_frozen else TRAINED)

    def pictures(
        self, model: PeftModel, tokenizer: PreTrainedTokenizerBase, answer: Answer, examples: Sequence[Example]
    ) -> dict[str, Any]:
        """The learned functions, their strength, and what pruning them costs."""
        # Loaded for reports only: sympy takes a while.
        from knotwork.adapters.kan.pictures import pictures

        return pictures(model, answer, examples)

    def penalty(self, model: PeftModel) -> Tensor | None:
        """The regularisation of the splines, where it is on."""
        config = model.active_peft_config
        return model.regularisation() if config.l1 or config.entropy else None


def _rows(setup: Setup, rows: int) -> Iterator[dict[str, Tensor]]:
    """Batches of the first ``rows`` training rows."""
    taken = 0
    for batch in setup.batches():
        size = min(len(next(iter(batch.values()))), rows - taken)
        yield {key: value[:size] for key, value in batch.items()}
        taken += size
        if taken >= rows:
            return


ADAPTER = KanAdapter()
