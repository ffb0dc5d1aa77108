"""Baselines without a neural model, once per corpus: data/baselines/<task>.json, by member."""

from pathlib import Path
from typing import Any

from knotwork import tasks
from knotwork.baselines import copied_lines, drawn_sonnets, largest_class, random_sonnet, surface, tfidf
from knotwork.corpora.select import cap
from knotwork.entry import run_stage
from knotwork.files import write_json
from knotwork.params import Member, Params
from knotwork.prosody import measures
from knotwork.statistics import sonnet_chrf
from knotwork.tasks.task import Classification


def work(params: Params, arguments: list[str]) -> None:
    """Score one task's baselines on dev."""
    (name,) = arguments
    scores = {member.task: score(params, member) for member in params.members(name)}
    write_json(Path("data/baselines") / f"{name}.json", scores)


def score(params: Params, member: Member) -> dict[str, Any]:
    """Scores of a member's baselines."""
    task, raw = tasks.get(member.task), Path("data/raw") / member.place
    everything, dev = task.read(raw, "train").rows, task.read(raw, "dev").rows
    seen = cap(everything, member.max_rows, params.corpus.seed)
    if not isinstance(task, Classification):
        training, truth = [row.texts[0] for row in seen], [row.texts[0] for row in dev]
        copied, known = [copied_lines(truth)], [row.texts[0] for row in everything]
        texts = {"true": [truth], "random_sonnet": drawn_sonnets(training, truth), "copied_lines": copied}
        return {
            **random_sonnet(training, truth),
            **{f"copied_lines_{key}": score.value for key, score in sonnet_chrf(copied, truth).items()},
            "verse": {name: measures.summary(written, known) for name, written in texts.items()},
        }
    all_rows = tfidf(everything, dev)
    return {
        "largest_class": largest_class([row.label for row in seen], [row.label for row in dev]),
        "tfidf": all_rows if len(seen) == len(everything) else tfidf(seen, dev),
        "tfidf_all_rows": all_rows,
        "rows": len(seen),
        "rows_all": len(everything),
        **(surface(seen, dev) if task.texts == "formula" else {}),
    }


run_stage(work)
