"""The data of a comparison's figures as tables, one file each."""

import pandas as pd

from knotwork.report.comparison.contrasts import Comparison
from knotwork.report.comparison.examples import disagreements
from knotwork.report.comparison.summary import number
from knotwork.report.data import SCORES, pictured

DIFFERENCES, COSTS, DISAGREEMENTS = "differences.csv", "costs.csv", "disagreements.csv"


def frames(comparison: Comparison) -> dict[str, pd.DataFrame]:
    """Every figure's data by file name; scores in the units of ``metrics.json``, seconds, megabytes."""
    keyed = [({"task": entry.result.task, "run": entry.run}, entry.result) for entry in comparison.entries]
    return {
        SCORES: _scores(comparison),
        DIFFERENCES: _differences(comparison),
        COSTS: _costs(comparison),
        DISAGREEMENTS: _disagreements(comparison),
        **pictured(keyed),
    }


def _scores(comparison: Comparison) -> pd.DataFrame:
    columns = ["task", "group", "measure", "run", "value", "low", "high"]
    rows = [
        (group.task, number(comparison, group), measure.key, entry.run, *entry.score(measure))
        for group in comparison.groups
        for measure in group.measures
        for entry in group.compared(measure)
    ]
    return pd.DataFrame(rows, columns=columns)


def _differences(comparison: Comparison) -> pd.DataFrame:
    columns = ["task", "measure", "run", "against", "difference", "low", "high", "test", "p", "p_holm"]
    columns += ["only_run_right", "only_other_right", "smallest_difference"]
    rows = [
        (
            contrast.task,
            contrast.measure.key,
            contrast.run,
            contrast.first,
            *contrast.difference,
            contrast.test,
            contrast.p_value,
            contrast.adjusted,
            *(contrast.alone or (None, None)),
            contrast.smallest,
        )
        for contrast in comparison.contrasts
    ]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({"only_run_right": "Int64", "only_other_right": "Int64"})


def _costs(comparison: Comparison) -> pd.DataFrame:
    names = ("trainable_parameters", "head_parameters", "train_seconds", "tokens_per_second", "peak_memory_mb")
    rows = [
        (entry.result.task, entry.run, *(getattr(entry.result.metrics, name) for name in names))
        for entry in comparison.entries
    ]
    return pd.DataFrame(rows, columns=["task", "run", *names])


def _disagreements(comparison: Comparison) -> pd.DataFrame:
    rows = [
        (group.task, example.id, example.gold, answer.run, answer.label, answer.votes)
        for group in comparison.groups
        if group.first.result.is_classification and len(group.entries) > 1
        for example in disagreements(group)
        for answer in example.answers
    ]
    return pd.DataFrame(rows, columns=["task", "id", "gold", "run", "answer", "votes"])
