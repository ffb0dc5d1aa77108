"""What the base does without any training: its choice among label words, or the sonnets that it writes."""

from pathlib import Path
from typing import Any

import numpy as np

from knotwork import models, tasks
from knotwork.answers import answer_for
from knotwork.encoding import encode
from knotwork.errors import UserError
from knotwork.generation import generate
from knotwork.identity import base_folder
from knotwork.inference import score
from knotwork.likelihood import true_continuation
from knotwork.params import Params
from knotwork.prosody import measures
from knotwork.statistics import given_lines, perplexity, sonnet_chrf
from knotwork.tasks.task import Classification


def zero_shot(params: Params, task_name: str, raw: Path) -> dict[str, Any]:
    """The untrained base's scores on dev, under the same prompt as every adapter's.

    Classification: ``zero_shot``, the accuracy of the likeliest label word after the prompt; nothing if two label
    words cannot be told apart by their first token. Sonnets: ``zero_shot_chrf_whole`` and its kin, as in
    ``metrics.json``, with the sampling of ``evaluate.generation``, and ``verse``.

    Args:
        params: the parameters.
        task_name: the task.
        raw: folder of its files.
    """
    task, folder = tasks.get(task_name), base_folder(params.base.path, params.base.revision)
    tokenizer = models.load_tokenizer(folder)
    try:
        answer = answer_for(task, "words", tokenizer)
    except UserError as error:
        print(f"{task.title}: no zero-shot figure ({error})", flush=True)
        return {}
    model = models.fresh_base(folder, answer, params.base.max_length, seed=0)()
    model = model.to(models.device()).requires_grad_(False).eval()
    rows = task.read(raw, "dev").rows
    examples = encode(task, rows, tokenizer, params.base.max_length)
    size = params.evaluate.batch_tokens
    scores = score(model, answer, examples, size)
    if isinstance(task, Classification):
        hits = scores.probabilities.argmax(1) == [row.label for row in rows]
        return {"zero_shot": float(np.mean(hits))}
    truth = [row.texts[0] for row in rows]
    openings = [given_lines(text) for text in truth]
    continuation = true_continuation(model, answer, tokenizer, examples, size)
    written = generate(model, tokenizer, openings, params.evaluate.generation)
    figures = {
        **sonnet_chrf([written], truth),
        "perplexity": perplexity(scores.nll, scores.tokens),
        "perplexity_continuation": perplexity(*continuation),
    }
    training = [row.texts[0] for row in task.read(raw, "train").rows]
    return {
        **{f"zero_shot_{key}": value.value for key, value in figures.items()},
        "verse": {"zero_shot": measures.summary([written], training)},
    }
