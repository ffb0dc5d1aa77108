"""Figures of the attention, against the weights themselves."""

import json
from dataclasses import replace

import pytest
import torch

from knotwork.adapters.graph import pictures as module
from knotwork.adapters.graph.model import recorded_attention
from knotwork.adapters.graph.pictures import pictures
from knotwork.answers import Text
from knotwork.corpora import Row
from knotwork.encoding import Example
from knotwork.graphs.token_graph import KINDS
from knotwork.report.records import AttentionPictures

from .conftest import BLOCKS, LABELS, VOCABULARY, causal_graph, logits

ANSWER = Text(0)


class Tokenizer:
    def decode(self, ids):
        return f" {ids[0]}"


def examples(lengths=(9, 22, 25, 30, 24, 12), seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randint(1, VOCABULARY, (length,), generator=generator).tolist() for length in lengths]
    return [Example(Row(str(n), (), None), ids, False, causal_graph(ids)) for n, ids in enumerate(rows)]


def found(model, some):
    return pictures(model, Tokenizer(), ANSWER, some)["attention"]


def test_edges_have_the_weights_of_every_block(adapted):
    model, some = adapted(), examples([24])
    (text,) = found(model, some)["examples"]
    graph = some[0].graph
    with recorded_attention(model) as recorded:
        logits(model, **{name: value for name, value in ANSWER.collate(some).items() if name != "labels"})
    edges = recorded[0][0][0]
    assert len(text["edges"]) == len(graph.sources) + graph.tokens
    for number, edge in enumerate(text["edges"]):
        assert (edge["source"], edge["target"]) == (edges.sources[number], edges.targets[number])
        assert edge["kind"] == KINDS[edges.kinds[number]]
        assert edge["label"] == (None, *LABELS)[edges.labels[number]]
        for block in range(BLOCKS):
            assert edge["weights"][block] == pytest.approx(recorded[block][0][1][number].mean().item(), abs=6e-4)
    assert text["tokens"] == [f" {token}" for token in some[0].ids]


def test_shares_are_of_all_attention(adapted):
    attention = found(adapted(), examples())
    for layer in range(BLOCKS):
        shares = [share for share in attention["kinds"] if share["layer"] == layer]
        assert sum(share["weight"] for share in shares) == pytest.approx(1, abs=5e-3)
        assert sum(share["even"] for share in shares) == pytest.approx(1, abs=5e-3)
    assert any(abs(share["weight"] - share["even"]) > 0.02 for share in attention["kinds"])


def test_attention_that_does_not_choose_is_even(adapted):
    model = adapted()
    with torch.no_grad():
        for layer in model.base_model.graph_layers().values():
            layer.graph_lora_attention["default"].attention.zero_()
    attention = found(model, examples())
    for mean in attention["kinds"] + attention["labels"]:
        assert mean["weight"] == mean["even"]


def test_labels_are_counted(adapted):
    some = examples()
    codes = [code for example in some for code in example.graph.labels.tolist() if code]
    labels = found(adapted(), some)["labels"]
    assert {label["label"]: label["count"] for label in labels} == {
        name: codes.count(code) for code, name in enumerate(LABELS, start=1)
    }
    assert labels == sorted(labels, key=lambda label: -label["count"])


def test_texts_of_a_good_length_are_drawn_in_order(adapted):
    assert [text["id"] for text in found(adapted(), examples())["examples"]] == ["1", "2", "3", "4"]


def test_long_texts_are_cut(adapted, monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 10)
    texts = found(adapted(), examples([9, 12]))["examples"]
    assert [(len(text["tokens"]), text["cut"]) for text in texts] == [(9, False), (10, True)]
    assert max(edge["target"] for edge in texts[1]["edges"]) == 9


def test_some_blocks_alone(adapted):
    attention = found(adapted(blocks=[0, 2]), examples())
    assert attention["layers"] == [0, 2]
    assert {share["layer"] for share in attention["kinds"]} == {0, 2}


def test_without_graphs_there_is_nothing_to_show(adapted):
    some = [replace(example, graph=None) for example in examples()]
    assert pictures(adapted(), Tokenizer(), ANSWER, some) == {}
    assert pictures(adapted(faithful=True), Tokenizer(), ANSWER, some) == {}


def test_the_report_reads_them(adapted):
    AttentionPictures.model_validate(json.loads(json.dumps(found(adapted(), examples()))))
