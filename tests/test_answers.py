import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import log_softmax

from knotwork import models, tasks
from knotwork.answers import IGNORED, Score, Text, Words, answer_for, losses
from knotwork.encoding import encode
from knotwork.errors import UserError
from knotwork.inference import by_length, padding_waste, score

WAYS = {"score": ("sst", "score"), "words": ("sst", "words"), "text": ("sonnet", "text")}


@pytest.fixture(scope="module")
def tokenizer(tiny_base):
    return models.load_tokenizer(tiny_base)


@pytest.fixture(scope="module", params=WAYS)
def setting(request, tokenizer, data, tiny_base):
    """A way to answer with its task's examples and a base that fits."""
    name, way = WAYS[request.param]
    task = tasks.get(name)
    answer = answer_for(task, way, tokenizer)
    examples = encode(task, task.read(data / "raw" / name, "train").rows[:8], tokenizer, 256)
    return answer, examples, models.fresh_base(tiny_base, answer, 256, seed=3)()


def test_ways(tokenizer):
    assert isinstance(answer_for(tasks.get("sst"), "score", tokenizer), Score)
    assert isinstance(answer_for(tasks.get("sst"), "words", tokenizer), Words)
    assert isinstance(answer_for(tasks.get("sonnet"), "text", tokenizer), Text)


@pytest.mark.parametrize("task", ["sst", "cfimdb", "quora"])
def test_label_words_are_single_words_of_the_tokenizer(tokenizer, task):
    answer = answer_for(tasks.get(task), "words", tokenizer)
    assert len(set(answer.word_ids)) == len(tasks.get(task).classes)


def test_label_words_that_begin_alike_are_refused(tokenizer):
    class Same:
        eos_token_id = 0

        def __call__(self, text):
            return {"input_ids": [7]}

    with pytest.raises(UserError, match=r"answer\.sst: two of the label words .* begin with the same token"):
        answer_for(tasks.get("sst"), "words", Same())


def test_batched_scores_equal_single_ones(setting):
    """Padding on either side changes nothing."""
    answer, examples, model = setting
    together = score(model, answer, examples, batch_tokens=10_000)
    alone = score(model, answer, examples, batch_tokens=1)
    assert together.waste > alone.waste == 1.0
    np.testing.assert_allclose(together.nll, alone.nll, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(together.probabilities, alone.probabilities, atol=1e-5)
    np.testing.assert_array_equal(together.tokens, alone.tokens)


def test_scores_are_those_of_the_model(setting):
    """Against a forward pass without batching, collating or cross-entropy of ours."""
    answer, examples, model = setting
    found = score(model, answer, examples, batch_tokens=500)
    model.eval()
    for index, example in enumerate(examples):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([example.ids])).logits[0]
        if isinstance(answer, Text):
            said = log_softmax(logits[:-1].double(), -1)
            expected = -sum(said[place, token].item() for place, token in enumerate(example.ids[1:]))
            assert found.tokens[index] == len(example.ids) - 1
        else:
            classes = logits if isinstance(answer, Score) else logits[-1, list(answer.word_ids)]
            said = log_softmax(classes.double(), -1)
            expected = -said[example.row.label].item()
            assert found.tokens[index] == 1
            np.testing.assert_allclose(found.probabilities[index], said.exp().numpy(), atol=1e-5)
        assert found.nll[index] == pytest.approx(expected, rel=1e-4)


def test_rows_without_a_label_have_no_likelihood(tokenizer, data, tiny_base):
    task = tasks.get("sst")
    answer = answer_for(task, "score", tokenizer)
    examples = encode(task, task.read(data / "raw/sst", "test").rows, tokenizer, 128)
    found = score(models.fresh_base(tiny_base, answer, 128, seed=3)(), answer, examples, 1000)
    assert not found.nll.any()
    assert not found.tokens.any()
    np.testing.assert_allclose(found.probabilities.sum(1), 1.0)


@pytest.mark.parametrize("training", [True, False])
def test_scoring_leaves_mode_and_random_numbers(setting, training):
    answer, examples, model = setting
    model.train(training)
    state = torch.random.get_rng_state()
    score(model, answer, examples, 500)
    assert model.training == training
    assert torch.equal(torch.random.get_rng_state(), state)


def test_losses_skip_ignored_labels():
    logits = torch.tensor([[0.0, 0.0], [2.0, 0.0]], dtype=torch.bfloat16)
    found = losses(logits, torch.tensor([1, IGNORED]))
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx([np.log(2), 0.0])


@given(st.lists(st.integers(1, 512), min_size=1, max_size=200), st.integers(16, 4096))
def test_batches_by_length(lengths, batch_tokens):
    batches = list(by_length(lengths, batch_tokens))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * longest <= batch_tokens


def test_padding_waste():
    assert padding_waste([[0, 1], [2]], [10, 5, 7]) == pytest.approx(27 / 22)


def test_evaluation_pads_little():
    lengths = np.clip(np.random.default_rng(0).lognormal(5.2, 0.6, 1700), 8, 512).astype(int).tolist()
    assert padding_waste(list(by_length(lengths, 8192)), lengths) <= 1.05
