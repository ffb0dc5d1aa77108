"""The four questions to KAN-LoRA on the smallest base: tables, figures, cards, errors; and roughness."""

import json
import math
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import kan_questions
import kan_roughness
import kan_trials
import numpy as np
import pandas as pd
import pytest
import torch

from knotwork.adapters.kan.bases import BSpline
from knotwork.adapters.kan.splines import FactoredSpline, FullSpline
from knotwork.errors import UserError

REPOSITORY = Path(__file__).parents[2]

RUN = ["variant", "adapter", "rows", "trainable_parameters", "learning_rate", "seed"]
DEV = ["kept", "dev_accuracy", "dev_accuracy_low", "dev_accuracy_high"]


def ask(monkeypatch, question, *options):
    monkeypatch.setattr(sys, "argv", ["kan_questions.py", question, *map(str, options)])
    kan_questions.main()


def answered(question):
    """The table and the card; the figure is a picture that says in words what it shows."""
    out = Path("reports/study/kan")
    picture = ElementTree.parse(out / f"{question}.svg").getroot()
    assert picture.attrib["aria-label"].startswith(kan_questions.kan_figures.TITLES[question])
    card = (out / f"{question}.json").read_text(encoding="utf-8")
    assert str(Path.cwd()) not in card
    assert str(REPOSITORY) not in card
    return pd.read_csv(out / f"{question}.csv"), json.loads(card)


def sizes(table):
    return table.groupby("variant")["trainable_parameters"].first()


def test_blocks_are_compared_at_equal_size(project, monkeypatch, capsys):
    ask(monkeypatch, "blocks", "--rows", 16)
    table, card = answered("blocks")
    run = [*RUN[:2], "place", "blocks", *RUN[2:]]
    assert list(table) == [
        "task",
        *run,
        "epoch",
        "train_loss",
        "selection_loss",
        "selection_accuracy",
        "stall",
        *DEV,
    ]
    assert [(row.variant, str(row.blocks)) for row in table.itertuples()] == [
        ("LoRA, first block", "0"),
        ("KAN-LoRA, first block", "0"),
        ("LoRA, last block", "1"),
        ("KAN-LoRA, last block", "1"),
        ("LoRA, all blocks", "0 1"),
        ("KAN-LoRA, all blocks", "0 1"),
    ]
    count = sizes(table)
    assert count["LoRA, all blocks"] == 2 * count["LoRA, first block"] == 2 * 2 * 16 * (128 + 512)
    for place in ("first block", "last block", "all blocks"):
        assert count[f"KAN-LoRA, {place}"] == pytest.approx(count[f"LoRA, {place}"], rel=0.05)
    assert card["command"] == "python benchmarks/kan_questions.py blocks --task sst --rows 16"
    assert card["base"]["name"] == "assets/base-tiny"
    assert card["parameters"]["corpus"]["max_rows"]["sst"] == 16
    lines = [line for line in capsys.readouterr().out.splitlines() if "; dev " in line]
    assert len(lines) == 6


def test_curves_have_a_point_an_epoch_and_a_verdict(project, monkeypatch):
    ask(monkeypatch, "curves", "--rows", 16, "--epochs", 3, "--seeds", 1, 2)
    table, card = answered("curves")
    assert list(table) == [
        "task",
        *RUN,
        *("epoch", "train_loss", "selection_loss", "selection_accuracy", "stall"),
        *DEV,
    ]
    assert (table.groupby(["variant", "seed"])["epoch"].apply(list).map(lambda epochs: epochs == [1, 2, 3])).all()
    assert set(table["stall"]) <= {"yes", "no"}
    assert (table.groupby(["variant", "seed"])["kept"].sum() == 1).all()
    assert table["dev_accuracy"].notna().equals(table["kept"])
    count = sizes(table)
    for name in ("KAN-LoRA", "LoRA on the MLPs"):
        assert count[name] == pytest.approx(count["LoRA"], rel=0.05)
    assert count["the paper’s KAN"] > 10 * count["LoRA"]
    assert table[table["variant"] == "the paper’s KAN"]["learning_rate"].unique() == [2.5e-3]
    assert [len(result["per_seed"]) for result in card["results"]] == [2, 2, 2, 2]


