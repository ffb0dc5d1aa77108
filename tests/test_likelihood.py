from dataclasses import replace

import pytest
import torch

from knotwork import models
from knotwork.answers import Text
from knotwork.corpora import Row
from knotwork.encoding import encode
from knotwork.errors import UserError
from knotwork.inference import score
from knotwork.likelihood import continuation_nll, given_tokens, true_continuation
from knotwork.tasks.sonnet import TASK

TEXTS = ["When morning opens\nevery window\nwide and clear\nthe day begins", "One\ntwo\nthree\nfour\nfive and six"]


@pytest.fixture(scope="module")
def tokenizer(tiny_base):
    return models.load_tokenizer(tiny_base)


@pytest.fixture(scope="module")
def model(tiny_base, tokenizer):
    return models.fresh_base(tiny_base, Text(tokenizer.eos_token_id), 128, 0)().eval()


@pytest.fixture
def examples(tokenizer):
    return encode(TASK, [Row(str(i), (text,), None) for i, text in enumerate(TEXTS)], tokenizer, 128)


def opening(text):
    return "\n".join(text.split("\n")[:3])


def test_given_tokens_are_those_of_the_prompt(tokenizer):
    """A text goes on where generation does."""
    for text in TEXTS:
        prompt = tokenizer(opening(text) + "\n")["input_ids"]
        assert given_tokens(tokenizer, text, opening(text)) == len(prompt)
        assert tokenizer(text)["input_ids"][: len(prompt)] == prompt


def test_nothing_given_but_the_first_token_is_the_whole_text(model, tokenizer, examples):
    answer = Text(tokenizer.eos_token_id)
    nll, tokens = continuation_nll(model, answer, examples, [1, 1], 4096)
    whole = score(model, answer, examples, 4096)
    assert nll == pytest.approx(whole.nll)
    assert tokens.tolist() == whole.tokens.tolist()


def test_true_sonnets_after_their_given_lines(model, tokenizer, examples):
    answer, given = Text(tokenizer.eos_token_id), [given_tokens(tokenizer, text, opening(text)) for text in TEXTS]
    found = true_continuation(model, answer, tokenizer, examples, 4096)
    for ours, wanted in zip(found, continuation_nll(model, answer, examples, given, 4096), strict=True):
        assert ours.tolist() == wanted.tolist()


def test_a_sonnet_that_is_cut_within_its_given_lines(model, tokenizer, examples):
    answer, [first, _] = Text(tokenizer.eos_token_id), examples
    given = given_tokens(tokenizer, TEXTS[0], opening(TEXTS[0]))
    one_more, cut = (replace(first, ids=first.ids[:length], truncated=True) for length in (given + 1, given))
    assert true_continuation(model, answer, tokenizer, [one_more], 4096)[1].tolist() == [1]
    with pytest.raises(UserError, match=f"base.max_length: {given} tokens cut sonnet 0 within its given lines"):
        true_continuation(model, answer, tokenizer, [cut], 4096)


def test_only_what_follows_the_opening_counts(model, tokenizer, examples):
    """By hand, text by text; the end of the text is predicted too."""
    given = [given_tokens(tokenizer, text, opening(text)) for text in TEXTS]
    nll, tokens = continuation_nll(model, Text(tokenizer.eos_token_id), examples, given, 4096)
    for index, example in enumerate(examples):
        with torch.no_grad():
            steps = model(torch.tensor([example.ids])).logits[0].log_softmax(-1)
        places = range(given[index], len(example.ids))
        expected = -sum(float(steps[place - 1, example.ids[place]]) for place in places)
        assert nll[index] == pytest.approx(expected, rel=1e-5)
        assert tokens[index] == len(places)


def test_all_given_leaves_nothing(model, tokenizer, examples):
    given = [len(example.ids) for example in examples]
    nll, tokens = continuation_nll(model, Text(tokenizer.eos_token_id), examples, given, 4096)
    assert nll.tolist() == tokens.tolist() == [0, 0]
