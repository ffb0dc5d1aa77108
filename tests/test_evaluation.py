import json
import math
import shutil

import pandas as pd
import pytest

from knotwork import evaluation
from knotwork.errors import UserError
from knotwork.evaluation import evaluate_task
from knotwork.files import read_json, write_json
from knotwork.runs import load_run
from knotwork.training.run import train_run

SMALL = {
    "evaluate.bootstrap": 100,
    "evaluate.generation.max_new_tokens": 20,
    "train.epochs.sst": 1,
    "train.epochs.sonnet": 1,
}
COSTS = {
    "trainable_parameters",
    "head_parameters",
    "train_seconds",
    "evaluate_seconds",
    "tokens_per_second",
    "peak_memory_mb",
    "padding_waste",
    "truncated",
    "stalled",
    "collapsed",
}
BASELINES = {
    "sst": {"largest_class": 0.25, "tfidf": 0.4, "tfidf_all_rows": 0.5, "rows": 48, "rows_all": 48},
    "sonnet": {
        "random_sonnet_chrf_whole": 30.0,
        "random_sonnet_chrf_whole_low": 29.0,
        "random_sonnet_chrf_whole_high": 31.0,
        "random_sonnet_chrf_generated": 20.0,
        "random_sonnet_chrf_generated_low": 19.0,
        "random_sonnet_chrf_generated_high": 21.0,
        "draws": 50,
        "verse": {"true": {"ten_syllables": 0.9}},
    },
}
ZERO_SHOT = {
    "sst": {"zero_shot": 0.2},
    "sonnet": {"zero_shot_perplexity": 200.0, "verse": {"zero_shot": {"ten_syllables": 0.1}}},
}
FILES = {"metrics.json", "card.json", "history.csv", "scores.tsv", "pictures.json", "predictions"}


def ranged(*keys):
    return {f"{key}{end}" for key in keys for end in ("", "_low", "_high")}


