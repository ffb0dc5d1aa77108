"""No look into the future: the in-edges of a token are a function of the tokens up to it, whatever comes later.

Each check is run on graphs that are known to look ahead as well, which it has to find.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knotwork.graphs.align import last_tokens, locate
from knotwork.graphs.causal import REACH, Unfolding
from knotwork.graphs.parse import LONGEST, prefixes, word_ends

from .helpers import edges_of, same

SONNET = (
    "Shall I compare thee to a summer's day?\nThou art more lovely, and more temperate: rough winds do shake the "
    "darling buds of May. And summer's lease hath all too short a date; the winds — naïve 😀 winds — shake."
)
FRAGMENTS = [
    "The dog",
    " barks",
    " loudly",
    ".",
    ",",
    "\n",
    "The dogs",
    "'s",
    " un",
    "believ",
    "able",
    " café",
    "😀",
    "e\u0301",
    " שלום",
    "--",
    "...",
    "\u3000",
]
InEdges = list[tuple]  # one entry a token


def in_edges(graph) -> InEdges:
    parts = (graph.sources.tolist(), graph.kinds.tolist(), graph.labels.tolist())
    rows = list(zip(*parts, strict=True))
    return [tuple(rows[first:last]) for first, last in zip(graph.offsets[:-1], graph.offsets[1:], strict=True)]


def leaks(graph_of: Callable[[list[int]], InEdges], ids: list[int], other: list[int]) -> bool:
    """Whether what is decided for the tokens that two sequences begin with differs, or points ahead."""
    common = next((i for i, pair in enumerate(zip(ids, other, strict=False)) if pair[0] != pair[1]), None)
    common = min(len(ids), len(other)) if common is None else common
    one, two = graph_of(ids), graph_of(other)
    ahead = any(edge[0] >= token for token, edges in enumerate(one) for edge in edges)
    return ahead or one[:common] != two[:common]


def edits(ids: list[int], place: int, code: int) -> list[list[int]]:
    """The sequence cut, changed, lengthened and shortened at a token."""
    before, after = ids[:place], ids[place:]
    return [before, [*before, code, *after[1:]], [*before, code, *after], [*before, *after[1:]]]


@pytest.fixture(scope="module")
def causal(builder):
    """Graph of ids as in-edges, with every kind of edge."""
    made = builder("sonnet")
    return remembering(lambda ids: in_edges(made.causal(ids)))


def remembering(graph_of: Callable[[list[int]], InEdges]) -> Callable[[list[int]], InEdges]:
    known = cache(lambda ids: graph_of(list(ids)))
    return lambda ids: known(tuple(ids))


@pytest.fixture(scope="module")
def sequences(tokenizer):
    """Sequences of ids: fragments of text put together, with ids from anywhere in between."""
    known = [tokenizer(fragment)["input_ids"] for fragment in FRAGMENTS]
    size = tokenizer.backend_tokenizer.get_vocab_size()
    anything = st.integers(0, size - 1).map(lambda code: [code])
    # The single bytes of a byte-level vocabulary follow the special token: many make no character alone.
    byte = st.integers(1, 256).map(lambda code: [code])
    part = st.one_of(st.sampled_from(known), st.sampled_from(known), anything, byte)
    return st.lists(part, min_size=1, max_size=10).map(lambda parts: [code for part in parts for code in part])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_later_tokens_decide_nothing(causal, sequences, data):
    ids = data.draw(sequences)
    place = data.draw(st.integers(0, len(ids) - 1))
    code = data.draw(st.sampled_from(data.draw(sequences)))
    for other in edits(ids, place, code):
        assert not leaks(causal, ids, other)


@pytest.mark.parametrize("control", ["shuffled", "empty", "sequence", "random_tree"])
def test_controls_are_causal_too(builder, tokenizer, control):
    made = builder("sonnet", control=control, seed=3)
    graph_of = remembering(lambda ids: in_edges(made.causal(ids)))
    ids = tokenizer(SONNET)["input_ids"][:30]
    for place in range(1, 30, 4):
        for other in edits(ids, place, 300):
            assert not leaks(graph_of, ids, other)


def all_pairs(builder) -> Callable[[list[int]], InEdges]:
    return lambda ids: [tuple((source, 0, 0) for source in range(len(ids)) if source != t) for t in range(len(ids))]


def past_pairs_of_a_full_parse(builder) -> Callable[[list[int]], InEdges]:
    """Arcs of the parse of the whole text that point backwards."""
    made = builder("sonnet")

    def graph(ids: list[int]) -> InEdges:
        words = made.parser.words([made.pieces.text(ids)])
        nodes = last_tokens(locate(made.pieces, [ids]).begins, words.ends).tolist()
        found = [[] for _ in ids]
        for word, head in enumerate(words.heads.tolist()):
            first, last = sorted([nodes[word], nodes[head]])
            if head >= 0 and first < last:
                found[last].append((first, int(nodes[head] == first), int(words.labels[word])))
        return [tuple(sorted(edges)) for edges in found]

    return graph


def edges_one_token_early(builder) -> Callable[[list[int]], InEdges]:
    """The causal graph with a word's edges at its last token: that it is the last is known one token later."""
    made = builder("sonnet", edges=["dependency"])

    def graph(ids: list[int]) -> InEdges:
        late = in_edges(made.causal(ids))
        return [tuple(e for e in edges if e[0] < t) for t, edges in enumerate([*late[1:], ()])]

    return graph


