"""The benchmarks of graphs: what is worked out from measurements, and how it is kept."""

import sys
from xml.etree import ElementTree

import graph_build
import graph_paper
import pandas as pd
import record


def test_tables_are_kept_with_their_origin(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{tmp_path}/graph_build.py", "scale", "--counts", "1", "2"])
    record.record("graph-scale", {"Measured": pd.DataFrame({"texts": ["a b"], "s": [0.5]})})
    kept = (tmp_path / "graph-scale.md").read_text()
    assert "`python benchmarks/graph_build.py scale --counts 1 2`" in kept
    assert str(tmp_path) not in kept
    assert "## Measured\n\n| texts | s |\n| --- | ---: |\n| a b | 0.5 |\n" in kept
    assert capsys.readouterr().out.strip() in kept


def test_the_line_is_extended():
    counts = [1000, 2000, 5000]
    rows = [[count, 3 + count / 100, count / 1000, count / 10, count / 500] for count in counts]
    found = graph_build.extended(pd.DataFrame(rows, columns=graph_build.SCALED)).set_index("")
    per_thousand, quora, many, fit = (found.iloc[row] for row in range(4))
    assert per_thousand.tolist() == ["10.00", "1.00", "100.00", "2.00"]
    assert quora["parse, s"] == f"{3 + graph_build.QUESTIONS / 100:,.2f}"
    assert many["graphs, s"] == "100,000.00"
    assert set(fit) == {"1.00000"}


def test_the_papers_graph_joins_every_token_with_every_other():
    assert graph_paper.all_pairs(3) == [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]


def test_the_figure_says_in_words_what_it_shows():
    parts = {
        graph_paper.PAPER: {graph_paper.BUILDING: 0.5, graph_paper.PASSING: 0.25, graph_paper.REST: 0.25},
        graph_paper.OURS: {graph_paper.LOADING: 0.125, graph_paper.REST: 0.875},
    }
    rows = [
        {"tokens": 16, "step": step, "part": part, "seconds": share, "share": share}
        for step, shares in parts.items()
        for part, share in shares.items()
    ]
    picture = ElementTree.fromstring(graph_paper.draw(pd.DataFrame(rows)))
    assert "building the graph takes 50.00% at 16 tokens" in picture.attrib["aria-label"]
    assert "loading and collating takes 12.50% at 16 tokens" in picture.attrib["aria-label"]
    written = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"50", "25", "12", "88"} <= set(written)


def test_building_and_passing_are_held_against_ours():
    paper = {graph_paper.BUILDING: 4, graph_paper.PASSING: 2, graph_paper.FUSING: 2, graph_paper.REST: 2}
    ours = {graph_paper.LOADING: 0.5, graph_paper.PASSING: 1.5, graph_paper.REST: 3}
    made = {graph_paper.PAPER: paper, graph_paper.OURS: ours}
    row = graph_paper.ratio(64, made, parsing=0.25)
    assert list(row.values()) == [64, "40.0%", "50.0%", 8, 4, 2.0, 0.25]
