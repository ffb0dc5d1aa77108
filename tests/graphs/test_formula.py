"""The graph of a formula: its expression tree, without a parser of language."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knotwork import tasks
from knotwork.corpora import Row
from knotwork.encoding import encode
from knotwork.errors import UserError
from knotwork.graphs.build import GraphBuilder
from knotwork.graphs.formula import LABELS, FormulaReader
from knotwork.graphs.token_graph import KINDS

EDGES = ["dependency", "lemma", "sentence", "sequence", "word"]


def arcs(text):
    words = FormulaReader().words([text])
    written = [text[start:end] for start, end in zip(words.starts, words.ends, strict=True)]
    return [
        (written[index], written[head], LABELS[label - 1] if label else "root")
        for index, (head, label) in enumerate(zip(words.heads, words.labels, strict=True))
    ]


def test_arguments_hang_on_operators_and_functions():
    assert arcs("2*sin(x) - 3") == [
        ("2", "*", "left"),
        ("*", "-", "left"),
        ("sin", "*", "right"),
        ("(", "sin", "bracket"),
        ("x", "sin", "argument"),
        (")", "sin", "bracket"),
        ("-", "-", "root"),
        ("3", "-", "right"),
    ]


def test_brackets_hang_on_what_stands_in_them():
    found = arcs("(x + 1)**2")
    assert found[0] == ("(", "+", "bracket")
    assert found[4] == (")", "+", "bracket")
    assert found[2] == ("+", "**", "left")


def test_commas_and_arguments_hang_on_the_function():
    assert arcs("diff(x**2, x)")[5:] == [
        (",", "diff", "bracket"),
        ("x", "diff", "argument"),
        (")", "diff", "bracket"),
    ]


formulas = st.recursive(
    st.sampled_from(["x", "3", "12"]),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "**"]), inner),
        st.builds("sin({})".format, inner),
        st.builds("-{}".format, inner),
    ),
    max_leaves=12,
)


@given(formulas)
def test_every_formula_is_one_tree(text):
    words = FormulaReader().words([text])
    roots = [index for index, head in enumerate(words.heads) if head == index]
    assert len(roots) == 1
    for index in range(len(words.heads)):
        seen = set()
        while words.heads[index] != index:
            assert index not in seen
            seen.add(index)
            index = words.heads[index]
        assert index == roots[0]


@given(formulas)
def test_arguments_are_those_of_pythons_parser(text):
    operators = sum(isinstance(node, ast.BinOp) for node in ast.walk(ast.parse(text)))
    labels = [label for _, _, label in arcs(text)]
    assert labels.count("left") == labels.count("right") == operators


NO_FORMULAS = ["x + ", "x if x else 3", "x[1]", "a.b", "1.5*x", "x//2", "()", "x1 + 2", "f()", "x=3", "é + 1"]


@pytest.mark.parametrize("text", [*NO_FORMULAS, "x,y", "not x", "("])
def test_what_is_no_formula_is_one_clear_line(text):
    with pytest.raises(UserError, match=r"is no formula; write it as") as error:
        FormulaReader().words([text])
    assert "\n" not in str(error.value)


def test_edges_join_the_tokens_of_the_prompt(tokenizer):
    task = tasks.get("symbolic")
    builder = GraphBuilder(None, tokenizer, task, EDGES)
    row = Row("1", ("3*sin(x + 2)", "sin(2 + x)*3"), 1)
    (example,) = builder.examples(encode(task, [row], tokenizer, 512))
    texts = [builder.pieces.text([code]) for code in example.ids]
    graph = example.graph
    edges = zip(graph.sources, graph.targets(), graph.kinds, graph.labels, strict=True)
    named = {
        (texts[s].strip(), texts[t].strip(), KINDS[k], builder.labels[n - 1] if n else "") for s, t, k, n in edges
    }
    assert ("*", "3", "head", "left") in named
    assert ("3", "*", "dependent", "left") in named
    assert ("3", "3", "lemma", "") in named
    assert ("2", "2", "lemma", "") in named
    assert not any(kind == "sentence" and "Formula" in one for one, _, kind, _ in named)
    assert graph.tokens == len(example.ids)


def test_the_fingerprint_says_what_read_the_formulas(tokenizer):
    builder = GraphBuilder(None, tokenizer, tasks.get("symbolic"), EDGES)
    assert builder.fingerprint["parser"]["name"] == "expression tree"
    assert builder.fingerprint["labels"] == list(LABELS)
