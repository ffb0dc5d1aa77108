"""Controls take the syntax away and leave the rest."""

import numpy as np
import pytest

from knotwork.graphs.control import edges_under, generator, random_trees, shuffled
from knotwork.graphs.token_graph import KINDS, TokenGraph

from .conftest import EDGES
from .helpers import edge_list, same

TEXT = "The baker praises the unbelievable oven, but the old bakers of the town and the baker sleep."


@pytest.fixture
def graphs(builder, examples):
    """The true graph of a text and one under a control."""

    def make(control, task="sst", seed=0):
        example = examples(task, TEXT)
        return [builder(task, control=name, seed=seed).examples(example)[0].graph for name in ("none", control)]

    return make


def test_empty_and_sequence(graphs):
    assert len(graphs("empty")[1].sources) == 0
    assert graphs("empty")[1].tokens == graphs("empty")[0].tokens
    assert {kind for _, _, kind in edge_list(graphs("sequence")[1])} == {"sequence"}
    assert edges_under("sequence", ["word"]) == {"sequence"}
    assert edges_under("none", EDGES) == edges_under("shuffled", EDGES) == set(EDGES)


def test_shuffled_keeps_degrees_kinds_and_labels(graphs):
    true, mixed = graphs("shuffled")
    assert mixed.offsets.tolist() == true.offsets.tolist()
    assert mixed.kinds.tolist() == true.kinds.tolist()
    assert mixed.labels.tolist() == true.labels.tolist()
    assert np.bincount(mixed.sources).tolist() == np.bincount(true.sources).tolist()
    assert not (mixed.sources == mixed.targets()).any()
    assert (mixed.sources != true.sources).mean() > 0.5


def test_shuffled_causal_keeps_in_degrees(graphs):
    true, mixed = graphs("shuffled", "sonnet")
    assert mixed.offsets.tolist() == true.offsets.tolist()
    assert sorted(mixed.kinds.tolist()) == sorted(true.kinds.tolist())
    assert (mixed.sources < mixed.targets()).all()
    assert mixed.sources.tolist() != true.sources.tolist()


def test_a_graph_with_one_order_only():
    """Two tokens that see each other: no other graph has these degrees."""
    pair = TokenGraph(np.array([0, 1, 2], np.int32), np.array([1, 0], np.int32), *[np.zeros(2, np.uint8)] * 2)
    assert shuffled(pair, np.random.default_rng(0)).sources.tolist() == [1, 0]


def test_random_trees(nlp, builder):
    parser = builder("sst").parser
    texts = [TEXT, "One.", "Two words. Three more words.", ""]
    words = parser.words(texts)
    mixed = random_trees(words, texts, 0)
    assert mixed.heads.tolist() != words.heads.tolist()
    root = 1 + parser.labels.index("ROOT")
    for sentence in np.unique(words.sentences):
        here = np.flatnonzero(words.sentences == sentence)
        assert sorted(mixed.labels[here].tolist()) == sorted(words.labels[here].tolist())
        assert set(mixed.heads[here].tolist()) <= set(here.tolist())
        roots = here[mixed.heads[here] == here]
        assert len(roots) == 1
        assert mixed.labels[roots[0]] == root
        for word in here.tolist():  # every word hangs on the root in the end
            for _ in here:
                word = int(mixed.heads[word])
            assert word == roots[0]


def test_random_trees_change_dependencies_and_keep_their_number(graphs):
    for task in ("sst", "sonnet"):
        true, mixed = graphs("random_tree", task)
        counts = [np.bincount(graph.kinds, minlength=len(KINDS)) for graph in (true, mixed)]
        word, sequence = KINDS.index("word"), KINDS.index("sequence")
        assert counts[0][[word, sequence]].tolist() == counts[1][[word, sequence]].tolist()
        assert not same(true, mixed)
    counts = [sum(kind == "head" for *_, kind in edge_list(graph)) for graph in graphs("random_tree")]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("control", ["shuffled", "random_tree"])
@pytest.mark.parametrize("task", ["sst", "sonnet"])
def test_drawn_by_seed_and_text_alone(builder, examples, graphs, control, task):
    alone = graphs(control, task)[1]
    among = builder(task, control=control).examples(examples(task, "First.", TEXT, TEXT))
    assert same(alone, among[1].graph)
    assert same(alone, among[2].graph)
    assert not same(alone, graphs(control, task, seed=1)[1])


def test_generators_differ_by_text():
    draws = {generator(seed, text).random() for seed in (0, 1) for text in ("a", "b", "\ud800")}
    assert len(draws) == 6
