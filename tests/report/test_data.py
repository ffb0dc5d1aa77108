import pandas as pd
import pytest

from knotwork.report.data import frames, to_csv
from knotwork.report.read import read_task

from .conftest import Results


def found(results: Results, *tasks: str) -> dict[str, pd.DataFrame]:
    return frames([read_task(results.reports / task) for task in tasks])


def test_scores_stand_beside_baselines_and_the_papers_figure(four_tasks: Results) -> None:
    scores = found(four_tasks, "sst", "sonnet")["scores.csv"].set_index(["task", "measure", "of"])["value"]
    assert scores["sst", "accuracy", "lora"] == 0.483
    assert scores["sst", "accuracy", "tfidf"] == 0.405
    assert scores["sst", "accuracy", "paper"] == 0.55249
    assert scores["sonnet", "chrf_generated", "random_sonnet_chrf_generated"] == 26.2


def test_pictures_are_flat_tables(results: Results) -> None:
    results.add("sst", seeds=(1, 2), adapter="kan")
    results.add("quora", adapter="graph")
    tables = found(results, "sst", "quora")
    assert len(tables["curves.csv"]) == 3 * 4
    assert len(tables["confusion.csv"]) == 5 * 5 + 2 * 2
    assert len(tables["spline-functions.csv"]) == 8 * 49
    function = tables["spline-functions.csv"].iloc[0]
    assert (function["task"], function["matrix"], function["x"]) == ("sst", "c_fc", -2)
    assert len(tables["spline-strength.csv"]) == 8 * 64
    edges = tables["attention-edges.csv"]
    sums = edges.groupby(["text", "target", "block"])["attention"].sum()
    assert sums.to_list() == pytest.approx([1.0] * len(sums))
    assert set(tables["attention-kinds.csv"]["kind"]) >= {"self", "head", "sequence"}
    assert tables["attention-labels.csv"]["edges"].max() == 40


def test_what_a_run_has_not_makes_no_file(results: Results) -> None:
    results.add("sonnet")
    assert set(found(results, "sonnet")) == {"scores.csv", "curves.csv"}


def test_the_files_are_plain_csv(results: Results) -> None:
    results.add("quora")
    text = to_csv(found(results, "quora"))["confusion.csv"]
    assert text.startswith("task,true,answer,count\nquora,different,different,8\n")
