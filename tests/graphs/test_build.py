"""Graphs of prompts whose texts are known whole."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knotwork import tasks
from knotwork.errors import UserError
from knotwork.graphs.align import locate
from knotwork.graphs.build import GraphBuilder
from knotwork.graphs.causal import REACH
from knotwork.graphs.token_graph import KINDS
from knotwork.identity import parser_identity

from .conftest import EDGES, PARSER
from .helpers import edge_list, edges_of, same

TEXT = "The baker praises the unbelievable oven. The bakers and the baker sleep."


@pytest.fixture
def graph(builder, examples):
    """``graph("sst", [...edges], *texts)``: builder, first prompt and its graph."""

    def make(task, edges, *texts, **options):
        made = builder(task, edges=edges)
        example = made.examples(examples(task, *texts, **options))[0]
        return made, example, example.graph

    return make


def node(made: GraphBuilder, ids, word: str, nth: int = 0) -> int:
    """The last token of a word, found in the decoded text."""
    text = made.pieces.text(ids)
    place = -1
    for _ in range(nth + 1):
        place = text.index(word, place + 1)
    begins = locate(made.pieces, [ids]).begins
    return int(np.flatnonzero(begins < place + len(word))[-1])


def test_dependencies_run_both_ways_with_labels(graph, nlp):
    text = "The baker praises an unbelievable oven."
    made, example, found = graph("sst", ["dependency"], text)
    rows = {
        (source, target, kind, made.labels[label - 1])
        for (source, target, kind), label in zip(edge_list(found), found.labels.tolist(), strict=True)
    }
    nodes = {word: node(made, example.ids, word.text) for word in nlp(text)}
    arcs = [(nodes[word.head], nodes[word], word.dep_) for word in nodes if word.head != word]
    assert len(arcs) == 6
    assert rows == {(head, word, "head", label) for head, word, label in arcs} | {
        (word, head, "dependent", label) for head, word, label in arcs
    }


def test_pieces_of_words(graph):
    made, example, found = graph("sst", ["word"], "unbelievablest unbelievablest")
    last, other = (node(made, example.ids, "unbelievablest", nth) for nth in (0, 1))
    assert last > 1
    inside = {(a, b, "word") for a in range(last + 1) for b in range(last + 1) if a != b and abs(a - b) <= REACH}
    across = {(a, b, "word") for a in range(last + 1, other + 1) for b in range(last + 1, other + 1) if a != b}
    assert edges_of(found) == inside | across


def test_sentences_are_a_chain_of_roots(graph):
    text = "The baker sleeps. The oven burns. The dough rises."
    made, example, found = graph("sst", ["sentence"], text)
    roots = [node(made, example.ids, word) for word in ("sleeps", "burns", "rises")]
    pairs = set(pairwise(roots))
    assert edges_of(found) == {(a, b, "sentence") for a, b in pairs | {(b, a) for a, b in pairs}}


def test_lemmas_join_sentences_not_words_of_one(graph):
    made, example, found = graph("sst", ["lemma"], TEXT)
    first, last = (node(made, example.ids, "baker", nth) for nth in (0, 2))
    assert edges_of(found) == {(first, last, "lemma"), (last, first, "lemma")}


def test_questions_are_parsed_apart_and_joined_by_lemmas(graph):
    pair = ("Where do bakers sleep?", "Do bakers sleep here?")
    made, example, found = graph("quora", [*EDGES[:-1]], pair)
    border = node(made, example.ids, '2: "')
    across = {edge for edge in edges_of(found) if (edge[0] <= border) != (edge[1] <= border)}
    words = [tuple(node(made, example.ids, word, nth) for nth in (0, 1)) for word in ("bakers", "sleep")]
    assert across == {(a, b, "lemma") for a, b in words} | {(b, a, "lemma") for a, b in words}


def test_sequence_covers_the_whole_prompt(graph):
    _, example, found = graph("sst", ["sequence"], "The baker sleeps.")
    steps = {(t, t + 1) for t in range(len(example.ids) - 1)}
    assert edges_of(found) == {(a, b, "sequence") for a, b in steps | {(b, a) for a, b in steps}}


@pytest.mark.parametrize("left_out", EDGES)
def test_each_kind_can_be_switched_off(builder, examples, left_out):
    text = "unbelievable bakers praise. unbelievable bakers sleep."
    (example,) = examples("sst", text)
    full = edge_list(builder("sst").examples([example])[0].graph)
    names = {"head", "dependent"} if left_out == "dependency" else {left_out}
    rest = builder("sst", edges=[kind for kind in EDGES if kind != left_out]).examples([example])[0].graph
    assert names <= {kind for _, _, kind in full}
    assert edge_list(rest) == [edge for edge in full if edge[2] not in names]


def test_rows_are_by_target_sorted_and_without_repeats_or_loops(builder, examples):
    for example in builder("sst").examples(examples("sst", TEXT, "Two.", "!!! ... ??")):
        graph = example.graph
        rows = list(zip(graph.targets().tolist(), graph.sources.tolist(), graph.kinds.tolist(), strict=True))
        assert rows == sorted(set(rows))
        assert all(target != source for target, source, _ in rows)
        assert graph.tokens == len(example.ids)
        assert [str(getattr(graph, name).dtype) for name in ("offsets", "sources", "kinds", "labels")] == [
            *("int32", "int32", "uint8", "uint8")
        ]


def test_a_batch_gives_what_single_prompts_give(builder, examples):
    for task, texts in {
        "sst": (TEXT, "Word", "A baker. A baker.", "😀"),
        "quora": (("Is it?", "It is."), ("What is a baker?", "Who is a baker?")),
    }.items():
        made = builder(task)
        together = made.examples(examples(task, *texts))
        for text, example in zip(texts, together, strict=True):
            assert same(example.graph, made.examples(examples(task, text))[0].graph)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_text_has_a_graph_within_it(builder, examples, data):
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    pair = data.draw(st.tuples(text, text))
    max_length = data.draw(st.sampled_from([32, 40, 512]))
    made = builder("quora", edges=[kind for kind in EDGES if kind != "sequence"])
    try:
        prompts = examples("quora", pair, max_length=max_length)
    except UserError:
        return  # the prompt's own words do not fit
    (example,) = made.examples(prompts)
    # Parsed edges touch tokens of the texts alone: those that show a character of theirs.
    template = tasks.get("quora").template
    whole = made.pieces.text(example.ids)
    if not example.truncated:
        start = template.index("{0}")
        middle = len('"\nQuestion 2: "')
        inside = {*range(start, start + len(pair[0]))}
        inside |= {*range(start + len(pair[0]) + middle, start + len(pair[0]) + middle + len(pair[1]))}
        tokens = locate(made.pieces, [example.ids])
        ends = np.append(tokens.begins[1:], len(whole))
        for source, target, _ in edge_list(example.graph):
            for token in (source, target):
                first, last = int(tokens.begins[token]), int(ends[token])
                assert inside & set(range(first, max(last, first + 1)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "word",
        "word " * 5000,
        "😀👩‍👩‍👧 e\u0301",
        "שלום עולם مرحبا",
        "a\x07b\x1b[0m \u202eright",
        "<|endoftext|> a",
    ],
    ids=["empty", "one word", "5000 words", "emoji", "right to left", "control characters", "special token"],
)
@pytest.mark.parametrize("task", ["sst", "quora", "sonnet"])
def test_odd_texts(builder, examples, task, text):
    # Every prefix of a sonnet is parsed: a shorter context will do.
    length = 64 if task == "sonnet" else 512
    texts = (text, text) if task == "quora" else text
    (example,) = builder(task).examples(examples(task, texts, max_length=length))
    assert example.graph.tokens == len(example.ids) <= length
    assert example.graph.sources.max(initial=0) < len(example.ids)


def test_edges_of_what_is_cut_away_vanish(graph):
    """The kept part has the edges of the whole text's parse, among its own tokens."""
    text = "The baker praises the oven, and the oven praises the unbelievable baker of the old town."
    made, whole, full = graph("sst", ["dependency"], text)
    made, cut, rest = graph("sst", ["dependency"], text, max_length=18)
    assert cut.truncated
    shown = made.pieces.text(cut.ids)
    kept = len(shown[: shown.index("\n")])
    begins = locate(made.pieces, [whole.ids]).begins
    # A word that is cut short has no token that has read all of it.
    tokens = int(np.searchsorted(begins, kept)) - 1
    complete = text[kept : kept + 1] in ("", " ", ".", ",")
    expected = {
        (a, b, kind) for a, b, kind in edges_of(full) if max(a, b) < tokens or (max(a, b) == tokens and complete)
    }
    assert edges_of(rest) == expected
    assert expected


