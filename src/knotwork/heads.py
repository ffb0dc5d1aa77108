"""GPT-2 with a classification head for each of several tasks beside its language-model head."""

from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.modeling_outputs import CausalLMOutputWithCrossAttentions, SequenceClassifierOutputWithPast


class Heads(nn.Module):
    """A linear head for each task.

    Args:
        width: of the last hidden states.
        classes: their number, by task.
    """

    def __init__(self, width: int, classes: dict[str, int]) -> None:
        super().__init__()
        self.tasks = nn.ModuleDict({task: nn.Linear(width, count, bias=False) for task, count in classes.items()})

    def forward(self, states: Tensor, task: str) -> Tensor:
        """(batch, width) to (batch, classes of the task)."""
        return self.tasks[task](states)


class GPT2WithHeads(GPT2LMHeadModel):
    """``GPT2LMHeadModel``, and with ``head=<task>`` what ``GPT2ForSequenceClassification`` is for that task.

    Args:
        config: of GPT-2.
        heads: number of classes, by task.
    """

    def __init__(self, config: GPT2Config, heads: dict[str, int]) -> None:
        super().__init__(config)
        self.score = Heads(config.n_embd, heads)
        self.post_init()

    @wraps(GPT2LMHeadModel.forward)  # generation reads the signature
    def forward(
        self, *args: Any, head: str | None = None, **kwargs: Any
    ) -> CausalLMOutputWithCrossAttentions | SequenceClassifierOutputWithPast:
        """As the language model; with ``head`` the logits of a task's classes, for texts padded on the right."""
        if head is None:
            return super().forward(*args, **kwargs)
        last = kwargs["attention_mask"].sum(-1) - 1
        kwargs.pop("labels", None)  # PEFT passes it on, and the backbone has none
        states = self.transformer(*args, **kwargs).last_hidden_state
        ends = states[torch.arange(len(states), device=states.device), last]
        return SequenceClassifierOutputWithPast(logits=self.score(ends, head))
