"""Figures and pages of finished runs: what they show, and what they say in words."""

import re
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from report.comparison.study import Study, right_on

from knotwork.report.read import read_results, read_task
from knotwork.study.declaration import Cell, Sweep, grid_cells
from knotwork.study.figures import against
from knotwork.study.grid import grid_map
from knotwork.study.pages import FAILED, FINISHED, NOT_REACHED, OUTDATED, write_pages

RIGHT = {("lora", "few"): 30, ("lora", "all"): 42, ("full", "few"): 33, ("full", "all"): 54}
TRAINED = {"few": 90, "all": 900}


@pytest.fixture
def runs(tmp_path):
    """A learning curve of two adapters, 60 examples each; gives its cells with their results."""
    study, results = Study(tmp_path / "curve"), []
    for (variant, rows), right in RIGHT.items():
        cell = Cell("curve", variant, rows, "sst", {})
        study.classes(cell.run, "sst", right_on(*range(60 - right)), adapter=variant)
        study.change_card(cell.run, "sst", rows={"train": TRAINED[rows]})
        study.results(cell.run).change("sst", "metrics.json", train_seconds=right, peak_memory_mb=1000 - right)
        results.append((cell, read_task(tmp_path / cell.name)))
    return results


def label(picture):
    return ElementTree.fromstring(picture).attrib["aria-label"]


def test_a_learning_curve_says_what_rows_bring_and_how_far_full_is(runs):
    drawing = against("rows", runs)
    assert drawing.data["run"].tolist() == ["lora-few", "lora-all", "full-few", "full-all"]
    assert drawing.data["rows"].tolist() == [90, 900, 90, 900]
    assert drawing.data["score"].tolist() == pytest.approx([50, 70, 55, 90])
    caption = drawing.figure.caption
    assert "from 90 to 900 the scores change by lora +20.0, full +35.0 points" in caption
    assert "from full they are apart at 90 lora −5.0; at 900 lora −20.0" in caption
    [picture] = drawing.figure.pictures
    assert label(picture).endswith("lora 50.0 at 90, 70.0 at 900; full 55.0 at 90, 90.0 at 900.")
    assert drawing.pictures == ["rows-sst"]


def test_a_curve_of_which_no_line_is_finished_says_so(runs):
    caption = against("rows", [runs[0], runs[3]]).figure.caption
    assert "SST: from 90 to 900, no variant at two of them yet." in caption


def test_members_of_multitask_have_a_picture_each(tmp_path):
    study, results = Study(tmp_path / "both"), []
    for variant, seconds in (("lora", 10), ("full", 20)):
        for task in ("sst", "quora"):
            study.classes(variant, task, right_on(seconds), adapter=variant)
            study.results(variant).change(task, "metrics.json", train_seconds=seconds)
        study.together(variant, "sst", "quora")
        cell = Cell("both", variant, "", "multitask", {})
        results += [(cell, result) for result in read_results(tmp_path / cell.name)]
    drawing = against("seconds", results)
    assert drawing.pictures == ["seconds-sst", "seconds-quora"]
    assert label(drawing.figure.pictures[1]).startswith("Quora (multitask): accuracy, % against training time")


def test_the_head_is_not_counted_and_that_is_said(runs):
    drawing = against("parameters", runs)
    assert drawing.data["parameters"].tolist() == [result.metrics.trainable_parameters for _, result in runs]
    assert "against trained parameters, heads not counted." in drawing.figure.caption


def test_a_cost_says_what_is_best_and_what_is_cheapest(runs):
    assert "full-all is best (90.0 at 54) and lora-few is cheapest (50.0 at 30)" in (
        against("seconds", runs).figure.caption
    )
    assert "full-all is best (90.0 at 946), and cheapest too" in against("memory", runs).figure.caption


def test_runs_of_one_price_are_drawn_too(runs):
    drawing = against("parameters", runs[:1])
    assert "all at" in drawing.figure.caption
    assert len(drawing.data) == 1


def sweep(**grids):
    settings = {"adapter": "lora", "lora.r": 4, "lora.alpha": 8}
    return Sweep(about="Ranks", task="sst", seeds=[1], settings=settings, grids=grids)


def points(tmp_path, declared, grid, chosen):
    """Results of the first points of a grid, each with its score on the selection rows."""
    study, results = Study(tmp_path / "sweep-x"), []
    for number, (cell, metric) in enumerate(zip(grid_cells("x", declared, grid), chosen, strict=False)):
        study.classes(cell.run, "sst", right_on(*range(10 + number)))
        card = read_task(tmp_path / cell.name).card.model_dump(mode="json")
        study.change_card(cell.run, "sst", per_seed=[card["per_seed"][0] | {"selection_metric": metric}])
        results.append((cell, read_task(tmp_path / cell.name)))
    return results


