"""Scores of the listed seeds' runs on dev, predictions for dev and test: the files of ``reports/<task>/``."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from knotwork import adapters, provenance, tasks
from knotwork.corpora import Row
from knotwork.encoding import Example, encode
from knotwork.files import read_json, text_hash, whole_folder, write_json, write_text
from knotwork.inference import Scores, score
from knotwork.likelihood import true_continuation
from knotwork.params import Member, Params
from knotwork.prosody import measures
from knotwork.runs import Run, load_run
from knotwork.statistics import (
    CorpusScore,
    expected_calibration_error,
    generated_lines,
    given_lines,
    macro_f1,
    mean,
    perplexity,
    reliability,
    sonnet_chrf,
    standard_deviation,
)
from knotwork.tasks.task import Classification, Task

SCHEMA_VERSION = 1
COLUMNS = ["seed", "split", "id", "text_hash", "gold", "prediction", "probabilities", "nll", "tokens"]
HEADLINES = ("accuracy", "extrapolation_accuracy", "chrf_generated", "perplexity")
COSTS = ("train_seconds", "tokens_per_second", "peak_memory_mb", "padding_waste")


@dataclass(frozen=True)
class Scored:
    """A run's scores on dev and on the task's further splits, and its predictions (labels, or whole sonnets)."""

    run: Run
    examples: list[Example]
    dev: Scores
    test: Scores | None
    dev_predictions: list
    test_predictions: list
    truncated: int
    continuation: tuple[np.ndarray, np.ndarray] | None = None
    """Of sonnets: see :func:`knotwork.likelihood.true_continuation`, of dev."""
    further: dict[str, Scores] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluated:
    """What a task's runs reached: the contents of its report files, predictions by the name of their file."""

    metrics: dict[str, float]
    card: dict[str, Any]
    pictures: dict[str, Any]
    scores: pd.DataFrame
    predictions: dict[str, str]


def evaluate_task(params: Params, name: str, data: Path, runs: Path, destination: Path) -> None:
    """Evaluate the listed seeds of a task and write its report files, all or none.

    Args:
        params: the parameters.
        name: the task.
        data: folder that the earlier stages filled.
        runs: folder of the task's runs.
        destination: folder of its report files.

    Raises:
        UserError: a run is missing, or dev or test has no rows.
    """
    loaded = [load_run(runs / f"seed-{seed}") for seed in params.seeds]
    simple, untrained = (read_json(data / stage / f"{name}.json") for stage in ("baselines", "zero_shot"))
    found = {}
    for member in params.members(name):
        own = [run.member(member.task) for run in loaded]
        baseline = _baselines(simple[member.task], untrained[member.task])
        found[member.task] = _evaluate(params, member, own, data, baseline, f"evaluate@{name}")
    result = found[name] if name in found else _together(loaded[0].card, found)
    with whole_folder(destination) as aside:
        write_json(aside / "metrics.json", {"schema_version": SCHEMA_VERSION, **_rounded(result.metrics)})
        write_json(aside / "card.json", {"schema_version": SCHEMA_VERSION, **result.card})
        write_json(aside / "pictures.json", result.pictures)
        histories = [pd.read_csv(runs / f"seed-{seed}" / "history.csv") for seed in params.seeds]
        pd.concat(histories).to_csv(aside / "history.csv", index=False, lineterminator="\n")
        result.scores.to_csv(aside / "scores.tsv", sep="\t", index=False, lineterminator="\n")
        for file, text in result.predictions.items():
            write_text(aside / "predictions" / file, text)


def _evaluate(
    params: Params, member: Member, runs: list[Run], data: Path, baseline: dict[str, Any], stage: str
) -> Evaluated:
    """Score the runs of one task."""
    start = time.perf_counter()
    task, raw, graphs = tasks.get(member.task), data / "raw" / member.place, data / "graphs" / member.place
    dev, test = task.read(raw, "dev").rows, task.read(raw, "test").rows
    rows = {"dev": dev, "test": test} | {split: task.read(raw, split).rows for split in task.scored}
    scored = [_score_run(run, params, rows, graphs) for run in runs]
    if isinstance(task, Classification):
        metrics, per_seed, pictures, extra = _classified(task, scored, dev, test, params)
    else:
        training = [row.texts[0] for row in task.read(raw, "train").rows]
        metrics, per_seed, pictures, extra = _written(scored, dev, test, training, params)
        extra["verse"] |= baseline.pop("verse")
    pictures |= _adapters_own(scored[0])
    metrics |= _further(task, scored, rows, params.evaluate.bootstrap)
    metrics |= {f"baseline_{key}": value for key, value in baseline.items() if _is_score(key)}
    metrics |= adapters.get(scored[0].run.card["adapter"]).figures(graphs)
    metrics |= _costs(scored) | {"evaluate_seconds": (time.perf_counter() - start) / len(scored)}
    card = _card(params, task, scored, per_seed, baseline, rows, stage) | extra
    predictions = {
        f"seed-{item.run.card['seed']}.{split}.csv": _submission(task, rows[split], predicted)
        for item in scored
        for split, _, predicted in _splits(item)
    }
    table = pd.DataFrame(_rows(scored, rows), columns=COLUMNS, dtype=object)
    return Evaluated(metrics, card, pictures, table, predictions)