def test_a_budget_and_a_learning_rate_are_those_given(project, monkeypatch):
    project({"budget.trainable_parameters": 30_000, "lora.r": None})
    monkeypatch.setattr(kan_questions, "QUESTIONS", {"curves": (_without_the_paper, kan_questions.by_epoch)})
    ask(monkeypatch, "curves", "--rows", 16, "--learning-rate", 0.01)
    table, _ = answered("curves")
    assert sizes(table).between(28_500, 31_500).all()
    assert set(table["learning_rate"]) == {0.01}


def _without_the_paper(params, task):
    return kan_questions.curve_variants(params, task)[:3]


def test_a_grid_is_a_row_with_quality_and_roughness(project, monkeypatch):
    monkeypatch.setattr(kan_questions, "GRID_SIZES", (2, 20))
    ask(monkeypatch, "grid", "--rows", 16, "--png")
    table, _ = answered("grid")
    run = [*RUN[:2], "grid_size", *RUN[2:]]
    assert list(table) == ["task", *run, "train_loss", "roughness", "waves", "waves_drawn", *DEV]
    assert list(table["grid_size"]) == [2, 20]
    assert table["roughness"].is_monotonic_increasing
    assert table["dev_accuracy"].between(table["dev_accuracy_low"], table["dev_accuracy_high"]).all()
    assert Path("reports/study/kan/grid.png").read_bytes().startswith(b"\x89PNG")


def test_memorising_stops_when_all_is_right_or_the_passes_are_over(project, monkeypatch):
    monkeypatch.setattr(kan_trials, "EXAMPLES", 24)  # as 64, in less time
    ask(monkeypatch, "memorise", "--epochs", 8)
    table, card = answered("memorise")
    assert list(table) == ["task", *RUN, "step", "train_loss", "train_accuracy", *DEV]
    assert set(table["rows"]) == {24}
    for result in card["results"]:
        (run,) = result["per_seed"]
        points = table[table["variant"] == result["variant"]]
        assert list(points["step"]) == list(range(0, 3 * len(points), 3))
        assert (points["train_accuracy"].iloc[:-1] < 0.99).all()
        reached = points["train_accuracy"].iloc[-1] >= 0.99
        assert run["steps"] == (points["step"].iloc[-1] if reached else None)
        assert reached or len(points) == 9
    assert card["results"][-1]["per_seed"][0]["steps"] is not None  # all weights learn them by heart


def test_an_interrupted_question_goes_on_where_it_was(project, monkeypatch):
    trained, train = [], kan_trials.train_run

    def stops_at_the_third(params, *arguments):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(params)
        train(params, *arguments)

    monkeypatch.setattr(kan_questions, "GRID_SIZES", (2, 3, 5))
    monkeypatch.setattr(kan_trials, "train_run", stops_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        ask(monkeypatch, "grid", "--rows", 16)
    trained.clear()
    ask(monkeypatch, "grid", "--rows", 16)
    assert [params.kan.grid_size for params in trained] == [5]
    table, _ = answered("grid")
    assert list(table["grid_size"]) == [2, 3, 5]
    assert list(table)[-8:] == ["train_loss", "roughness", "waves", "waves_drawn", *DEV]
    assert not kan_trials.MEMORY.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["curves", "--task", "sonnet"], "--task: 'sonnet' is not a task with classes"),
        (["curves", "--task", "imdb"], "--task: 'imdb' is not a task with classes"),
        (["memorise", "--rows", 63], "--rows: 63 are too few, memorise takes 64"),
        (["memorise", "--task", "quora"], "quora: 48 training rows, 64 are needed"),
        (["curves", "--epochs", 0], "train.epochs.sst: .* give --epochs"),
        (["curves", "--learning-rate", 5], "lora.learning_rate: "),
        (["curves", "--rows", 0], "corpus.max_rows.sst: "),
    ],
)
def test_a_mistake_is_one_line(project, monkeypatch, options, message):
    with pytest.raises(UserError, match=message):
        ask(monkeypatch, *options)
    assert not Path("reports").exists()