def test_a_grid_is_chosen_by_selection_and_not_by_dev(tmp_path):
    declared = sweep(rank={"lora.r": [2, 4], "lora.alpha": [8, 16]})
    drawing = grid_map("x", declared, "rank", points(tmp_path, declared, "rank", [0.3, 0.5, 0.4, 0.2]))
    data = drawing.data
    assert data[["lora.r", "lora.alpha"]].to_numpy().tolist() == [[2, 8], [2, 16], [4, 8], [4, 16]]
    assert data["selection"].tolist() == [30, 50, 40, 20]
    assert data["dev"].idxmax() == 0
    assert "Chosen, in a frame: lora.r 2, lora.alpha 16 (50.0); on dev it has 81.7" in drawing.figure.caption
    assert "r2-alpha16: selection 50.0, dev 81.7" in label(drawing.figure.pictures[0])


def test_points_that_are_missing_are_blank(tmp_path):
    declared = sweep(rank={"lora.r": [2, 4, 8]})
    drawing = grid_map("x", declared, "rank", points(tmp_path, declared, "rank", [0.3]))
    assert drawing.data["dev"].notna().tolist() == [True, False, False]
    assert "2 of 3 points are not finished, and blank." in drawing.figure.caption


def test_a_point_without_an_epoch_is_blank(tmp_path):
    declared = sweep(rank={"lora.r": [2, 4]})
    drawing = grid_map("x", declared, "rank", points(tmp_path, declared, "rank", [None, 0.4]))
    assert drawing.data["selection"].isna().tolist() == [True, False]
    assert "Chosen, in a frame: lora.r 4 (40.0)" in drawing.figure.caption


@pytest.mark.parametrize(
    "key, values, shown",
    [
        ("lora.target_modules", [["c_attn"], ["c_attn", "c_fc"]], "c_attn, c_fc"),
        ("base.path", ["assets/base-tiny", "assets/base"], "assets/base"),
        ("train.patience", [3, None], "null"),
        ("lora.learning_rate", ["1e-3", "5e-4"], "5e-4"),  # without a point YAML reads a text
    ],
)
def test_a_grid_of_settings_that_are_no_numbers(tmp_path, key, values, shown):
    declared = sweep(any={key: values})
    drawing = grid_map("x", declared, "any", points(tmp_path, declared, "any", [0.3, 0.5]))
    assert f"Chosen, in a frame: {key} {shown} (50.0)" in drawing.figure.caption
    assert f">{shown}<" in drawing.figure.pictures[0]
    for cell in grid_cells("x", declared, "any"):  # the name of a folder, and of one of DVC's experiments
        assert re.fullmatch(r"[\w.-]+", cell.run)


def test_a_grid_without_any_finished_point_is_left_out(tmp_path):
    """As after an hour of two grids, of which the first alone was begun."""
    declared = sweep(rank={"lora.r": [2, 4]}, scale={"lora.alpha": [8, 16]})
    results = points(tmp_path, declared, "rank", [0.3, 0.5])
    results = [(cell, result) for cell, result in results if cell.run == "r2-alpha8"]
    assert grid_map("x", declared, "rank", results) is not None
    assert grid_map("x", declared, "scale", results) is None


def test_a_point_on_two_grids_has_one_name():
    declared = sweep(rank={"lora.r": [2, 4]}, scale={"lora.alpha": [8, 16]})
    names = [cell.run for grid in ("rank", "scale") for cell in grid_cells("x", declared, grid)]
    assert names == ["r2-alpha8", "r4-alpha8", "r4-alpha8", "r4-alpha16"]


def test_a_page_shows_the_figures_and_what_is_missing(runs, tmp_path, capsys):
    cells = [cell for cell, _ in runs]
    states = [*zip(cells, [FINISHED, FINISHED, OUTDATED, FAILED], strict=True)]
    states.append((Cell("curve", "kan", "all", "sst", {}), NOT_REACHED))
    write_pages("Rows", states, [partial(against, "rows"), lambda results: None], tmp_path, Path("absent"))
    readme = (tmp_path / "curve/README.md").read_text(encoding="utf-8")
    page = (tmp_path / "curve/page.html").read_text(encoding="utf-8")
    for line in (
        "2 of 5 declared runs are finished.",
        "Not reached: kan-all on sst.",
        "Made by settings that have changed since: full-few on sst.",
        "Failed: full-all on sst.",
    ):
        assert line in readme
        assert line in page
    assert "(figures/rows-sst.svg)" in readme
    assert "from 90 to 900" in page
    ElementTree.parse(tmp_path / "curve/figures/rows-sst.svg")
    assert len(pd.read_csv(tmp_path / "curve/figures/rows.csv")) == 4
