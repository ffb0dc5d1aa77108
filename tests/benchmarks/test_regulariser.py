"""Gaps and spectra on the smallest base."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pandas as pd
import pytest
import regulariser
import torch

from knotwork import models
from knotwork.adapters.architectures import blocks_of
from knotwork.answers import Score


def measure(monkeypatch):
    few = {name: regulariser.VARIANTS[name] for name in ("lora", "full")}
    monkeypatch.setattr(regulariser, "VARIANTS", few)
    monkeypatch.setattr(sys, "argv", ["regulariser.py", "--rows", "24"])
    regulariser.main()


def test_tables_figure_and_card(project, monkeypatch):
    measure(monkeypatch)
    out = Path("reports/study/regulariser")
    gaps, spectrum = (pd.read_csv(out / f"regulariser-{name}.csv") for name in ("gaps", "spectrum"))
    assert gaps["variant"].tolist() == ["lora", "full"]
    differences = (gaps["train_accuracy"] - gaps["dev_accuracy"]).tolist()
    assert gaps["accuracy_gap"].tolist() == pytest.approx(differences, abs=1e-5)
    assert (
        spectrum.groupby("block")["matrix"].apply(set).tolist()
        == [{"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"}] * 2
    )
    assert spectrum["share_in_rank_16"].between(0, 1).all()
    assert (spectrum["relative_change"] > 0).all()
    card = json.loads((out / "regulariser.json").read_text(encoding="utf-8"))
    assert card["command"] == "python benchmarks/regulariser.py --task sst --rows 24 --seeds 1"
    assert ElementTree.parse(out / "regulariser.svg").getroot().attrib["aria-label"].startswith("Accuracy")
    assert not regulariser.RUNS.exists()


def test_an_interrupted_command_goes_on(project, monkeypatch):
    trained, train = [], regulariser.train_run

    def counted(*arguments):
        trained.append(arguments[0].adapter)
        train(*arguments)

    monkeypatch.setattr(regulariser, "train_run", counted)

    def stops(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(regulariser, "spectrum", stops)
        with pytest.raises(KeyboardInterrupt):
            measure(monkeypatch)
    assert trained == ["lora", "full"]
    measure(monkeypatch)
    assert trained == ["lora", "full"]
    assert Path("reports/study/regulariser/regulariser.json").is_file()


def test_a_change_of_one_direction_has_rank_one(monkeypatch, tiny_base):
    """What is measured is the change, not the weights."""
    answer = Score(0, 5)
    model = models.fresh_base(tiny_base, answer, 512, 1)()
    with torch.no_grad():
        for weight in blocks_of(model).parameters():
            if weight.dim() == 2:
                weight += torch.outer(torch.ones(weight.shape[0]), torch.linspace(0, 0.1, weight.shape[1]))
    card = {"base": {"path": str(tiny_base), "revision": None}, "max_length": 512, "seed": 1}
    found = regulariser.spectrum(SimpleNamespace(model=model, answer=answer, card=card), 4)
    assert (found["rank_of_90_percent"] == 1).all()
    assert found["effective_rank"].tolist() == pytest.approx([1.0] * len(found), rel=1e-3)
