"""The data of a page's figures as tables, one CSV file each, in the units of ``metrics.json``."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from knotwork.report.paper import PAPER
from knotwork.report.read import HISTORY_COLUMNS, TaskResult

SCORES, CURVES, CONFUSION, CALIBRATION = "scores.csv", "curves.csv", "confusion.csv", "calibration.csv"
FUNCTIONS, STRENGTH, PRUNING = "spline-functions.csv", "spline-strength.csv", "spline-pruning.csv"
EDGES, KINDS, LABELS = "attention-edges.csv", "attention-kinds.csv", "attention-labels.csv"

Keys = dict[str, str]
"""Columns that say whose rows these are: the task, and in a comparison the run."""


def frames(results: Iterable[TaskResult]) -> dict[str, pd.DataFrame]:
    """The data of one run's figures by file name."""
    results = list(results)
    keyed = [({"task": result.key}, result) for result in results]
    scores = [keys | row for keys, result in keyed for row in _scores(result)]
    return {SCORES: pd.DataFrame(scores), **pictured(keyed)}


def pictured(keyed: Iterable[tuple[Keys, TaskResult]]) -> dict[str, pd.DataFrame]:
    """Curves, and what ``pictures.json`` holds, by file name; files that would be empty are left out."""
    keyed = list(keyed)
    kinds: dict[str, Callable[[TaskResult], Iterator[dict[str, Any]]]] = {
        CURVES: lambda result: iter(result.history[list(HISTORY_COLUMNS)].to_dict("records")),
        CONFUSION: _confusion,
        CALIBRATION: _calibration,
        FUNCTIONS: _functions,
        STRENGTH: _strength,
        PRUNING: _pruning,
        EDGES: _edges,
        KINDS: _kinds,
        LABELS: _labels,
    }
    tables = {name: [keys | row for keys, result in keyed for row in rows(result)] for name, rows in kinds.items()}
    return {name: pd.DataFrame(rows) for name, rows in tables.items() if rows}


def to_csv(found: dict[str, pd.DataFrame]) -> dict[str, str]:
    """The files' texts."""
    return {
        name: frame.to_csv(index=False, lineterminator="\n", float_format="%.6g") for name, frame in found.items()
    }


def beside(page: Path) -> Path:
    """The folder for a page's data, where none is named: ``report.html`` has ``report/``."""
    return page.with_suffix("")


def _scores(result: TaskResult) -> Iterator[dict[str, Any]]:
    """A row per score, and per mark to hold against it."""
    metrics = result.metrics.model_dump()
    for name, value in metrics.items():
        if value is not None and f"{name}_low" in metrics:
            low, high = metrics[f"{name}_low"], metrics[f"{name}_high"]
            yield {"measure": name, "of": result.card.adapter, "value": value, "low": low, "high": high}
    for name, value in metrics.items():
        if value is not None and name.startswith("baseline_"):
            yield {"measure": _measure(name), "of": name.removeprefix("baseline_"), "value": value}
    if result.task in PAPER:
        yield {"measure": PAPER[result.task].metric, "of": "paper", "value": PAPER[result.task].value}


def _measure(baseline: str) -> str:
    """What a baseline is a score in."""
    names = ("chrf_whole", "chrf_generated", "perplexity_continuation", "perplexity")
    return next((name for name in names if baseline.endswith(f"_{name}")), "accuracy")


def _confusion(result: TaskResult) -> Iterator[dict[str, Any]]:
    if result.is_classification:
        classes = result.pictures.classes
        for true, counts in zip(classes, result.pictures.confusion, strict=True):
            yield from ({"true": true, "answer": a, "count": n} for a, n in zip(classes, counts, strict=True))


def _calibration(result: TaskResult) -> Iterator[dict[str, Any]]:
    if result.is_classification:
        yield from (each.model_dump() for each in result.pictures.reliability)


def _functions(result: TaskResult) -> Iterator[dict[str, Any]]:
    for function in _own(result, "splines", "functions"):
        names = function.model_dump(include={"block", "matrix", "feature", "output", "strength"})
        bases = function.base or [None] * len(function.x)
        for x, base, total, density in zip(function.x, bases, function.total, function.density, strict=True):
            yield names | {"x": x, "base": base, "total": total, "density": density}


def _strength(result: TaskResult) -> Iterator[dict[str, Any]]:
    splines = result.pictures.adapter and result.pictures.adapter.splines
    if splines:
        for row, values in zip(splines.strength.rows, splines.strength.values, strict=True):
            yield from (row.model_dump() | {"bin": place, "strength": value} for place, value in enumerate(values))


def _pruning(result: TaskResult) -> Iterator[dict[str, Any]]:
    splines = result.pictures.adapter and result.pictures.adapter.splines
    if splines:
        yield from (point.model_dump() | {"measure": splines.score_name} for point in splines.pruning)


def _edges(result: TaskResult) -> Iterator[dict[str, Any]]:
    for text in _own(result, "attention", "examples"):
        for edge in text.edges:
            names = edge.model_dump(include={"source", "target", "kind", "label"})
            layers = result.pictures.adapter.attention.layers
            for layer, weight in zip(layers, edge.weights, strict=True):
                yield {"text": text.id, **names, "block": layer, "attention": weight}


def _kinds(result: TaskResult) -> Iterator[dict[str, Any]]:
    for share in _own(result, "attention", "kinds"):
        yield {"block": share.layer, "kind": share.kind, "attention": share.weight, "even": share.even}


def _labels(result: TaskResult) -> Iterator[dict[str, Any]]:
    for label in _own(result, "attention", "labels"):
        yield {"label": label.label, "attention": label.weight, "even": label.even, "edges": label.count}


def _own(result: TaskResult, kind: str, part: str) -> list[Any]:
    """A part of the adapter's own pictures, or nothing."""
    pictures = result.pictures.adapter and getattr(result.pictures.adapter, kind)
    return getattr(pictures, part) if pictures else []
