"""The tuning study on the smallest base: equal sizes, equal trials, dev scored for what was chosen and once."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import kan_figures
import kan_tuning
import pandas as pd
import pytest

RATES, SEEDS = (1e-3, 4e-3), (1, 2)
RUNS = 2 * 2 * (len(RATES) + len(SEEDS) - 1)  # adapters, budgets


def tune(monkeypatch, *options):
    fixed = ["--rows", 16, "--ranks", 4, 8, "--rates", *RATES, "--seeds", *SEEDS]
    monkeypatch.setattr(sys, "argv", ["kan_tuning.py", *map(str, [*fixed, *options])])
    kan_tuning.main()


def test_equal_trials_and_dev_for_the_chosen_alone(project, monkeypatch, capsys):
    scored, score = [], kan_tuning.dev_hits
    monkeypatch.setattr(kan_tuning, "dev_hits", lambda run, task: scored.append(run) or score(run, task))
    tune(monkeypatch)
    out = Path("reports/study/kan")
    table, card = pd.read_csv(out / "tuning.csv"), json.loads((out / "tuning.json").read_text(encoding="utf-8"))
    runs = table.groupby(["budget", "adapter", "learning_rate", "seed"])
    assert len(runs) == RUNS
    for _, part in table.groupby(["budget", "adapter"]):
        first = part[part["seed"] == SEEDS[0]]
        assert set(first["learning_rate"]) == set(RATES)
        kept = first[first["kept"]]
        best = kept.sort_values(["selection_accuracy", "selection_loss"], ascending=[False, True]).iloc[0]
        assert part[part["chosen"]]["learning_rate"].unique() == [best["learning_rate"]]
        assert set(part[part["chosen"]]["seed"]) == set(SEEDS)
    assert table["dev_accuracy"].notna().equals(table["kept"] & table["chosen"])
    assert len(scored) == len({run.folder for run in scored}) == 2 * 2 * len(SEEDS)
    sizes = table.groupby(["budget", "adapter"])["trainable_parameters"].first().unstack()
    assert list(sizes["lora"]) == [16_384, 32_768]
    assert ((sizes["kan"] / sizes["lora"] - 1).abs() < 0.05).all()
    assert card["command"].endswith(
        "kan_tuning.py --task sst --rows 16 --ranks 4 8 --rates 0.001 0.004 --seeds 1 2"
    )
    assert [len(result["trials"]) for result in card["results"]] == [len(RATES)] * 4
    assert ["p_value" in result for result in card["results"]] == [False, True, False, True]
    picture = ElementTree.parse(out / "tuning.svg").getroot()
    assert picture.attrib["aria-label"].startswith("LoRA and KAN-LoRA of equal size")
    figure, _ = kan_figures.draw("tuning", table)
    low, high = figure.axes[1].get_ylim()  # of dev accuracy, shared by the budgets
    assert low < table["dev_accuracy_low"].min() <= table["dev_accuracy_high"].max() < high
    assert capsys.readouterr().out.count("KAN-LoRA - LoRA") == 2
    assert not kan_tuning.RUNS.exists()


def test_an_interrupted_study_goes_on_where_it_was(project, monkeypatch):
    trained, train = [], kan_tuning.train_run

    def stops_at_the_fourth(*arguments):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(arguments)
        train(*arguments)

    monkeypatch.setattr(kan_tuning, "train_run", stops_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        tune(monkeypatch)
    assert not Path("reports").exists()
    trained.clear()
    monkeypatch.setattr(kan_tuning, "train_run", lambda *arguments: trained.append(arguments) or train(*arguments))
    tune(monkeypatch)
    assert len(trained) == RUNS - 3
