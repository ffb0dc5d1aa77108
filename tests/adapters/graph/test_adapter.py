"""The adapter on real prompts, with the embedded parser and the smallest base."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from knotwork import models, tasks
from knotwork.adapters.adapter import Setup
from knotwork.adapters.graph import ADAPTER
from knotwork.adapters.graph.budget import ranks_for
from knotwork.answers import Text, answer_for
from knotwork.encoding import Example, encode
from knotwork.errors import UserError
from knotwork.generation import _sample, generate
from knotwork.graphs.build import GraphBuilder
from knotwork.graphs.pack import open_graphs, write_graphs
from knotwork.graphs.parse import open_parser
from knotwork.graphs.token_graph import KINDS
from knotwork.params import Generation
from knotwork.training.run import train_run

from .conftest import logits, shake

PARSER = Path(__file__).parents[3] / "assets/parser"
EDGES = ["dependency", "word", "sentence", "lemma", "sequence"]
CARD = {
    "graphs": {"parser": str(PARSER), "edges": EDGES, "control": "none"},
    "decisive": {"corpus.seed": 0},
}
ROWS = 4


class Work:
    """A task with the packed graphs of a few of its rows."""

    def __init__(self, name, nlp, data, graphs, tiny_base):
        self.task, self.tokenizer = tasks.get(name), models.load_tokenizer(tiny_base)
        self.answer = answer_for(self.task, "text" if name == "sonnet" else "score", self.tokenizer)
        self.fresh = models.fresh_base(tiny_base, self.answer, 512, seed=1)
        rows = self.task.read(data / "raw" / name, "train").rows[: 2 * ROWS]
        self.examples = encode(self.task, rows, self.tokenizer, 48 if name == "sonnet" else 512)
        builder = GraphBuilder(nlp, self.tokenizer, self.task, EDGES)
        self.graphs = graphs / name
        self.graphs.mkdir()
        for split, some in (("train", self.examples[:ROWS]), ("dev", self.examples[ROWS:])):
            write_graphs(self.graphs / f"{split}.graph", builder.examples(some), builder.fingerprint)

    def prepared(self, settings, budget=None):
        return ADAPTER.prepare(
            self.fresh(), settings, self.answer, Setup(budget, 1, lambda: iter(()), self.graphs)
        ).eval()

    def batch(self):
        batch = self.answer.collate(ADAPTER.attach(self.examples[:ROWS], self.graphs))
        return {name: tensor for name, tensor in batch.items() if name != "labels"}


@pytest.fixture(scope="session")
def works(data, tmp_path_factory, tiny_base):
    graphs, nlp = tmp_path_factory.mktemp("graphs"), open_parser(PARSER)
    return {name: Work(name, nlp, data, graphs, tiny_base) for name in ("sst", "sonnet")}


@pytest.fixture
def settings(parameters):
    return parameters({"adapter": "graph", "graph.r": 4, "graph.graph_r": 8}).graph


@pytest.mark.parametrize("name", ["sst", "sonnet"])
def test_starts_as_the_base_and_reloads_bit_identically(works, settings, name, tmp_path):
    work = works[name]
    model, batch = work.prepared(settings), work.batch()
    plain = {key: value for key, value in batch.items() if not key.startswith("graph_")}
    assert {1, 2, 6} <= set(batch["graph_kinds"].tolist())
    assert torch.allclose(logits(model, **batch), logits(work.fresh().eval(), **plain), atol=1e-5)
    shake(model)
    ADAPTER.save(model, tmp_path, work.answer)
    again = ADAPTER.load(tmp_path, work.fresh, work.answer).eval()
    assert torch.equal(logits(again.requires_grad_(False), **batch), logits(model.requires_grad_(False), **batch))


def test_graphs_are_found_whatever_the_split(works):
    work = works["sst"]
    found = ADAPTER.attach(work.examples[::-1], work.graphs)
    assert [example.graph.tokens for example in found] == [len(example.ids) for example in work.examples[::-1]]


def test_graphs_of_other_texts_are_one_line(works):
    work = works["sst"]
    with pytest.raises(UserError, match="holds no graph of a prompt of 3 tokens"):
        ADAPTER.attach([replace(work.examples[0], ids=[1, 2, 3])], work.graphs)


@pytest.mark.parametrize(
    "change, line",
    [
        ({"edges": EDGES[1:]}, r"dev\.graph: stale, since its edges is"),
        ({"control": "shuffled"}, r"dev\.graph: stale, since its control is none, not shuffled; run `dvc repro`"),
    ],
)
def test_graphs_that_are_not_what_the_parameters_say_stop_training(with_graphs, parameters, folder, change, line):
    params = parameters({"adapter": "graph", **{f"graphs.{key}": value for key, value in change.items()}})
    with pytest.raises(UserError, match=line):
        train_run(params, "sst", 1, with_graphs, folder / "models/sst/seed-1")


def test_without_graphs_preparing_is_one_line(works, settings, tmp_path):
    work = works["sst"]
    with pytest.raises(UserError, match=r"train\.graph: no graphs there"):
        ADAPTER.prepare(work.fresh(), settings, work.answer, Setup(None, 1, lambda: iter(()), tmp_path))


def test_a_connected_run_parses_new_texts_as_the_pipeline_did(works, settings):
    work = works["sst"]
    model = work.prepared(settings)
    assert model.active_peft_config.parser["version"]
    complete = ADAPTER.connect(model, work.tokenizer, work.task, CARD)
    packed = ADAPTER.attach(work.examples, work.graphs)
    for ours, theirs in zip(complete(work.examples), packed, strict=True):
        assert ours.graph.sources.tolist() == theirs.graph.sources.tolist()
        assert ours.graph.labels.tolist() == theirs.graph.labels.tolist()


def test_another_parser_is_one_line(works, settings, tmp_path):
    work = works["sst"]
    model = work.prepared(settings)
    other = tmp_path / "parser"
    shutil.copytree(PARSER, other)
    config = other / "config.cfg"
    config.write_text(config.read_text() + "\n# changed\n")
    card = CARD | {"graphs": CARD["graphs"] | {"parser": str(other)}}
    with pytest.raises(UserError, match=r"^graphs\.parser: trained on graphs of a parser with hash"):
        ADAPTER.connect(model, work.tokenizer, work.task, card)


@pytest.fixture(scope="module")
def writer(works, parameters):
    """A sonnet model with the weights of some training, connected."""
    work = works["sonnet"]
    settings = parameters({"adapter": "graph", "graph.r": 4, "graph.graph_r": 8}).graph
    model = shake(work.prepared(settings)).requires_grad_(False)
    return work, model, ADAPTER.connect(model, work.tokenizer, work.task, CARD)


def test_no_token_of_a_sonnet_looks_ahead(writer):
    work, model, complete = writer

    def rows(ids):
        batch = work.answer.collate(complete([Example(work.examples[0].row, ids, False)]))
        return logits(model, **{name: tensor for name, tensor in batch.items() if name != "labels"})[0]

    ids = work.examples[0].ids
    whole = rows(ids)
    for cut in range(1, len(ids), 3):
        assert torch.allclose(rows(ids[:cut]), whole[:cut], atol=1e-4)


def test_a_batch_of_sonnets_gives_what_singles_give(writer):
    work, model, _ = writer
    openings = ["Shall I compare thee", "Look, the naïve rose\nwithers; roses", "Of all"]
    settings = Generation(temperature=0.7, top_p=0.9, max_new_tokens=8, seed=2, best_of=1)
    singles = [generate(model, work.tokenizer, [opening], settings)[0] for opening in openings]
    assert generate(model, work.tokenizer, openings, settings) == singles


def test_a_choice_among_samples_sees_their_graphs(writer):
    """The kept one is likeliest under the model with the graph of the whole sample, as training would see it."""
    work, model, complete = writer
    opening, settings = "Of all", Generation(temperature=1.5, top_p=1, max_new_tokens=8, seed=2, best_of=3)
    samples = [_sample(model, work.tokenizer, [opening], settings, number)[0] for number in range(3)]
    given = len(work.tokenizer(f"{opening}\n")["input_ids"])
    costs = []
    for text in samples:
        ids = work.tokenizer(text)["input_ids"]
        batch = work.answer.collate(complete([Example(work.examples[0].row, ids, False)]))
        del batch["labels"]
        steps = logits(model, **batch)[0].log_softmax(-1)
        nll = [-float(steps[place - 1, ids[place]]) for place in range(given, len(ids))]
        costs.append(sum(nll) / len(nll))
    kept = generate(model, work.tokenizer, [opening], settings, complete)
    assert kept == [samples[costs.index(min(costs))]]


@pytest.mark.parametrize("budget", [12_000, 40_000, 123_456])
def test_budget_is_met(works, settings, budget):
    settings = settings.model_copy(update={"r": None, "graph_r": None})
    model = works["sst"].prepared(settings, budget)
    assert models.count_trainable(model, "score")["adapter"] == pytest.approx(budget, rel=0.05)


def test_budget_too_small_is_one_line(works, settings):
    nearest = (
        r"graph\.trainable|budget\.trainable_parameters: 900 is not met by any ranks of graph within 5 %; nearest"
    )
    with pytest.raises(UserError, match=nearest):
        ranks_for(900, works["sst"].fresh(), settings, labels=45)


def test_faithful_trains_everything_without_graphs_and_says_so(works, settings, tmp_path):
    work = works["sonnet"]
    settings = settings.model_copy(update={"faithful": True})
    model = ADAPTER.prepare(work.fresh(), settings, work.answer, Setup(None, 1, lambda: iter(()), tmp_path)).eval()
    assert all(value.requires_grad for value in model.parameters())
    assert model.active_peft_config.causal
    assert "Pairs with later tokens" in ADAPTER.note(settings, Text(0))
    assert ADAPTER.attach(work.examples, tmp_path) == work.examples

    ADAPTER.save(shake(model), tmp_path / "run", work.answer)
    assert json.loads((tmp_path / "run/adapter_config.json").read_text())["faithful"]
    again = ADAPTER.load(tmp_path / "run", work.fresh, work.answer).eval()
    ids = torch.tensor([work.examples[0].ids])
    assert torch.equal(
        logits(again.requires_grad_(False), input_ids=ids), logits(model.requires_grad_(False), input_ids=ids)
    )
    assert ADAPTER.connect(again, work.tokenizer, work.task, {}) is list


@pytest.mark.parametrize(
    "change, budget, line",
    [
        ({"heads": 3, "graph_r": 6}, None, "graph.heads: 3 do not divide the base's width 128"),
        ({}, 5000, "budget.trainable_parameters: the paper's layer"),
    ],
)
def test_faithful_settings_that_do_not_fit_are_one_line(works, settings, change, budget, line):
    settings = settings.model_copy(update={"faithful": True} | change)
    with pytest.raises(UserError, match=line):
        works["sst"].prepared(settings, budget)


def test_unknown_modules_and_blocks_are_one_line(works, settings):
    with pytest.raises(UserError, match=r"graph\.target_modules: the base has no module 'gate'"):
        works["sst"].prepared(settings.model_copy(update={"target_modules": ["gate"]}))
    with pytest.raises(UserError, match=r"graph\.blocks: \[5\] does not fit a model of 2 blocks"):
        works["sst"].prepared(settings.model_copy(update={"blocks": [5]}))


def test_figures_are_those_of_dev(with_graphs):
    figures = ADAPTER.figures(with_graphs / "graphs/sst")
    dev = open_graphs(with_graphs / "graphs/sst/dev.graph")
    graphs = [dev.graph(index) for index in range(len(dev))]
    tokens = sum(graph.tokens for graph in graphs)
    dependency = [KINDS.index("head"), KINDS.index("dependent")]
    count = sum(int(np.isin(graph.kinds, dependency).sum()) for graph in graphs)
    assert figures["graph_dependency_edges_per_token"] == pytest.approx(count / tokens)
    assert figures["graph_edges_per_token"] == pytest.approx(sum(len(g.kinds) for g in graphs) / tokens, abs=1e-3)


def test_no_figures_without_graphs(data):
    assert ADAPTER.figures(data / "graphs/sst") == {}