def test_cut_questions(builder, examples):
    pair = ("Where do the old bakers of the town sleep at night? " * 3, "Where do bakers go? " * 4)
    (example,) = builder("quora").examples(examples("quora", pair, max_length=60))
    assert example.truncated
    assert {kind for _, _, kind in edge_list(example.graph)} >= {"head", "dependent", "lemma", "sequence"}


def test_repetitive_texts_stay_sparse(builder, examples):
    """A word in each of a hundred sentences does not make ten thousand edges."""
    (example,) = builder("sst", edges=["lemma"]).examples(examples("sst", "Bakers sleep. " * 100))
    assert np.diff(example.graph.offsets).max() <= 2 * REACH


def test_no_examples(builder):
    assert builder("sst").examples([]) == []
    assert builder("sonnet").examples([]) == []


def test_a_fingerprint_of_all_that_decides(builder, nlp, tokenizer):
    made = builder("sst", edges=["word", "dependency"], control="shuffled", seed=4)
    print_ = made.fingerprint
    assert print_["parser"]["sha256"] == parser_identity(PARSER)["sha256"]
    assert print_["edges"] == ["dependency", "word"]
    assert (print_["control"], print_["seed"]) == ("shuffled", 4)
    assert print_["prompt"] == tasks.get("sst").prompt["sha256"]
    assert print_ != builder("cfimdb", edges=["word"], control="shuffled", seed=4).fingerprint
    assert made.labels == tuple(sorted(nlp.get_pipe("parser").labels))


def test_a_tokenizer_that_changes_texts(nlp, tokenizer, examples):
    """Prompts of another tokenizer than the builder's are told apart from texts."""
    (example,) = examples("sst", "The baker sleeps.")
    made = GraphBuilder(nlp, tokenizer, tasks.get("cfimdb"), EDGES)
    with pytest.raises(UserError, match="the tokenizer changes texts"):
        made.examples([type(example)(example.row, example.ids[2:], False)])


def test_kinds_fit_a_byte():
    assert len(KINDS) < 256
