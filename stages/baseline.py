"""Baselines without a neural model, once per corpus: data/baselines/<task>.json."""

from pathlib import Path

from knotwork import tasks
from knotwork.baselines import copied_lines, drawn_sonnets, largest_class, random_sonnet, tfidf
from knotwork.corpora.select import cap
from knotwork.entry import run_stage
from knotwork.files import write_json
from knotwork.params import Params
from knotwork.prosody import measures
from knotwork.statistics import sonnet_chrf
from knotwork.tasks.task import Classification


def work(params: Params, arguments: list[str]) -> None:
    """Score one task's baselines on dev."""
    (name,) = arguments
    task, raw = tasks.get(name), Path("data/raw") / name
    everything, dev = task.read(raw, "train").rows, task.read(raw, "dev").rows
    seen = cap(everything, getattr(params.corpus.max_rows, name), params.corpus.seed)
    if isinstance(task, Classification):
        all_rows = tfidf(everything, dev)
        scores = {
            "largest_class": largest_class([row.label for row in seen], [row.label for row in dev]),
            "tfidf": all_rows if len(seen) == len(everything) else tfidf(seen, dev),
            "tfidf_all_rows": all_rows,
            "rows": len(seen),
            "rows_all": len(everything),
        }
    else:
        training, truth = [row.texts[0] for row in seen], [row.texts[0] for row in dev]
        copied = [copied_lines(truth)]
        texts = {"true": [truth], "random_sonnet": drawn_sonnets(training, truth), "copied_lines": copied}
        scores = random_sonnet(training, truth)
        scores |= {f"copied_lines_{key}": score.value for key, score in sonnet_chrf(copied, truth).items()}
        known = [row.texts[0] for row in everything]
        scores["verse"] = {name: measures.summary(written, known) for name, written in texts.items()}
    write_json(Path("data/baselines") / f"{name}.json", scores)


run_stage(work)
