"""A trained sonnet run, loaded: what it says of a token is decided by the tokens up to it, whatever comes later.

Tokens are cut, changed, inserted and deleted, single bytes of characters among them; graphs that are known to look
ahead are put in place of the run's own, and have to be found out.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig

import knotwork
from knotwork.graphs.align import last_tokens, locate
from knotwork.graphs.build import GraphBuilder
from knotwork.graphs.token_graph import KINDS, TokenGraph
from knotwork.training.run import train_run

from .conftest import all_pairs_graph, causal_graph

OPENING = "Shall I compare thee to a summer's day?\nThe naïve rose 😀 withers, and the roses"


@pytest.fixture(scope="module")
def run(with_graphs, parameters, tmp_path_factory):
    """A run with weights as after long training, so that its graphs matter."""
    home = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        changes = {"adapter": "graph", "train.epochs.sonnet": 1, "train.gradient_checkpointing": True}
        train_run(parameters(changes), "sonnet", 3, with_graphs, home / "models/sonnet/seed-3")
    run = knotwork.load_run(home / "models/sonnet")
    generator = torch.Generator().manual_seed(11)
    for name, value in run.model.named_parameters():
        if "graph_lora_B" in name:
            value.add_(torch.randn(value.shape, generator=generator) * 0.2)
    return run


def leaks(run, ids: list[int], other: list[int]) -> bool:
    """Whether the logits of the tokens that two sequences begin with differ by more than 1e-4."""
    common = next((i for i, pair in enumerate(zip(ids, other, strict=False)) if pair[0] != pair[1]), None)
    common = min(len(ids), len(other)) if common is None else common
    if not common:
        return False
    return not torch.allclose(run.logits(ids)[:common], run.logits(other)[:common], rtol=0, atol=1e-4)


def edits(ids: list[int], place: int, code: int) -> list[list[int]]:
    """The sequence cut, changed, lengthened and shortened at a token."""
    before, after = ids[:place], ids[place:]
    return [before, [*before, code, *after[1:]], [*before, code, *after], [*before, *after[1:]]]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_logits_look_ahead(run, data):
    words = [
        run.tokenizer(part)["input_ids"] for part in (*OPENING.split(" "), " café", "...", "\n", "e\u0301", "שלום")
    ]
    vocabulary = run.model.config.vocab_size
    # The single bytes of a byte-level vocabulary follow the special token: many make no character alone.
    single = st.one_of(st.integers(0, vocabulary - 1), st.integers(1, 256)).map(lambda code: [code])
    parts = data.draw(st.lists(st.one_of(st.sampled_from(words), single), min_size=1, max_size=10))
    ids = [code for part in parts for code in part]
    place, code = data.draw(st.integers(1, len(ids))), data.draw(st.integers(0, vocabulary - 1))
    for other in edits(ids, place, code):
        assert not leaks(run, ids, other)


def full_parse_graph(builder: GraphBuilder) -> Callable[[list[int]], TokenGraph]:
    """Edges of the whole text's parse, cut to those that point backwards."""

    def graph(ids: list[int]) -> TokenGraph:
        words = builder.parser.words([builder.pieces.text(ids)])
        nodes = last_tokens(locate(builder.pieces, [ids]).begins, words.ends)
        ends = np.sort(np.stack([nodes[words.heads], nodes]), axis=0)
        sources, targets = ends[:, np.argsort(ends[1], kind="stable")]
        kept = sources < targets
        offsets = np.searchsorted(targets[kept], np.arange(len(ids) + 1)).astype(np.int32)
        kinds = np.full(kept.sum(), KINDS.index("head"), np.uint8)
        return TokenGraph(offsets, sources[kept].astype(np.int32), kinds, np.zeros_like(kinds))

    return graph


@pytest.mark.parametrize("planted", ["all pairs", "full parse"])
def test_planted_graphs_are_caught(run, monkeypatch, planted):
    graph_of = all_pairs_graph if planted == "all pairs" else full_parse_graph(run.model.base_model.graph_builder)
    ids = run.tokenizer(OPENING)["input_ids"]
    monkeypatch.setattr(run, "_complete", lambda some: [replace(each, graph=graph_of(each.ids)) for each in some])
    assert any(leaks(run, ids, other) for place in range(2, len(ids)) for other in edits(ids, place, 300))
    monkeypatch.setattr(
        run, "_complete", lambda some: [replace(each, graph=causal_graph(each.ids)) for each in some]
    )
    assert not any(leaks(run, ids, other) for place in range(2, len(ids), 4) for other in edits(ids, place, 300))


def test_a_written_text_has_the_logits_of_teacher_forcing(run):
    ids = run.tokenizer(OPENING)["input_ids"]
    settings = GenerationConfig(
        max_new_tokens=24, do_sample=False, output_logits=True, return_dict_in_generate=True, pad_token_id=0
    )
    written = run.model.generate(input_ids=torch.tensor([ids]), generation_config=settings)
    whole = run.logits(written.sequences[0])
    steps = torch.cat(written.logits)
    assert torch.allclose(steps, whole[len(ids) - 1 : -1], rtol=0, atol=1e-4)