def test_a_basis_without_knots_and_one_without_curvature_have_no_roughness(project, monkeypatch):
    project({"kan.basis": "rbf"})
    with pytest.raises(UserError, match=r"kan\.basis: rbf has no knots"):
        ask(monkeypatch, "grid")
    project({"kan.order": 1})
    with pytest.raises(UserError, match=r"kan\.order: 1 is too low"):
        ask(monkeypatch, "grid", "--rows", 16)


@pytest.mark.parametrize("question", kan_questions.QUESTIONS)
def test_without_data_it_says_what_to_run(project, monkeypatch, question):
    shutil.rmtree("data")
    with pytest.raises(UserError, match="dvc repro"):
        ask(monkeypatch, question)


# --- roughness


def coefficients(basis, function):
    """Of the spline through a function of t in [0, 1], by least squares."""
    t = np.linspace(0, 1, 2001)
    values = basis.values(torch.from_numpy(2 * t - 1).unsqueeze(1)).squeeze(2).numpy()
    return np.linalg.lstsq(values, function(t), rcond=None)[0]


def roughness(basis, c):
    return c @ kan_roughness.bending(basis) @ c


@pytest.mark.parametrize("grid_size", [1, 2, 5, 50])
@pytest.mark.parametrize("order", [2, 3, 5])
def test_a_line_is_smooth_and_a_parabola_as_rough_as_its_formula_says(grid_size, order):
    basis = BSpline(grid_size, order)
    assert roughness(basis, coefficients(basis, lambda t: 3 - 2 * t)) == pytest.approx(0, abs=1e-6)
    parabola = coefficients(basis, lambda t: t**2)
    assert roughness(basis, parabola) == pytest.approx(4, rel=1e-6)
    assert parabola @ kan_roughness.spread(basis) @ parabola == pytest.approx(1 / 5 - 1 / 9, rel=1e-6)


@pytest.mark.parametrize("periods", [1, 3])
def test_a_sine_has_its_roughness_and_as_many_waves_as_periods(periods):
    basis = BSpline(50, 3)
    c = 7 * coefficients(basis, lambda t: np.sin(2 * math.pi * periods * t))
    assert roughness(basis, c) == pytest.approx(49 * (2 * math.pi * periods) ** 4 / 2, rel=0.01)
    waves = kan_roughness.waves(roughness(basis, c), c @ kan_roughness.spread(basis) @ c)
    assert waves == pytest.approx(periods, rel=0.01)


def test_factored_splines_are_as_rough_as_the_functions_that_they_make():
    torch.manual_seed(0)
    basis = BSpline(5, 3)
    factored, full = FactoredSpline(4, 6, 2, basis), FullSpline(4, 6, None, basis)
    torch.nn.init.normal_(factored.U)
    with torch.no_grad():
        full.coefficients.copy_(torch.einsum("oq,qki->oki", factored.U, factored.V))
    functions = full.coefficients.detach().double().permute(0, 2, 1).reshape(-1, basis.size).numpy()
    mean = np.mean([roughness(basis, c) for c in functions])
    for spline in (factored, full):
        assert kan_roughness.of_splines([spline]).mean == pytest.approx(mean, rel=1e-5)
    both = kan_roughness.of_splines([factored, full])
    assert both.waves == pytest.approx(kan_roughness.of_splines([full]).waves, rel=1e-5)


def test_coefficients_drawn_independently_have_the_waves_that_the_formula_gives():
    basis = BSpline(20, 3)
    drawn = np.random.default_rng(0).uniform(-1, 1, (4000, basis.size))
    rough, variance = (
        np.einsum("nk,kl,nl->", drawn, form(basis), drawn) for form in (kan_roughness.bending, kan_roughness.spread)
    )
    assert kan_roughness.waves(rough, variance) == pytest.approx(kan_roughness.drawn_waves(basis), rel=0.02)


def test_splines_that_are_still_zero_have_no_waves():
    found = kan_roughness.of_splines([FactoredSpline(4, 6, 2, BSpline(5, 3))])
    assert found.mean == 0
    assert math.isnan(found.waves)
