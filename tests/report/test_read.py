import pytest

from knotwork.errors import UserError
from knotwork.report.read import (
    ClassificationMetrics,
    SonnetMetrics,
    read_history,
    read_task,
    read_timings,
)

from .conftest import Results


def one_line(error: pytest.ExceptionInfo, *parts: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


def test_the_kind_of_a_task_follows_from_its_metrics(four_tasks: Results) -> None:
    sst, sonnet = read_task(four_tasks.reports / "sst"), read_task(four_tasks.reports / "sonnet")
    assert isinstance(sst.metrics, ClassificationMetrics)
    assert isinstance(sonnet.metrics, SonnetMetrics)
    assert sst.metrics.accuracy == 0.483
    assert sst.pictures.classes[2] == "neutral"
    assert len(sst.history) == 4
    assert sonnet.pictures.examples[1].truth is None


def test_a_faithful_variant_has_its_own_name(results: Results) -> None:
    results.add("sst")
    results.change("sst", "card.json", parameters={"lora.faithful": True})
    assert read_task(results.reports / "sst").adapter == "faithful LoRA"


@pytest.mark.parametrize("selection", ["dev", "0.1", 0.1])
def test_selection_is_a_fraction_or_dev(results: Results, selection: object) -> None:
    results.add("sst")
    results.change("sst", "card.json", selection=selection)
    result = read_task(results.reports / "sst")
    assert result.card.selection == ("dev" if selection == "dev" else 0.1)
    assert result.selected_on_dev == (selection == "dev")


@pytest.mark.parametrize("name", ["metrics.json", "card.json", "pictures.json", "history.csv"])
def test_a_missing_file_is_named(results: Results, name: str) -> None:
    results.add("sst")
    (results.reports / "sst" / name).unlink()
    with pytest.raises(UserError) as error:
        read_task(results.reports / "sst")
    one_line(error, f"sst/{name}", "dvc repro")


@pytest.mark.parametrize("name", ["metrics.json", "card.json", "pictures.json"])
@pytest.mark.parametrize("text", ['{"schema_version": 1', "[1]", b"\xff\xfe"])
def test_broken_json_is_named(results: Results, name: str, text: str | bytes) -> None:
    results.add("sst")
    (results.reports / "sst" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as error:
        read_task(results.reports / "sst")
    one_line(error, f"sst/{name}", "dvc repro")


@pytest.mark.parametrize("name", ["metrics.json", "card.json"])
@pytest.mark.parametrize("version", [2, "1", None])
def test_another_schema_version_is_named(results: Results, name: str, version: object) -> None:
    results.add("sst")
    results.change("sst", name, schema_version=version)
    with pytest.raises(UserError) as error:
        read_task(results.reports / "sst")
    one_line(error, f"sst/{name}", f"schema_version is {version}", "reads 1", "dvc repro")


@pytest.mark.parametrize(
    "name, changes, parts",
    [
        ("metrics.json", {"accuracy": "high"}, ["accuracy", "number"]),
        ("metrics.json", {"nll": float("nan")}, ["nll", "finite"]),
        ("card.json", {"seeds": []}, ["seeds"]),
        ("card.json", {"task": "quora"}, ["'quora'", "'sst'"]),
        ("card.json", {"selection": "some"}, ["selection"]),
        ("pictures.json", {"classes": ["a", "b"]}, ["2 x 2"]),
    ],
)
def test_a_wrong_value_is_named(results: Results, name: str, changes: dict, parts: list[str]) -> None:
    results.add("sst")
    results.change("sst", name, **changes)
    with pytest.raises(UserError) as error:
        read_task(results.reports / "sst")
    one_line(error, f"sst/{name}", "dvc repro", *parts)


def test_an_absent_value_is_named(results: Results) -> None:
    results.add("sst")
    results.write("sst", "metrics.json", {"schema_version": 1, "accuracy": 0.5})
    with pytest.raises(UserError) as error:
        read_task(results.reports / "sst")
    one_line(error, "metrics.json: trainable_parameters")


def test_metrics_of_no_known_kind_are_refused(results: Results) -> None:
    results.add("sst")
    results.write("sst", "metrics.json", {"schema_version": 1, "bleu": 3.0})
    with pytest.raises(UserError) as error:
        read_task(results.reports / "sst")
    one_line(error, "metrics.json", "`accuracy`")


def test_keys_of_a_later_version_do_no_harm(results: Results) -> None:
    results.add("sst")
    results.change("sst", "metrics.json", brier=0.2)
    results.change("sst", "card.json", mood="calm")
    assert read_task(results.reports / "sst").metrics.accuracy == 0.483


@pytest.mark.parametrize(
    "text, parts",
    [
        ("", ["not valid CSV"]),
        ("seed,epoch\n1,1\n", ["'step'"]),
        ("seed,epoch,step,train_loss,selection_loss,selection_metric\n1,1,9,low,1,1\n", ["row 1", "'low'"]),
        ('seed,epoch\n"1,2\n', ["not valid CSV"]),
    ],
)
def test_a_broken_history_is_named(results: Results, text: str, parts: list[str]) -> None:
    results.add("sst")
    path = results.reports / "sst" / "history.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_history(path)
    one_line(error, "history.csv", "dvc repro", *parts)


def test_timings_know_their_stage_task_and_seed(results: Results) -> None:
    for stage in ("train-sst-1", "evaluate-sst", "report"):
        results.time(stage, 2.5)
    found = [(t.stage, t.task, t.seed, t.seconds) for t in read_timings(results.timings)]
    assert found == [("evaluate", "sst", None, 2.5), ("report", None, None, 2.5), ("train", "sst", 1, 2.5)]


def test_absent_timings_are_none(results: Results) -> None:
    assert read_timings(results.timings) == []


@pytest.mark.parametrize("name, text", [("train.json", "{}"), ("train.json", "{"), ("a b.json", '{"seconds": 1}')])
def test_broken_timings_are_named(results: Results, name: str, text: str) -> None:
    results.timings.mkdir()
    (results.timings / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_timings(results.timings)
    one_line(error, name, "delete")