def _splits(item: Scored) -> Iterator[tuple[str, Scores | None, list]]:
    """Every split that a run answered, with scores and predictions."""
    yield "dev", item.dev, item.dev_predictions
    yield "test", item.test, item.test_predictions
    for split, scores in item.further.items():
        yield split, scores, scores.probabilities.argmax(1).tolist()


def _further(task: Task, scored: list[Scored], rows: dict[str, list[Row]], resamples: int) -> dict[str, float]:
    """Accuracy on the splits beyond dev that a task has scored, such as ``extrapolation_accuracy``."""
    scores = {}
    for split in scored[0].further:
        gold = np.array([row.label for row in rows[split]])
        answers = np.array([item.further[split].probabilities.argmax(1) for item in scored])
        scores[f"{split}_accuracy"] = mean((answers == gold).astype(float)).clustered(_clusters(task, rows[split]))
    return _intervals(scores, resamples, spread=())


def _together(run: dict[str, Any], found: dict[str, Evaluated]) -> Evaluated:
    """Several tasks as one: few metrics, and for each member what a single task's files hold."""
    metrics: dict[str, float] = {}
    for name, member in found.items():
        for key in HEADLINES:
            for end in ("", "_low", "_high"):
                if key + end in member.metrics:
                    metrics[f"{name}_{key}{end}"] = member.metrics[key + end]
    each = [member.metrics for member in found.values()]
    metrics |= {key: each[0][key] for key in ("trainable_parameters", "head_parameters", *COSTS)}
    metrics |= {key: sum(member[key] for member in each) for key in ("truncated", "evaluate_seconds")}
    stalls = {member["stalled"] for member in each}
    metrics |= {"stalled": 1 if 1 in stalls else min(stalls), "collapsed": max(m["collapsed"] for m in each)}
    first = next(iter(found.values())).card
    card = {key: first[key] for key in ("adapter", "seeds", "command", "created", "commit", "dirty")}
    members = [{"card": member.card, "metrics": _rounded(member.metrics)} for member in found.values()]
    return Evaluated(
        metrics,
        {"task": run["task"], "title": run["title"], **card, "members": members},
        {name: member.pictures for name, member in found.items()},
        pd.concat([member.scores.assign(task=name)[["task", *COLUMNS]] for name, member in found.items()]),
        {f"{name}/{file}": text for name, member in found.items() for file, text in member.predictions.items()},
    )


def _baselines(simple: dict[str, Any], untrained: dict[str, Any]) -> dict[str, Any]:
    """What simple methods and the untrained base reach, as their stages left it."""
    merged = simple | untrained
    if "verse" in merged:
        merged["verse"] = simple["verse"] | untrained["verse"]
    return merged


def _adapters_own(scored: Scored) -> dict[str, Any]:
    """The adapter's own pictures, of the first seed."""
    run = scored.run
    own = adapters.get(run.card["adapter"]).pictures(run.model, run.tokenizer, run.answer, scored.examples)
    return {"adapter": own} if own else {}


def _score_run(run: Run, params: Params, rows: dict[str, list[Row]], graphs: Path) -> Scored:
    dev, test = rows["dev"], rows["test"]
    task, length, size = run.task, run.card["max_length"], params.evaluate.batch_tokens
    adapter = adapters.get(run.card["adapter"])
    dev_examples = adapter.attach(encode(task, dev, run.tokenizer, length), graphs)
    truncated = sum(example.truncated for example in dev_examples)
    print(f"{task.title}: {run.card['adapter']}, seed {run.card['seed']}, {len(dev)} dev rows", flush=True)
    dev_scores = score(run.model, run.answer, dev_examples, size)
    if not isinstance(task, Classification):
        openings = [given_lines(row.texts[0]) for row in dev]
        continuation = true_continuation(run.model, run.answer, run.tokenizer, dev_examples, size)
        settings = params.evaluate.generation.model_dump()
        written = run.generate(openings, **settings)
        answered = run.generate([row.texts[0] for row in test], **settings)
        return Scored(run, dev_examples, dev_scores, None, written, answered, truncated, continuation)
    test_examples = adapter.attach(encode(task, test, run.tokenizer, length), graphs)
    truncated += sum(example.truncated for example in test_examples)
    test_scores = score(run.model, run.answer, test_examples, size)
    labels, answered = (scores.probabilities.argmax(1).tolist() for scores in (dev_scores, test_scores))
    further = {}
    for split in task.scored:
        examples = adapter.attach(encode(task, rows[split], run.tokenizer, length), graphs)
        truncated += sum(example.truncated for example in examples)
        further[split] = score(run.model, run.answer, examples, size)
    return Scored(run, dev_examples, dev_scores, test_scores, labels, answered, truncated, further=further)


