"""Formulas through the stages: as a task alone, and beside one of language as members of multitask."""

import runpy
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from knotwork.compare import Output, compare
from knotwork.files import read_json
from knotwork.params import load_params
from knotwork.report.read import read_results

from .conftest import REPOSITORY, SMALL, change

ROWS = {"train": 48, "dev": 36, "test": 4, "extrapolation": 12}
SETTINGS = SMALL | {
    "tasks": ["symbolic", "multitask"],
    "multitask.members": ["sst", "symbolic"],
    "symbolic": {"seed": 0, "rows": ROWS, "depth": 5, "extrapolation_depth": 7},
}
BEFORE_TRAINING = ("download", "parse", "graphs", "baseline", "zero_shot")


def run(stage: str, *arguments: str) -> None:
    """Run a stage's script in the current folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"stages/{stage}.py", *arguments])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(REPOSITORY / f"stages/{stage}.py"))
        assert end.value.code == 0


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which both tasks ran through every stage."""
    home = tmp_path_factory.mktemp("formulas")
    shutil.copyfile(REPOSITORY / "params.yaml", home / "params.yaml")
    change(home / "params.yaml", SETTINGS)
    for name in ("assets", "data/sample"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).symlink_to(REPOSITORY / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        run("identify")
        for task in SETTINGS["tasks"]:
            for stage in BEFORE_TRAINING:
                run(stage, task)
            run("train", task, "1")
            run("evaluate", task)
        run("report")
    return home


def test_a_members_formulas_are_those_of_the_task_alone(project: Path) -> None:
    alone, member = project / "data/raw/symbolic", project / "data/raw/multitask/symbolic"
    made, own = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in (member, alone))
    assert made == own
    assert made.keys() == {f"{split}.csv" for split in ROWS}


def test_what_makes_the_formulas_is_told_to_whoever_uses_them(project: Path) -> None:
    settings = {"symbolic.seed": 0, "symbolic.depth": 5, "symbolic.extrapolation_depth": 7}
    settings |= {f"symbolic.rows.{split}": count for split, count in ROWS.items()}
    for task in SETTINGS["tasks"]:
        files = (project / f"data/identity/tasks/{task}/rows.json", project / f"models/{task}/seed-1/run.json")
        told, run = map(read_json, files)
        for found in (told, run["decisive"]):
            assert {key: value for key, value in found.items() if key.startswith("symbolic.")} == settings


def test_levels_and_extrapolation_are_shares_of_the_rows_in_the_table(project: Path) -> None:
    metrics = read_json(project / "reports/symbolic/metrics.json")
    table = pd.read_csv(project / "reports/symbolic/scores.tsv", sep="\t")
    right = table["gold"] == table["prediction"]
    dev, deeper = table["split"] == "dev", table["split"] == "extrapolation"
    by_level = right[dev].groupby(table["id"].str[0]).mean()
    assert len(by_level) == 3
    found = {key: value for key, value in metrics.items() if key.startswith("accuracy_level")}
    assert found == pytest.approx({f"accuracy_level_{level}": share for level, share in by_level.items()}, abs=1e-5)
    assert metrics["extrapolation_accuracy"] == pytest.approx(right[deeper].mean(), abs=1e-5)
    levels = table[dev]["id"].str[0].value_counts().to_dict()
    assert read_json(project / "reports/symbolic/card.json")["levels"] == levels
    assert sum(levels.values()) == ROWS["dev"]


def test_multitask_has_few_metrics_and_a_member_all_of_them(project: Path) -> None:
    metrics = read_json(project / "reports/multitask/metrics.json")
    headlines = {key for key in metrics if key.startswith(("sst_", "symbolic_"))}
    names = ("sst_accuracy", "symbolic_accuracy", "symbolic_extrapolation_accuracy")
    assert headlines == {f"{name}{end}" for name in names for end in ("", "_low", "_high")}
    sst, symbolic = read_results(project / "reports/multitask")
    (alone,) = read_results(project / "reports/symbolic")
    assert symbolic.metrics.model_dump().keys() == alone.metrics.model_dump().keys() - {"schema_version"}
    assert (symbolic.card.levels, symbolic.card.rows) == (alone.card.levels, alone.card.rows)
    assert sst.metrics.extrapolation_accuracy is None
    assert sst.card.levels == {}
    assert "accuracy_level_1" not in read_json(project / "reports/multitask/card.json")["members"][0]["metrics"]


def test_compare_tests_the_member_against_the_task_alone(project: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(project)
    compare(["reports"], Output(html=project / "page.html"))
    assert "Level: a part of dev" in capsys.readouterr().out
    tests = pd.read_csv(project / "page/differences.csv").set_index(["task", "measure"])
    assert tests.index.tolist() == [("symbolic", "accuracy"), ("symbolic", "extrapolation_accuracy")]
    assert set(tests["test"]) == {"paired bootstrap"}  # of groups
    assert set(zip(tests["run"], tests["against"], strict=True)) == {("reports/multitask", "reports")}
    assert tests["p_holm"].between(0, 1).all()
    assert "Extrapolation against dev, points" in (project / "page.html").read_text(encoding="utf-8")


def test_the_report_shows_the_levels(project: Path) -> None:
    text = (project / "reports/report.html").read_text(encoding="utf-8")
    assert text.count("Accuracy by difficulty.") == 2
    assert 'id="task-multitask-symbolic"' in text


def test_a_run_answers_formulas_beside_reviews(project: Path, monkeypatch) -> None:
    import knotwork

    monkeypatch.chdir(project)
    found = knotwork.load_run("models/multitask")
    (prediction,) = found.predict([("2 * x + x", "3 * x")], task="symbolic")
    assert prediction.name in ("different", "equal")
    assert len(found.predict(["A warm film."], task="sst")[0].probabilities) == 5


def test_other_rows_are_made_anew(project: Path, tmp_path: Path, monkeypatch) -> None:
    """A stage that goes on from what another setting left writes what its own setting says."""
    shutil.copytree(project, tmp_path / "home", symlinks=True)
    monkeypatch.chdir(tmp_path / "home")
    change(Path("params.yaml"), {"symbolic.seed": 1})
    before = Path("data/raw/multitask/symbolic/dev.csv").read_bytes()
    assert load_params().symbolic.seed == 1
    run("identify")
    run("download", "multitask")
    assert Path("data/raw/multitask/symbolic/dev.csv").read_bytes() != before
    assert read_json(Path("data/identity/tasks/multitask/rows.json"))["symbolic.seed"] == 1
