import inspect

import pytest
import torch
from transformers import DynamicCache, GenerationConfig, GPT2LMHeadModel, LogitsProcessorList

from knotwork.errors import UserError
from knotwork.generation import NoisePerPrompt
from knotwork.params import Generation

from .conftest import Builder, causal_graph, graph_tensors, logits

PROMPTS = [[5, 9, 30, 2], [7], [11, 12, 13, 14, 15, 16, 17], [1, 2], [33, 3, 21], [8, 8, 8], [4, 6], [19], [20, 21]]


@pytest.fixture
def model(adapted):
    model = adapted()
    model.base_model.graph_builder = Builder()
    return model


def generate(model, prompts, noise=False, **settings):
    """What is written after each prompt, padded on the left; nothing ends a text early."""
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    sampling = Generation(temperature=1.0, top_p=0.95, max_new_tokens=1, seed=4, best_of=1)
    processors = LogitsProcessorList([NoisePerPrompt(prompts, sampling)] if noise else [])
    written = model.generate(
        input_ids=ids,
        attention_mask=mask,
        generation_config=GenerationConfig(max_new_tokens=12, do_sample=False, pad_token_id=0, **settings),
        logits_processor=processors,
    )
    return written[:, width:].tolist()


@pytest.mark.parametrize("noise", [False, True])
def test_a_batch_gives_what_singles_give(model, noise):
    singles = [generate(model, [prompt], noise)[0] for prompt in PROMPTS]
    assert generate(model, PROMPTS, noise) == singles


def test_each_token_is_the_best_under_the_graph_of_all_before_it(model):
    (written,) = generate(model, PROMPTS[:1])
    text = PROMPTS[0] + written
    whole = logits(model, input_ids=torch.tensor([text]), **graph_tensors([causal_graph(text)], len(text)))[0]
    assert whole.argmax(-1)[len(PROMPTS[0]) - 1 : -1].tolist() == written


def test_the_cache_changes_nothing(model):
    assert generate(model, PROMPTS) == generate(model, PROMPTS, use_cache=False)


def test_library_sampling_works(model):
    torch.manual_seed(0)
    first = model.generate(input_ids=torch.tensor([[5, 9]]), do_sample=True, max_new_tokens=6, pad_token_id=0)
    torch.manual_seed(0)
    again = model.generate(input_ids=torch.tensor([[5, 9]]), do_sample=True, max_new_tokens=6, pad_token_id=0)
    assert torch.equal(first, again)


def test_beam_search_is_one_line(model):
    with pytest.raises(UserError, match="greedily or by sampling only: use num_beams=1"):
        generate(model, PROMPTS, num_beams=3)


def test_without_a_builder_is_one_line(adapted):
    with pytest.raises(UserError, match="or set a graph builder to generate"):
        generate(adapted(), PROMPTS)


# transformers gave the argument another name in 5.24.
CACHE = "cache" if "cache" in inspect.signature(GPT2LMHeadModel.forward).parameters else "past_key_values"


def test_going_on_from_a_cache_is_teacher_forcing(model):
    text, cache = [5, 9, 30, 2, 17, 8, 21, 11, 3], DynamicCache()
    whole = logits(model, input_ids=torch.tensor([text]), **graph_tensors([causal_graph(text)], len(text)))[0]
    for start, stop in ((0, 4), (4, 5), (5, 8), (8, 9)):
        rows = logits(model, input_ids=torch.tensor([text[start:stop]]), use_cache=True, **{CACHE: cache})[0]
        assert torch.allclose(rows, whole[start:stop], atol=1e-5)


def test_a_foreign_cache_is_one_line(model, base):
    cache = DynamicCache()
    base()(input_ids=torch.tensor([[5, 9]]), use_cache=True, **{CACHE: cache})
    with pytest.raises(UserError, match="cannot go on from this cache"):
        model(input_ids=torch.tensor([[1]]), **{CACHE: cache})


def test_tensors_for_a_growing_text_are_one_line(model):
    cache = DynamicCache()
    model(input_ids=torch.tensor([[5, 9]]), use_cache=True, **{CACHE: cache})
    with pytest.raises(UserError, match="cannot go on from this cache"):
        model(input_ids=torch.tensor([[1]]), **{CACHE: cache}, **graph_tensors([causal_graph([1])], 1))


@pytest.mark.parametrize("faithful", [False, True])
def test_earlier_tokens_without_a_cache_are_one_line(adapted, faithful):
    model = adapted(faithful=faithful)
    model.base_model.graph_builder = Builder()
    with pytest.raises(UserError, match="mask of 3 tokens for 1 new ones after 0 in the cache"):
        model(input_ids=torch.tensor([[1]]), attention_mask=torch.ones(1, 3))
