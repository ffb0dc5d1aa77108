"""Small invented runs whose predictions and metrics agree, to compare and to spoil."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from knotwork.files import text_hash
from knotwork.report.comparison.contrasts import Comparison, Entry, compare_entries
from knotwork.report.comparison.scores import COLUMNS, read_scores
from knotwork.report.read import read_task
from knotwork.statistics import chrf, generated_lines, perplexity

from ..conftest import CLASSES, GENERATED, OPENING, TRUTH, Results, interval

EXAMPLES = 60
POEMS = 6


class Study:
    """A folder of runs, each a folder of tasks."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def results(self, run: str) -> Results:
        """A run's files, to be changed."""
        results = Results(self.root)
        results.reports = self.root / run
        return results

    def classes(
        self,
        run: str,
        task: str,
        *hits: Sequence[bool],
        adapter: str = "lora",
        nll: Sequence[float] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        """Add results of a task with classes: for each seed, whether it is right on each example."""
        seeds = tuple(range(1, len(hits) + 1))
        results = self.results(run)
        results.add(task, seeds=seeds, adapter=adapter)
        classes = len(CLASSES[task])
        rows = []
        for seed, right in zip(seeds, hits, strict=True):
            for index, hit in enumerate(right):
                gold = index % classes
                answer = gold if hit else (gold + 1) % classes
                loss = (0.4 if hit else 1.9) if nll is None else nll[index]
                name = f"x{index}" if names is None else names[index]
                rows.append([seed, "dev", name, text_hash(f"text {index}"), gold, answer, loss, 1])
            rows.append([seed, "test", "t0", text_hash("test"), "", 0, "", ""])
        self.write_scores(run, task, rows)
        results.change(task, "metrics.json", **interval("accuracy", *_spread(hits)))

    def deeper(self, run: str, task: str, *hits: Sequence[bool]) -> None:
        """Add answers to deeper formulas, for each seed of a run whether it is right on each, and their score."""
        path = self.root / run / task / "scores.tsv"
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file, delimiter="\t"))[1:]
        for seed, right in enumerate(hits, start=1):
            for index, hit in enumerate(right):
                name, text, gold = f"2-{index:04d}a", text_hash(f"formula {index}"), index % 2
                rows.append([seed, "extrapolation", name, text, gold, gold if hit else 1 - gold, 0.7, 1])
        self.write_scores(run, task, rows)
        self.results(run).change(task, "metrics.json", **interval("extrapolation_accuracy", *_spread(hits)))

    def sonnets(self, run: str, share: float, nll: float, adapter: str = "lora", hashed: bool = False) -> None:
        """Add results of the sonnets: a share of each poem's lines is right, every token costs ``nll`` nats."""
        results = self.results(run)
        results.add("sonnet", adapter=adapter)
        truth = [poem(number, 1) for number in range(POEMS)]
        written = [poem(number, share) for number in range(POEMS)]
        tokens = [100 + 7 * number for number in range(POEMS)]
        losses = [(nll + 0.01 * number) * count for number, count in enumerate(tokens)]
        rows = [
            [1, "dev", number, text_hash(true), text_hash(true) if hashed else true, text, loss, count]
            for number, (true, text, loss, count) in enumerate(zip(truth, written, losses, tokens, strict=True))
        ]
        self.write_scores(run, "sonnet", rows)
        generated = chrf([[generated_lines(text) for text in written]], [generated_lines(text) for text in truth])
        values = {"chrf_generated": generated.value, "perplexity": perplexity(losses, tokens).value}
        for name, value in values.items():
            spread = {name: value, f"{name}_low": 0.9 * value, f"{name}_high": 1.1 * value}
            results.change("sonnet", "metrics.json", **spread)

    def together(self, run: str, *tasks: str) -> None:
        """Turn a run's results of tasks alone into those of multitask's members."""
        folder = self.root / run
        names = ("card", "metrics", "pictures")
        read = {task: {name: self._json(folder / task / f"{name}.json") for name in names} for task in tasks}
        whole = [pd.read_csv(folder / task / "history.csv", index_col=["seed", "epoch", "step"]) for task in tasks]
        history = [whole[0], *(table.add_prefix(f"{task}_") for task, table in zip(tasks, whole, strict=True))]
        files = {task: folder / task / "scores.tsv" for task in tasks}
        scores = [pd.read_csv(file, sep="\t", dtype=str).assign(task=task) for task, file in files.items()]
        for task in tasks:
            shutil.rmtree(folder / task)
        (folder / "multitask").mkdir()
        results = self.results(run)
        members = [{"card": files["card"], "metrics": files["metrics"]} for files in read.values()]
        results.write("multitask", "metrics.json", {"schema_version": 1})
        results.write("multitask", "card.json", {"schema_version": 1, "members": members})
        results.write("multitask", "pictures.json", {task: files["pictures"] for task, files in read.items()})
        pd.concat(history, axis=1).to_csv(folder / "multitask/history.csv")
        pd.concat(scores).to_csv(folder / "multitask/scores.tsv", sep="\t", index=False)

    @staticmethod
    def _json(path: Path) -> Any:
        return json.loads(path.read_text(encoding="utf-8"))

    def write_scores(self, run: str, task: str, rows: list[list[Any]]) -> None:
        with (self.root / run / task / "scores.tsv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(rows)

    def change_scores(self, run: str, task: str, row: int, **values: str) -> None:
        """Change fields of a row, counted from 0."""
        path = self.root / run / task / "scores.tsv"
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        rows[row] |= values
        self.write_scores(run, task, [list(each.values()) for each in rows])

    def change_card(self, run: str, task: str, /, **values: Any) -> None:
        """Change a card's keys; a dictionary is merged into the one that is there."""
        path = self.root / run / task / "card.json"
        card = json.loads(path.read_text(encoding="utf-8"))
        merged = {k: card.get(k, {}) | v if isinstance(v, dict) else v for k, v in values.items()}
        path.write_text(json.dumps(card | merged), encoding="utf-8")

    def entry(self, run: str, task: str) -> Entry:
        folder = self.root / run / task
        return Entry(run, read_task(folder), read_scores(folder / "scores.tsv"))

    def compare(self, *runs: str) -> Comparison:
        """The runs compared, without looking for them."""
        tasks = [task for task in (*CLASSES, "sonnet") if any(self.root.glob(f"*/{task}"))]
        entries = [
            self.entry(run, task)
            for task in tasks
            for run in runs
            if (self.root / run / task / "card.json").is_file()
        ]
        return compare_entries(list(runs), entries)


def _spread(hits: Sequence[Sequence[bool]]) -> tuple[float, float, float]:
    """The share of hits and an invented interval around it."""
    share = float(np.mean(hits))
    return share, share - 0.05, share + 0.05


def poem(number: int, share: float) -> str:
    """A sonnet of which a share of the lines after the opening is the true one."""
    right = round(share * len(TRUTH))
    lines = [*TRUTH[:right], *GENERATED[right:]]
    return "\n".join([f"Poem {number}, {OPENING}", *lines])


def right_on(*wrong: int, examples: int = EXAMPLES) -> list[bool]:
    """Right on all examples but these."""
    return [index not in wrong for index in range(examples)]
