"""Sampling of sonnets with the library's ``generate``: a batch of twelve gives the texts of twelve singles."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
    TopPLogitsWarper,
)

from knotwork.answers import Text
from knotwork.corpora import Row
from knotwork.encoding import Example
from knotwork.errors import UserError
from knotwork.files import digest
from knotwork.likelihood import continuation_nll, given_tokens
from knotwork.params import Generation

SONNET_LINES = 14
BATCH_TOKENS = 8192


class NoisePerPrompt(LogitsProcessor):
    """Temperature and top-p sampling as an arg max under noise that belongs to the prompt.

    Adding Gumbel noise to the logits and taking the largest draws from their softmax; the noise of a row comes
    from (seed, prompt) alone, so it does not matter which other rows share the batch.

    Args:
        prompts: token ids of each row.
        settings: temperature, top-p and seed.
        sample: which of several samples for the same prompt, from 0.
    """

    def __init__(self, prompts: Sequence[Sequence[int]], settings: Generation, sample: int = 0) -> None:
        self.temperature = settings.temperature
        self.top_p = TopPLogitsWarper(settings.top_p)
        further = [sample] if sample else []
        seeds = [int(digest([settings.seed, list(prompt), *further]), 16) % 2**63 for prompt in prompts]
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores with noise, (rows, vocabulary)."""
        kept = self.top_p(input_ids, scores.float() / self.temperature)
        uniform = torch.stack([torch.rand(scores.shape[-1], generator=g) for g in self.generators])
        noise = -(-uniform.clamp(min=1e-20).log()).log()
        return kept + noise.to(kept.device)


class FourteenLines(StoppingCriteria):
    """A row is done when its fourteenth line is ended.

    Args:
        tokenizer: to read the text written so far.
        prompt_width: tokens of the padded prompts.
        given: lines of each prompt.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt_width: int, given: Sequence[int]) -> None:
        self.tokenizer, self.width, self.given = tokenizer, prompt_width, given

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: object) -> Tensor:
        """Whether each row is done, (rows,)."""
        texts = self.tokenizer.batch_decode(input_ids[:, self.width :], skip_special_tokens=True)
        done = [given + _ended(text) >= SONNET_LINES for given, text in zip(self.given, texts, strict=True)]
        return torch.tensor(done, device=input_ids.device)


def generate(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    openings: Sequence[str],
    settings: Generation,
    complete: Callable[[Sequence[Example]], list[Example]] = list,
) -> list[str]:
    """Go on from each opening until fourteen lines or the end of text; returns opening and continuation.

    Of ``settings.best_of`` samples for an opening it is the one that the model itself finds likeliest per token,
    without temperature and top-p. The true continuation has no part in the choice.

    Args:
        model: a language model.
        tokenizer: its tokenizer.
        openings: lines to go on from.
        settings: of the sampling.
        complete: gives examples what the model's adapter needs beside token ids; used to choose among samples.

    Raises:
        UserError: an opening is empty, or leaves no room in the model's context.
    """
    samples = [_sample(model, tokenizer, openings, settings, number) for number in range(settings.best_of)]
    if settings.best_of == 1:
        return samples[0]
    costs = [_cost(model, tokenizer, openings, texts, complete) for texts in samples]
    return [samples[best][index] for index, best in enumerate(np.argmin(costs, axis=0))]


def _cost(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    openings: Sequence[str],
    texts: Sequence[str],
    complete: Callable[[Sequence[Example]], list[Example]],
) -> np.ndarray:
    """Mean negative log-likelihood of each continuation's tokens; infinite where nothing was written."""
    examples = [
        Example(Row(str(number), (text,), None), tokenizer(text)["input_ids"][: model.config.n_positions], False)
        for number, text in enumerate(texts, start=1)
    ]
    given = [given_tokens(tokenizer, text, _tidy(opening)) for text, opening in zip(texts, openings, strict=True)]
    answer = Text(tokenizer.eos_token_id)
    nll, tokens = continuation_nll(model, answer, complete(examples), given, BATCH_TOKENS)
    return np.divide(nll, tokens, out=np.full_like(nll, np.inf), where=tokens > 0)


def _sample(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    openings: Sequence[str],
    settings: Generation,
    sample: int,
) -> list[str]:
    """One sample for each opening."""
    prompts = []
    for number, opening in enumerate(openings, start=1):
        if not opening.strip():
            raise UserError(f"prompt {number}: empty; give at least one line to go on from")
        if _ended(opening + "\n") >= SONNET_LINES:
            raise UserError(f"prompt {number}: {SONNET_LINES} lines or more are a whole sonnet; give fewer")
        prompts.append(tokenizer(opening.rstrip("\n") + "\n")["input_ids"])
        if len(prompts[-1]) >= model.config.n_positions:
            raise UserError(
                f"prompt {number}: {len(prompts[-1])} tokens leave no room in the context of "
                f"{model.config.n_positions}; shorten it"
            )
    # An opening without room for all new tokens would cut short those that share its batch.
    roomy = [len(prompt) + settings.max_new_tokens <= model.config.n_positions for prompt in prompts]
    batches = [[index for index, room in enumerate(roomy) if room]]
    batches += [[index] for index, room in enumerate(roomy) if not room]
    texts = [""] * len(openings)
    for batch in filter(None, batches):
        parts = [openings[index] for index in batch], [prompts[index] for index in batch]
        for index, text in zip(batch, _batch(model, tokenizer, *parts, settings, sample), strict=True):
            texts[index] = text
    return texts


@torch.no_grad()
def _batch(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    openings: Sequence[str],
    prompts: Sequence[Sequence[int]],
    settings: Generation,
    sample: int,
) -> list[str]:
    """One sample for each opening, whose token ids are ``prompts``, all at once."""
    width = max(len(prompt) for prompt in prompts)
    pad = tokenizer.eos_token_id
    ids = torch.tensor([[*[pad] * (width - len(prompt)), *prompt] for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    place = next(model.parameters()).device
    given = [_ended(opening + "\n") for opening in openings]
    was_training = model.training
    model.eval()
    written = model.generate(
        input_ids=ids.to(place),
        attention_mask=mask.to(place),
        generation_config=GenerationConfig(
            max_new_tokens=min(settings.max_new_tokens, model.config.n_positions - width),
            do_sample=False,
            eos_token_id=pad,
            pad_token_id=pad,
        ),
        logits_processor=LogitsProcessorList([NoisePerPrompt(prompts, settings, sample)]),
        stopping_criteria=StoppingCriteriaList([FourteenLines(tokenizer, width, given)]),
    )
    model.train(was_training)
    texts = []
    for opening, row in zip(openings, written, strict=True):
        continuation = tokenizer.decode(row[width:], skip_special_tokens=True)
        texts.append(_tidy(f"{opening}\n{continuation}"))
    return texts


def _tidy(text: str) -> str:
    """At most fourteen lines, without blank ones and space at their ends."""
    lines = [line.rstrip() for line in text.split("\n")]
    return "\n".join([line for line in lines if line][:SONNET_LINES])


def _ended(text: str) -> int:
    """Lines with text that are followed by a line break."""
    return sum(bool(line.strip()) for line in text.split("\n")[:-1])