@pytest.fixture(scope="module")
def project(data, parameters, tmp_path_factory):
    """Runs of sst with the seeds 1 and 2, a run of sonnet, baselines, and the evaluation of both tasks."""
    home = tmp_path_factory.mktemp("evaluation")
    shutil.copytree(data, home / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for task, seeds in {"sst": [1, 2], "sonnet": [1]}.items():
            params = parameters({**SMALL, "seeds": seeds})
            for seed in seeds:
                place = home / "models" / task / f"seed-{seed}"
                train_run(params, task, seed, data, place)
            write_json(home / f"data/baselines/{task}.json", {task: BASELINES[task]})
            write_json(home / f"data/zero_shot/{task}.json", {task: ZERO_SHOT[task]})
            evaluated(home, params, task)
    return home


def evaluated(home, params, task, destination="reports", data="data"):
    place = home / destination / task
    evaluate_task(params, task, home / data, home / "models" / task, place)
    return place


@pytest.mark.parametrize("task", ["sst", "sonnet"])
def test_files(project, task):
    folder = project / "reports" / task
    assert {path.name for path in folder.iterdir()} == FILES
    seeds = (1, 2) if task == "sst" else (1,)
    expected = {f"seed-{seed}.{split}.csv" for seed in seeds for split in ("dev", "test")}
    assert {path.name for path in (folder / "predictions").iterdir()} == expected


def test_metrics_of_a_classification(project):
    metrics = read_json(project / "reports/sst/metrics.json")
    scores = ranged("accuracy", "macro_f1", "nll") | {"accuracy_sd", "ece"}
    baselines = {f"baseline_{name}" for name in ("largest_class", "tfidf", "tfidf_all_rows", "zero_shot")}
    assert metrics.keys() == {"schema_version"} | scores | baselines | COSTS
    assert all(isinstance(value, int | float) for value in metrics.values())
    assert metrics["schema_version"] == 1
    for key in ("accuracy", "macro_f1", "nll"):
        assert metrics[f"{key}_low"] <= metrics[key] <= metrics[f"{key}_high"]
    assert 0 <= metrics["ece"] <= 1
    assert metrics["baseline_tfidf"] == 0.4
    assert metrics["stalled"] == -1


def test_metrics_of_sonnets(project):
    metrics = read_json(project / "reports/sonnet/metrics.json")
    ranges = "chrf_whole", "chrf_generated", "perplexity", "perplexity_continuation"
    ranges += "ten_syllables", "rhyme_scheme", "copied_words"
    baselines = {f"baseline_{key}" for key in ("random_sonnet_chrf_whole", "random_sonnet_chrf_generated")}
    scores = ranged(*ranges) | {"chrf_whole_sd", "chrf_generated_sd", "distinct_2", "baseline_zero_shot_perplexity"}
    assert metrics.keys() == {"schema_version"} | scores | baselines | COSTS
    for key in ranges:
        assert metrics[f"{key}_low"] <= metrics[key] <= metrics[f"{key}_high"]
    # Three of the lines are given.
    assert metrics["chrf_whole"] > metrics["chrf_generated"]


def test_scores(project, data):
    table = pd.read_csv(project / "reports/sst/scores.tsv", sep="\t", dtype={"id": str})
    assert list(table.columns) == [
        "seed", "split", "id", "text_hash", "gold", "prediction", "probabilities", "nll", "tokens"
    ]  # fmt: skip
    assert table.groupby(["seed", "split"]).size().to_dict() == {
        (seed, split): rows for seed in (1, 2) for split, rows in (("dev", 12), ("test", 6))
    }
    dev, test = table[table["split"] == "dev"], table[table["split"] == "test"]
    assert test[["gold", "nll", "tokens"]].isna().all(axis=None)
    shares = dev["probabilities"].str.split(" ", expand=True).astype(float)
    assert shares.sum(axis=1).tolist() == pytest.approx([1] * 24, abs=1e-5)
    assert shares.idxmax(axis=1).tolist() == dev["prediction"].astype(int).tolist()
    assert dev["id"].tolist() == 2 * [
        line.split("\t")[1] for line in (data / "raw/sst/dev.csv").read_text().splitlines()[1:]
    ]
    assert table["text_hash"].str.fullmatch("[0-9a-f]{16}").all()
    # The rows are what the metrics are made of.
    metrics = read_json(project / "reports/sst/metrics.json")
    assert (dev["gold"] == dev["prediction"]).mean() == pytest.approx(metrics["accuracy"], abs=1e-5)
    assert dev["nll"].mean() == pytest.approx(metrics["nll"], abs=1e-4)


def test_scores_of_sonnets(project):
    table = pd.read_csv(project / "reports/sonnet/scores.tsv", sep="\t", keep_default_na=False)
    assert set(table["split"]) == {"dev", "test"}
    dev, test = table[table["split"] == "dev"], table[table["split"] == "test"]
    assert dev["gold"].str.count("\n").tolist() == [13] * len(dev)
    assert (test["gold"] == "").all()
    assert (table["probabilities"] == "").all()
    for gold, prediction in zip(dev["gold"], dev["prediction"], strict=True):
        assert prediction.split("\n")[:3] == gold.split("\n")[:3]


def test_submissions(project, data):
    lines = (project / "reports/sst/predictions/seed-1.test.csv").read_text().split("\n")
    assert lines[0] == "id \t Predicted_Sentiment "
    assert lines[-1] == ""
    rows = (data / "raw/sst/test.csv").read_text().splitlines()[1:]
    assert len(lines) == len(rows) + 2
    for line in lines[1:-1]:
        identifier, label = line.split(", ")
        assert any(identifier in row.split("\t") for row in rows)
        assert int(label) in range(5)
    text = (project / "reports/sonnet/predictions/seed-1.test.csv").read_text()
    assert text.startswith("--Generated Sonnets-- \n\n\n")
    opening = (data / "raw/sonnet/test.txt").read_text().split("\n\n")[-1].strip().split("\n")[-1]
    assert opening.strip() in text


def test_card(project, parameters):
    card = read_json(project / "reports/sst/card.json")
    keys = {
        "schema_version", "task", "adapter", "seeds", "title", "command", "commit", "dirty", "created", "machine",
        "versions", "base", "corpus", "graphs", "prompt", "selection", "answer", "parameters", "rows", "truncated",
        "per_seed", "baselines",
    }  # fmt: skip
    assert keys <= card.keys()
    assert (card["task"], card["adapter"], card["seeds"]) == ("sst", "lora", [1, 2])
    assert card["rows"] == {"train_all": 48, "train": 36, "selection": 12, "skipped": 0, "dev": 12, "test": 6}
    assert card["corpus"]["files"].keys() == {"train", "dev", "test"}
    assert card["baselines"] == BASELINES["sst"] | ZERO_SHOT["sst"]
    assert card["parameters"]["lora.r"] == 16
    assert card["parameters"]["evaluate.bootstrap"] == 100
    assert card["parameters"]["evaluate.generation.top_p"] == 0.9
    seed_keys = {
        "seed", "accuracy", "macro_f1", "nll", "ece", "selection_metric", "best_epoch", "epochs", "steps",
        "train_seconds", "tokens_per_second", "peak_memory_mb", "padding_waste", "stall", "collapse", "reasons",
    }  # fmt: skip
    for seed, figures in zip((1, 2), card["per_seed"], strict=True):
        assert seed_keys <= figures.keys()
        assert figures["seed"] == seed
    metrics = read_json(project / "reports/sst/metrics.json")
    mean = sum(figures["accuracy"] for figures in card["per_seed"]) / 2
    assert metrics["accuracy"] == pytest.approx(mean, abs=1e-5)
    sonnets = read_json(project / "reports/sonnet/card.json")
    assert "chrF" in sonnets["chrf_signature"] or "nc:" in sonnets["chrf_signature"]
    assert sonnets["verse"].keys() == {"run", "true", "zero_shot"}
    assert sonnets["verse"]["true"] == {"ten_syllables": 0.9}
    metrics = read_json(project / "reports/sonnet/metrics.json")
    for key in ("ten_syllables", "rhyme_scheme", "copied_words", "distinct_2"):
        assert sonnets["verse"]["run"][key] == pytest.approx(metrics[key], abs=1e-5)
        assert sonnets["per_seed"][0][key] == pytest.approx(metrics[key], abs=1e-5)


def test_perplexity_of_the_continuation(project, data):
    """Of the tokens after the given lines alone, each seen after all before it, text by text."""
    run = load_run(project / "models/sonnet/seed-1")
    nll, tokens = 0.0, 0
    for row in run.task.read(data / "raw/sonnet", "dev").rows:
        ids = [*run.tokenizer(row.texts[0])["input_ids"], run.tokenizer.eos_token_id]
        given = len(run.tokenizer("\n".join(row.texts[0].split("\n")[:3]) + "\n")["input_ids"])
        steps = run.logits(ids).log_softmax(-1)
        nll -= sum(float(steps[place - 1, ids[place]]) for place in range(given, len(ids)))
        tokens += len(ids) - given
    metrics = read_json(project / "reports/sonnet/metrics.json")
    assert metrics["perplexity_continuation"] == pytest.approx(math.exp(nll / tokens), rel=1e-4)


def test_pictures(project):
    pictures = read_json(project / "reports/sst/pictures.json")
    assert pictures.keys() == {"classes", "confusion", "reliability"}
    assert len(pictures["classes"]) == 5
    assert sum(map(sum, pictures["confusion"])) == 2 * 12
    assert all(bin.keys() == {"low", "high", "confidence", "accuracy", "count"} for bin in pictures["reliability"])
    assert sum(bin["count"] for bin in pictures["reliability"]) == 2 * 12
    examples = read_json(project / "reports/sonnet/pictures.json")["examples"]
    assert all(example.keys() == {"id", "opening", "generated", "truth"} for example in examples)
    assert {example["truth"] is None for example in examples} == {True, False}
    assert all(example["opening"].count("\n") == 2 for example in examples)


def test_history(project):
    history = pd.read_csv(project / "reports/sst/history.csv")
    assert history["seed"].tolist() == [1, 2]


def test_listed_seeds_alone(project, data, parameters):
    """A run that is no longer listed is not even opened."""
    card = project / "models/sst/seed-2/run.json"
    kept = card.read_bytes()
    card.write_text("not a card")
    try:
        place = evaluated(project, parameters({**SMALL, "seeds": [1]}), "sst", "one")
    finally:
        card.write_bytes(kept)
    assert read_json(place / "card.json")["seeds"] == [1]
    assert {path.name for path in (place / "predictions").iterdir()} == {"seed-1.dev.csv", "seed-1.test.csv"}
    assert read_json(place / "metrics.json")["accuracy_sd"] == 0


def test_it_says_the_same_twice(project, data, parameters):
    """Every figure but times is decided by the runs and the parameters."""
    again = evaluated(project, parameters({**SMALL, "seeds": [1]}), "sonnet", "again")
    for name in ("scores.tsv", "pictures.json", "history.csv", "predictions/seed-1.dev.csv"):
        assert (again / name).read_bytes() == (project / "reports/sonnet" / name).read_bytes()


def test_a_missing_run(project, data, parameters, tmp_path):
    with pytest.raises(UserError, match=r"seed-3: no trained run there"):
        evaluated(project, parameters({**SMALL, "seeds": [1, 3]}), "sst", tmp_path)
    assert list(tmp_path.rglob("*")) == []


def test_a_failure_keeps_the_old_files(project, data, parameters, monkeypatch, tmp_path):
    shutil.copytree(project / "reports/sst", tmp_path / "sst")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evaluation, "write_text", full)
    with pytest.raises(UserError, match="No space left on device"):
        evaluated(project, parameters({**SMALL, "seeds": [1]}), "sst", tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "row, message", [("", "no row after the header"), ("0\tx1\tA film.\t\n", "no row with a label")]
)
def test_dev_without_rows(project, data, parameters, tmp_path, row, message):
    shutil.copytree(data / "raw/sst", tmp_path / "raw/sst")
    for kind in ("baselines", "zero_shot"):
        shutil.copytree(project / "data" / kind, tmp_path / kind)
    dev = tmp_path / "raw/sst/dev.csv"
    dev.write_text(dev.read_text().splitlines(keepends=True)[0] + row)
    with pytest.raises(UserError, match=message):
        evaluated(project, parameters({**SMALL, "seeds": [1]}), "sst", tmp_path / "reports", data=tmp_path)
    assert not (tmp_path / "reports").exists()


def test_numbers_are_plain_json(project):
    """No NaN or infinity, which other readers of JSON refuse."""

    def refuse(name):
        raise AssertionError(name)

    for path in (project / "reports").rglob("*.json"):
        json.loads(path.read_text(), parse_constant=refuse)
