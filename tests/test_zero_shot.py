import math
from dataclasses import replace

import pytest
import torch

from knotwork import models, zero_shot
from knotwork.answers import Text
from knotwork.runs import load_run
from knotwork.tasks import get
from knotwork.training.run import train_run


def test_of_classes_is_the_likeliest_label_word(data, parameters, tiny_base):
    """Recomputed row by row from the language model's logits."""
    task, tokenizer = get("sst"), models.load_tokenizer(tiny_base)
    model = models.fresh_base(tiny_base, Text(tokenizer.eos_token_id), 512, 0)().eval()
    words = [tokenizer(word)["input_ids"][0] for word in task.label_words]
    rows = task.read(data / "raw/sst", "dev").rows
    hits = 0
    for row in rows:
        with torch.no_grad():
            last = model(torch.tensor([tokenizer(task.template.format(*row.texts))["input_ids"]])).logits[0, -1]
        hits += int(last[words].argmax()) == row.label
    found = zero_shot.zero_shot(parameters({}), "sst", data / "raw/sst")
    assert found == {"zero_shot": pytest.approx(hits / len(rows))}


def test_without_words_to_choose_from_there_is_no_figure(data, parameters, monkeypatch, capsys):
    same = replace(get("sst"), label_words=(" good",) * 5)
    monkeypatch.setattr(zero_shot.tasks, "get", lambda name: same)
    assert zero_shot.zero_shot(parameters({}), "sst", data / "raw/sst") == {}
    assert "no zero-shot figure" in capsys.readouterr().out


def test_of_sonnets_is_the_run_without_an_adapter(data, parameters, folder):
    """adapter=head trains nothing on sonnets: the same texts, and so the same figures."""
    params = parameters({"adapter": "head", "evaluate.generation.max_new_tokens": 20})
    train_run(params, "sonnet", 1, data, folder / "run")
    run = load_run(folder / "run")
    found = zero_shot.zero_shot(params, "sonnet", data / "raw/sonnet")
    truth = [row.texts[0] for row in run.task.read(data / "raw/sonnet", "dev").rows]
    openings = [zero_shot.given_lines(text) for text in truth]
    written = run.generate(openings, **params.evaluate.generation.model_dump())
    for key, value in zero_shot.sonnet_chrf([written], truth).items():
        assert found[f"zero_shot_{key}"] == pytest.approx(value.value)
    nll, tokens = 0.0, 0
    for text in truth:
        ids = [*run.tokenizer(text)["input_ids"], run.tokenizer.eos_token_id]
        steps = run.logits(ids).log_softmax(-1)
        nll -= sum(float(steps[place - 1, ids[place]]) for place in range(1, len(ids)))
        tokens += len(ids) - 1
    assert found["zero_shot_perplexity"] == pytest.approx(math.exp(nll / tokens), rel=1e-4)
    assert found["zero_shot_perplexity_continuation"] > 1
    assert found["verse"].keys() == {"zero_shot"}