def parse_with_the_next_token(builder) -> Callable[[list[int]], InEdges]:
    """The in-edges of token t from the text up to t + 1."""
    made = builder("sonnet", edges=["dependency", "sequence"])

    def graph(ids: list[int]) -> InEdges:
        return [in_edges(made.causal(ids[: t + 2]))[-1] for t in range(len(ids))]

    return graph


@pytest.mark.parametrize(
    "planted", [all_pairs, past_pairs_of_a_full_parse, edges_one_token_early, parse_with_the_next_token]
)
def test_planted_graphs_are_caught(builder, tokenizer, planted):
    graph_of = planted(builder)
    ids = tokenizer(SONNET)["input_ids"][:24]
    assert any(leaks(graph_of, ids, other) for place in range(2, 22) for other in edits(ids, place, 40))


def test_a_planted_full_parse_is_caught_by_cuts_alone(builder, tokenizer):
    graph_of = past_pairs_of_a_full_parse(builder)
    ids = tokenizer(SONNET)["input_ids"]
    assert any(leaks(graph_of, ids, ids[:place]) for place in range(2, len(ids)))


def test_a_stream_gives_the_same_graph(builder, tokenizer):
    ids = [*tokenizer(SONNET)["input_ids"], tokenizer.eos_token_id]
    for control in ("none", "shuffled", "random_tree"):
        made = builder("sonnet", control=control)
        stream, whole = made.stream(), made.causal(ids)
        steps = [stream.append(code) for code in ids]
        assert [tuple(zip(*(part.tolist() for part in step), strict=True)) for step in steps] == in_edges(whole)
        assert whole.offsets.dtype == whole.sources.dtype == np.int32
        assert whole.kinds.dtype == whole.labels.dtype == np.uint8


def test_parses_at_hand_give_the_same_graph(builder, examples):
    """The texts that are parsed ahead of time are the ones the tokens ask for."""
    made = builder("sonnet")
    (plain,) = examples("sonnet", SONNET)
    parsed = made.parser.words(prefixes(SONNET))
    made.parser.words = None  # nothing is left to parse
    assert same(made.examples([plain], parsed)[0].graph, builder("sonnet").causal(plain.ids))