def _classified(
    task: Classification, scored: list[Scored], dev: list[Row], test: list[Row], params: Params
) -> tuple[dict[str, float], list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """Metrics, per-seed figures, data of the pictures, and more for the card, of a classification task."""
    gold = np.array([row.label for row in dev])
    predictions = np.array([item.dev_predictions for item in scored])
    hits = predictions == gold
    probabilities = [item.dev.probabilities for item in scored]
    errors = [expected_calibration_error(each, gold) for each in probabilities]
    scores = {
        "accuracy": mean(hits.astype(float)),
        "macro_f1": macro_f1(gold, predictions),
        "nll": mean(np.array([item.dev.nll for item in scored])),
    }
    clusters = _clusters(task, dev)
    drawn = {key: value.clustered(clusters) for key, value in scores.items()}
    metrics = _intervals(drawn, params.evaluate.bootstrap, spread=("accuracy",))
    metrics["ece"] = float(np.mean(errors))
    grades = [task.level(row) for row in dev]
    levels = dict(sorted(Counter(filter(None, grades)).items()))
    # Without intervals, which would be six more lines in every diff; the card has the number of rows.
    for level in levels:
        metrics[f"accuracy_level_{level}"] = float(hits[:, np.equal(grades, level)].mean())
    per_seed = [
        {**{key: float(value.per_seed[index]) for key, value in scores.items()}, "ece": float(errors[index])}
        for index in range(len(scored))
    ]
    classes = len(task.classes)
    counts = np.zeros((classes, classes), dtype=int)
    for row in predictions:
        np.add.at(counts, (gold, row), 1)
    pictures = {
        "classes": list(task.classes),
        "confusion": counts.tolist(),
        "reliability": reliability(np.concatenate(probabilities), np.tile(gold, len(scored))),
    }
    return metrics, per_seed, pictures, {"levels": levels} if levels else {}


def _written(
    scored: list[Scored], dev: list[Row], test: list[Row], training: list[str], params: Params
) -> tuple[dict[str, float], list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """The same for sonnets.

    ``perplexity`` is of the whole true sonnets after their first token, ``perplexity_continuation`` of what follows
    their given lines; the other figures are of the generated sonnets.
    """
    truth = [row.texts[0] for row in dev]
    written = [item.dev_predictions for item in scored]
    nll, tokens = np.array([item.continuation for item in scored]).swapaxes(0, 1)
    chrf = sonnet_chrf(written, truth)
    scores = {
        **chrf,
        "perplexity": perplexity(
            np.array([item.dev.nll for item in scored]), np.array([item.dev.tokens for item in scored])
        ),
        "perplexity_continuation": perplexity(nll, tokens),
        "ten_syllables": measures.ten_syllables(written),
        "rhyme_scheme": measures.rhyme_scheme(written),
        "copied_words": measures.copied_words(written, training),
    }
    variety = [measures.distinct(texts, 2) for texts in written]
    metrics = _intervals(scores, params.evaluate.bootstrap, spread=tuple(chrf))
    metrics["distinct_2"] = float(np.mean(variety))
    per_seed = [
        {**{key: float(value.per_seed[index]) for key, value in scores.items()}, "distinct_2": variety[index]}
        for index in range(len(scored))
    ]
    examples = [
        {
            "id": row.id,
            "opening": given_lines(row.texts[0]),
            "generated": generated_lines(text),
            "truth": generated_lines(row.texts[0]) if known else None,
        }
        for rows, texts, known in (
            (dev, scored[0].dev_predictions, True),
            (test, scored[0].test_predictions, False),
        )
        for row, text in zip(rows, texts, strict=True)
    ]
    extra = {
        "chrf_signature": chrf["chrf_whole"].signature,
        "verse": {"run": measures.summary(written, training)},
    }
    return metrics, per_seed, {"examples": examples}, extra


def _clusters(task: Task, rows: list[Row]) -> list[str] | None:
    return task.clusters([row.id for row in rows])


def _intervals(scores: dict[str, CorpusScore], resamples: int, spread: tuple[str, ...]) -> dict[str, float]:
    metrics = {}
    for key, value in scores.items():
        interval = value.interval(resamples)
        metrics |= {key: interval.value, f"{key}_low": interval.low, f"{key}_high": interval.high}
        if key in spread:
            metrics[f"{key}_sd"] = value.standard_deviation
    return metrics


def _costs(scored: list[Scored]) -> dict[str, float]:
    cards = [item.run.card for item in scored]
    states = [card["training"]["stall"] for card in cards]
    stalled = 1 if "yes" in states else -1 if "not assessed" in states else 0
    return {
        "trainable_parameters": cards[0]["trainable"]["adapter"],
        "head_parameters": cards[0]["trainable"]["head"],
        **{key: float(np.mean([card["training"][key] for card in cards])) for key in COSTS},
        "truncated": cards[0]["truncated"] + scored[0].truncated,
        "stalled": stalled,
        "collapsed": int(any(card["training"]["collapse"] == "yes" for card in cards)),
    }


def _card(
    params: Params,
    task: Task,
    scored: list[Scored],
    per_seed: list[dict[str, Any]],
    baseline: dict[str, Any],
    rows: dict[str, list[Row]],
    stage: str,
) -> dict[str, Any]:
    """Everything about the runs that is not a headline figure."""
    first = scored[0].run.card
    evaluated = {
        f"evaluate.{key}": value for key, value in params.evaluate.model_dump(exclude={"generation"}).items()
    }
    evaluated |= {f"evaluate.generation.{k}": v for k, v in params.evaluate.generation.model_dump().items()}
    decided = {key: value for key, value in first["decisive"].items() if key != "seed"}
    seconds = [item.run.card["training"]["train_seconds"] for item in scored]
    return {
        "task": task.name,
        "title": task.title,
        "adapter": first["adapter"],
        "seeds": params.seeds,
        "command": f"dvc repro {stage}",
        "created": pd.Timestamp.now("UTC").isoformat(timespec="seconds"),
        **provenance.commit(),
        "machine": first["machine"],
        "versions": provenance.versions(),
        "base": {key: first["base"][key] for key in ("name", "revision", "sha256", "parameters")},
        "corpus": first["corpus"],
        "graphs": first["graphs"],
        "prompt": first["prompt"],
        "selection": first["selection"],
        "answer": first["answer"],
        "parameters": decided | evaluated,
        "rows": first["rows"] | {split: len(some) for split, some in rows.items()},
        "truncated": {"train": first["truncated"], "evaluation": scored[0].truncated},
        "trained_at": {"commit": first["commit"], "dirty": first["dirty"]},
        "per_seed": [
            {"seed": item.run.card["seed"], **figures, **item.run.card["training"]}
            for item, figures in zip(scored, per_seed, strict=True)
        ],
        "train_seconds_sd": standard_deviation(seconds),
        "evaluation_padding_waste": scored[0].dev.waste,
        "baselines": baseline,
    }


def _rows(scored: list[Scored], rows: dict[str, list[Row]]) -> list[list[Any]]:
    """A row per seed, split and example."""
    table = []
    for item in scored:
        for split, scores, predictions in _splits(item):
            for index, (row, prediction) in enumerate(zip(rows[split], predictions, strict=True)):
                text = text_hash("\n".join(row.texts))
                sonnet = row.label is None and split == "dev"
                gold = row.texts[0] if sonnet else row.label
                shares = "" if scores is None else " ".join(f"{p:.6f}" for p in scores.probabilities[index])
                known = scores is not None and split != "test"
                nll = f"{scores.nll[index]:.6f}" if known else ""
                tokens = int(scores.tokens[index]) if known else ""
                seed = item.run.card["seed"]
                table.append([seed, split, row.id, text, gold, prediction, shares, nll, tokens])
    return table


def _submission(task: Task, rows: list[Row], predictions: list) -> str:
    """The course's submission format: ``id, label`` lines, or numbered sonnets."""
    if isinstance(task, Classification):
        lines = [f"{row.id}, {prediction} \n" for row, prediction in zip(rows, predictions, strict=True)]
        return f"id \t {task.submission} \n" + "".join(lines)
    blocks = [f"\n{row.id}\n{text}\n\n" for row, text in zip(rows, predictions, strict=True)]
    return "--Generated Sonnets-- \n\n" + "".join(blocks)


def _is_score(key: str) -> bool:
    return key not in ("rows", "rows_all", "draws") and not key.endswith(("_low", "_high"))


def _rounded(metrics: dict[str, float]) -> dict[str, float]:
    """Six significant digits: what a diff can show."""
    return {key: value if isinstance(value, int) else float(f"{value:.6g}") for key, value in metrics.items()}
