from knotwork.report.comparison.data import frames

from .study import Study, right_on


def test_every_figure_has_its_data(three: Study) -> None:
    comparison = three.compare("lora", "full", "head")
    found = frames(comparison)
    scores = found["scores.csv"].set_index(["task", "measure", "run"])
    assert len(scores) == 3 + 2 + 3 + 3
    assert scores.loc[("sst", "accuracy", "full"), "value"] == 53 / 60
    differences = found["differences.csv"].set_index(["task", "measure", "run"])
    row = differences.loc[("sst", "accuracy", "full")]
    assert (row["only_run_right"], row["only_other_right"], row["test"]) == (24, 1, "exact McNemar")
    assert row["against"] == "lora"
    assert differences.loc[("sonnet", "perplexity", "full"), "test"] == "paired bootstrap"
    assert set(found["costs.csv"].columns) >= {"run", "train_seconds", "peak_memory_mb", "trainable_parameters"}
    assert len(found["curves.csv"]) == 8 * 4
    confusion = found["confusion.csv"].set_index(["task", "run", "true", "answer"])
    assert confusion.loc[("quora", "full", "different", "different"), "count"] == 8
    disagreements = found["disagreements.csv"]
    assert len(disagreements[disagreements["task"] == "sst"]) == 25 * 3


def test_extrapolation_is_in_scores_and_differences(study: Study) -> None:
    for run in ("a", "b"):
        study.classes(run, "sst", right_on(1))
        study.deeper(run, "sst", right_on(*range(10 if run == "b" else 0), examples=20))
    found = frames(study.compare("a", "b"))
    scores = found["scores.csv"].set_index(["measure", "run"])
    assert scores.loc[("extrapolation_accuracy", "b"), "value"] == 0.5
    (row,) = found["differences.csv"].query("measure == 'extrapolation_accuracy'").to_dict("records")
    assert (row["run"], row["against"], row["test"], row["only_other_right"]) == ("b", "a", "exact McNemar", 10)


def test_nothing_to_show_gives_headers_or_no_file(study: Study) -> None:
    study.classes("a", "sst", right_on(1))
    study.classes("b", "sst", right_on(1))
    study.change_card("b", "sst", base={"sha256": "other"})
    found = frames(study.compare("a", "b"))
    assert len(found["differences.csv"]) == len(found["disagreements.csv"]) == 0
    assert "p_holm" in found["differences.csv"].columns
    for run in ("a", "b"):
        history = study.root / run / "sst" / "history.csv"
        history.write_text(history.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    assert "curves.csv" not in frames(study.compare("a", "b"))
