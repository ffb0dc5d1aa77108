"""The loop over the declared runs, with a clone that only pretends to run them."""

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from knotwork.errors import UserError
from knotwork.study import driver
from knotwork.study.declaration import Cell
from knotwork.study.pages import FINISHED, NOT_REACHED, OUTDATED

REPOSITORY = Path(__file__).parents[2]
VALUES = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))


def cell(adapter, task="sst", **settings):
    return Cell("g", adapter, "", task, {"adapter": adapter, "tasks": [task], "seeds": [1], **settings})


class Clone:
    """Writes report files in no time, or as long as the clock says; fails for one adapter."""

    commit = "c" * 40

    def __init__(self, folder, clock):
        self.folder, self.clock, self.ran = folder, clock, []

    def run(self, task, params, log):
        self.ran.append((params["adapter"], task))
        self.clock.now += 60
        if params["adapter"] == "full":
            raise UserError("out of luck")
        reports = self.folder / task
        reports.mkdir(exist_ok=True)
        card = {"parameters": {"adapter": params["adapter"], "lora.r": params["lora"]["r"]}}
        for name, value in {"card": card, "pictures": {}}.items():
            (reports / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
        pd.DataFrame({"gold": ["1"]}).to_csv(reports / "scores.tsv", sep="\t", index=False)
        return reports


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clone(folder, monkeypatch):
    clock = Clock()
    made = Clone(folder, clock)

    @contextmanager
    def place(checkout):
        yield made

    monkeypatch.setattr(driver, "workplace", place)
    monkeypatch.setattr(driver, "uncommitted", lambda checkout: False)
    monkeypatch.setattr(driver, "time", clock)
    return made


def test_no_run_is_begun_after_the_time_is_over(clone, capsys):
    cells = [cell("lora"), cell("kan"), cell("head")]
    assert driver.make(cells, VALUES, 1.5) == {}
    assert clone.ran == [("lora", "sst"), ("kan", "sst")]
    assert [driver.state(each, VALUES) for each in cells] == [FINISHED, FINISHED, NOT_REACHED]
    printed = capsys.readouterr().out
    assert "1.5 minutes are over: 1 runs not reached" in printed
    assert "1 min 00 s; 2 left, about 2 min 00 s" in printed.replace("\u202f", " ").replace("\u00a0", " ")
    assert driver.make(cells, VALUES, None) == {}
    assert clone.ran[2:] == [("head", "sst")]


def test_the_command_of_a_run_makes_it_again(clone):
    """Without its base a run on one's own is not declared."""
    plain, own = cell("lora"), replace(cell("head"), base="hub/gpt2@abc")
    driver.make([plain, own], VALUES, None)
    commands = [json.loads((driver.KEPT / each.name / "card.json").read_text())["command"] for each in (plain, own)]
    assert commands == [
        "make study ARGS='--only g/lora/sst'",
        "make study ARGS='--only g/head/sst --base hub/gpt2@abc'",
    ]


def test_what_fails_stops_nothing(clone, capsys):
    failed = driver.make([cell("full"), cell("lora", "unheard"), cell("lora")], VALUES, None)
    assert clone.ran == [("full", "sst"), ("lora", "sst")]
    assert failed["g/full/sst"] == "out of luck"
    assert "'unheard' is not allowed" in failed["g/lora/unheard"]
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line.startswith("error: ")] == [
        f"error: {name}: {problem}" for name, problem in failed.items()
    ]


def test_a_setting_that_is_no_longer_allowed_stops_no_other_run(clone):
    driver.make([cell("lora")], VALUES, None)
    failed = driver.make([cell("lora", **{"lora.r": 0}), cell("head")], VALUES, None)
    assert "lora.r: 0 is not allowed" in failed["g/lora/sst"]
    assert driver.state(cell("head"), VALUES) == FINISHED


def test_a_changed_parameter_outdates_what_it_decided(clone):
    driver.make([cell("lora")], VALUES, None)
    assert driver.state(cell("lora"), VALUES) == FINISHED
    assert driver.state(cell("lora"), VALUES | {"lora": VALUES["lora"] | {"r": 3}}) == OUTDATED
    assert driver.state(cell("lora", **{"graphs.control": "empty"}), VALUES) == OUTDATED
