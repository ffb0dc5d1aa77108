"""Kept results hold labels and figures, and no text of the corpus."""

import json

import pandas as pd
import pytest

from knotwork.errors import UserError
from knotwork.files import text_hash
from knotwork.study.keep import keep, without_texts

SONNET = 'Shall I compare thee\nto a "summer\'s" day?\tNo'


@pytest.fixture
def reports(tmp_path):
    """Report files of a task whose gold answers are a text, a label, and unknown."""
    folder = tmp_path / "reports"
    (folder / "predictions").mkdir(parents=True)
    (folder / "predictions/seed-1.dev.csv").write_text("id, label\n", encoding="utf-8")
    for name in ("metrics.json", "history.csv"):
        (folder / name).write_text("{}", encoding="utf-8")
    (folder / "card.json").write_text('{"task": "t", "command": "dvc repro"}', encoding="utf-8")
    examples = [{"id": "1", "opening": "Shall", "generated": "we", "truth": SONNET}]
    pictures = {"examples": examples, "adapter": {"attention": {"layers": [0], "examples": [{"tokens": ["a"]}]}}}
    (folder / "pictures.json").write_text(json.dumps(pictures), encoding="utf-8")
    scores = {"id": ["1", "2", "3"], "gold": [SONNET, "4", ""], "prediction": ["NA", "4\n5", ""]}
    pd.DataFrame(scores).to_csv(folder / "scores.tsv", sep="\t", index=False, lineterminator="\n")
    return folder


def test_true_texts_become_their_hashes_and_all_else_stays(reports, tmp_path):
    keep(reports, tmp_path / "kept", {"command": "make study", "settings": {"a": 1}})
    scores = pd.read_csv(tmp_path / "kept/scores.tsv", sep="\t", dtype=str, keep_default_na=False)
    assert scores["gold"].tolist() == [text_hash(SONNET), "4", ""]
    assert scores["prediction"].tolist() == ["NA", "4\n5", ""]
    assert scores["id"].tolist() == ["1", "2", "3"]
    card = json.loads((tmp_path / "kept/card.json").read_text(encoding="utf-8"))
    assert card == {"task": "t", "command": "make study", "settings": {"a": 1}}
    assert (tmp_path / "kept/predictions/seed-1.dev.csv").is_file()
    kept = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "kept").rglob("*") if path.is_file())
    assert "summer" not in kept


def test_pictures_without_texts():
    assert without_texts({"classes": ["a"], "adapter": {"splines": 1}}) == {
        "classes": ["a"],
        "adapter": {"splines": 1},
    }
    attention = {"layers": [0], "kinds": [1], "examples": [{"tokens": ["a"]}]}
    kept = without_texts({"examples": [{"opening": "o", "truth": "t"}], "adapter": {"attention": attention}})
    assert kept["examples"] == [{"opening": "o", "truth": None}]
    assert kept["adapter"]["attention"] == {"layers": [0], "kinds": [1], "examples": []}
    assert attention["examples"]


def test_nothing_is_kept_of_broken_results(reports, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/metrics.json").write_text("old", encoding="utf-8")
    (reports / "card.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="not valid JSON"):
        keep(reports, tmp_path / "kept", {})
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["metrics.json"]