def texts_parsed(pieces, ids) -> list[str]:
    unfolding, found = Unfolding(pieces), []
    for code in ids:
        step = unfolding.append(code)
        if step.ended is not None:
            found.append(unfolding.text[: step.ended])
    return found


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from("ab'-,. \n😀é"), max_size=20))
def test_what_is_parsed_are_prefixes(pieces, tokenizer, text):
    """Whatever the tokens, only prefixes of the list are asked for, and at the end of the text the last one."""
    asked = texts_parsed(pieces, [*tokenizer(text)["input_ids"], tokenizer.eos_token_id])
    offered = prefixes(text)
    assert set(asked) <= set(offered)
    assert asked[-1:] == offered[-1:]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", []),
        ("   ", []),
        ("day", ["day"]),
        ("a day, night", ["a", "a day", "a day,", "a day, night"]),
        ("summer's day", ["summer's", "summer's day"]),
        ("world-wide web...\n", ["world-wide", "world-wide web", "world-wide web..."]),
        ("one--two", ["one--two"]),
        ("yes!no", ["yes", "yes!no"]),
        ("e\u0301 x", ["e\u0301", "e\u0301 x"]),
        ("hi😀", ["hi", "hi😀"]),
    ],
)
def test_where_words_end(text, expected):
    assert prefixes(text) == expected


def test_no_more_prefixes_than_a_model_reads():
    assert len(prefixes("a " * 3000)) == LONGEST


@given(text=st.text(max_size=30), more=st.text(max_size=10))
def test_word_ends_depend_on_no_later_character(text, more):
    ends = list(word_ends(text))
    assert [place for place in word_ends(text + more) if place < len(text)] == ends


def test_a_word_is_known_at_the_token_after_it(builder, tokenizer):
    """``barks`` is the root, but ``dog`` gets no edge from it, since it lies ahead; it gets one to ``dog``."""
    made = builder("sonnet", edges=["dependency"])
    ids = tokenizer("The dog barks loudly.")["input_ids"]
    edges = edges_of(made.causal(ids))
    ends = np.array([len("The dog"), len("The dog barks"), len("The dog barks loudly")])
    dog, barks, loudly = last_tokens(locate(made.pieces, [ids]).begins, ends).tolist()
    closes_barks = barks + 1
    assert (dog, closes_barks, "dependent") in edges  # its subject
    assert (barks, loudly + 1, "head") in edges
    assert not any(source >= target for source, target, _ in edges)


def test_pieces_of_a_word(builder, pieces, tokenizer):
    """Earlier pieces that are known to be of the word; none across a blank or a mark."""
    made = builder("sonnet", edges=["word"])
    ids = tokenizer("unbelievablest, un")["input_ids"]
    shown = [pieces.text([code]) for code in ids]
    comma = shown.index(",")
    assert comma > 1
    edges = edges_of(made.causal(ids))
    assert edges >= {(first, second, "word") for second in range(comma) for first in range(second)[-REACH:]}
    assert not any(source < comma <= target for source, target, _ in edges)


def test_a_long_word_has_bounded_degree(builder):
    graph = builder("sonnet", edges=["word"]).causal([70] * 100)
    assert np.diff(graph.offsets).max() == REACH


def test_lemmas_and_sentences_of_the_past(builder, tokenizer):
    text = "The baker sleeps. The oven burns. The baker wakes. The end"
    ids = tokenizer(text)["input_ids"]
    made = builder("sonnet", edges=["lemma", "sentence"])
    begins = locate(made.pieces, [ids]).begins
    edges = edges_of(made.causal(ids))

    def token(end: int) -> int:  # that of a word's end
        return int(last_tokens(begins, np.array([end]))[0])

    first, second = text.index("baker") + 5, text.rindex("baker") + 5
    assert (token(first), token(second) + 1, "lemma") in edges
    assert any(kind == "sentence" and source <= token(text.index(".")) for source, _, kind in edges)


def test_no_tokens(builder):
    graph = builder("sonnet").causal([])
    assert graph.tokens == 0
    assert graph.offsets.tolist() == [0]


def test_ids_without_text(builder):
    """The end of a text in the middle and ids beyond the vocabulary end a word and break nothing."""
    graph = builder("sonnet").causal([0, 40, 0, 0, 10**6, 41, 0])
    assert graph.tokens == 7
