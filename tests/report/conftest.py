"""A valid folder of results, small and invented, for tests to read and to spoil."""

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from .chromium import Browser

COST = {
    "trainable_parameters": 589_824,
    "head_parameters": 1_280,
    "train_seconds": 41.3,
    "evaluate_seconds": 6.2,
    "tokens_per_second": 1_240.0,
    "peak_memory_mb": 912.0,
    "padding_waste": 1.031,
    "truncated": 0,
    "stalled": 0,
    "collapsed": 0,
}
CLASSES = {
    "sst": ["very negative", "negative", "neutral", "positive", "very positive"],
    "cfimdb": ["negative", "positive"],
    "quora": ["different", "same"],
    "symbolic": ["different", "equal"],
}
TITLES = {
    "sst": "Sentiment in five levels (SST)",
    "cfimdb": "Sentiment of reviews (CFIMDB)",
    "quora": "Paraphrase (Quora)",
    "symbolic": "Equal formulas",
    "sonnet": "Sonnets",
}
# accuracy with its interval; largest class; bag of words on the rows seen and on all
SCORES = {
    "sst": ((0.483, 0.415, 0.550), 0.265, 0.405, 0.455),
    "cfimdb": ((0.912, 0.850, 0.962), 0.500, 0.788, 0.788),
    "quora": ((0.655, 0.590, 0.720), 0.610, 0.690, 0.735),
    "symbolic": ((0.500, 0.450, 0.550), 0.500, 0.500, 0.500),
}
OPENING = "When quiet rain has washed the narrow street,\nAnd every lamp has found a second flame,\nI hear"
OPENING += " the hours go by on patient feet,"
GENERATED = [
    "And all the light that was so much to me",
    "Is but a little thing that will not stay,",
    "For I have seen the heart of every tree",
    "That bends its head to see the end of day.",
    "So let the time be made of better stone,",
    "And let the night be gentle with the year,",
    "That I may never walk the road alone",
    "And all my love be but a thing to fear.",
    "But when the sun has gone from out the sky,",
    "Then shall the world be nothing to the dead,",
    "And I will be the one to tell them why.",
]
TRUTH = [
    "And not one hour among them knows my name.",
    "The bakers wake, the windows fill with bread,",
    "A cart complains across the market stones,",
    "And all the plans I carried home to bed",
    "Get up before me, rattling their bones.",
    "Yet let them rattle: morning is a door",
    "That opens inward, whoever holds the key,",
    "And what I could not finish once before",
    "Sits down to breakfast, and will wait for me.",
    "So rain, be slow; so lamps, burn down and rest:",
    "The work half done is sometimes done the best.",
]


def metrics(task: str) -> dict:
    if task == "sonnet":
        return COST | {
            "schema_version": 1,
            "head_parameters": 0,
            **interval("chrf_whole", 41.9, 40.6, 43.1),
            "chrf_whole_sd": 0.3,
            **interval("chrf_generated", 26.6, 25.1, 28.0),
            "chrf_generated_sd": 0.4,
            **interval("perplexity", 48.2, 44.0, 53.1),
            "baseline_random_sonnet_chrf_whole": 41.5,
            "baseline_random_sonnet_chrf_generated": 26.2,
        }
    (accuracy, low, high), largest, words, words_all = SCORES[task]
    return COST | {
        "schema_version": 1,
        **interval("accuracy", accuracy, low, high),
        "accuracy_sd": 0.012,
        **interval("macro_f1", accuracy - 0.03, low - 0.03, high - 0.03),
        **interval("nll", 1.213, 1.101, 1.334),
        "ece": 0.058,
        "baseline_largest_class": largest,
        "baseline_tfidf": words,
        "baseline_tfidf_all_rows": words_all,
    }


def verse(ten_syllables: float, rhyme_scheme: float) -> dict:
    """The form of some sonnets, as a card has it."""
    shares = {f"distinct_{n}": 0.3 * n for n in (1, 2, 3)}
    copied = {"copied_words": 3.1, "longest_copy": 5}
    return {"ten_syllables": ten_syllables, "rhyme_scheme": rhyme_scheme, **shares, **copied}


def interval(name: str, value: float, low: float, high: float) -> dict:
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def card(task: str, seeds: list[int], adapter: str) -> dict:
    return {
        "schema_version": 1,
        "task": task,
        "adapter": adapter,
        "seeds": seeds,
        "title": TITLES[task],
        "command": "dvc repro",
        "commit": "0f3a7c5d2b9e4861a7c5d2b9e48610f3a7c5d2b9",
        "dirty": False,
        "created": "2026-01-02T03:04:05+00:00",
        "machine": {"cpu": "an ordinary processor", "threads": 2, "device": "cpu"},
        "versions": {"python": "3.11.2", "torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2"},
        "base": {"name": "knotwork-base", "sha256": "5e" * 32, "parameters": 14_200_000},
        "corpus": {"manifest": "sample", "files": {"train": "a1" * 32, "dev": "b2" * 32, "test": "c3" * 32}},
        "prompt": {"template": 'This is what they said: "{text}"', "sha256": "d4" * 32},
        "selection": "0.1",
        "answer": "text" if task == "sonnet" else "score",
        "parameters": {
            "adapter": adapter,
            "lora.r": 16,
            "lora.alpha": 32,
            "lora.dropout": 0.0,
            "lora.learning_rate": 0.002,
            "lora.target_modules": ["c_attn", "c_fc", "c_proj"],
            "lora.faithful": False,
            f"train.epochs.{task}": 4,
            "train.patience": 3,
            "train.selection": 0.1,
            "train.batch.size": 16,
            "train.batch.accumulation": 1,
            "train.optimizer.weight_decay": 0.01,
            "train.optimizer.schedule": "linear",
            "train.optimizer.betas": [0.9, 0.999],
            f"corpus.max_rows.{task}": None,
            "corpus.manifest": "sample",
            "base.path": "assets/base",
            "base.max_length": 512,
            "evaluate.bootstrap": 10000,
            "evaluate.generation.temperature": 0.8,
        },
        "rows": {"train": 540, "selection": 60, "dev": 200, "test": 200, "skipped": 0, "train_all": 600},
        "truncated": {"train": 0, "dev": 0, "test": 0},
        "per_seed": [per_seed(task, seed) for seed in seeds],
        "baselines": {},
        "chrf_signature": "chrF2|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0"
        if task == "sonnet"
        else None,
    }


def per_seed(task: str, seed: int) -> dict:
    shared = {
        "seed": seed,
        "selection_metric": 52.1 if task == "sonnet" else 0.51,
        "best_epoch": 3,
        "epochs": 4,
        "steps": 136,
        "train_seconds": 41.3,
        "tokens_per_second": 1240.0,
        "peak_memory_mb": 912.0,
        "padding_waste": 1.031,
        "stall": "no",
        "collapse": "no",
        "reasons": [],
    }
    if task == "sonnet":
        return shared | {"chrf_whole": 41.9, "chrf_generated": 26.6, "perplexity": 48.2}
    return shared | {"accuracy": SCORES[task][0][0], "macro_f1": 0.45, "nll": 1.213, "ece": 0.058}


def history(task: str, seeds: list[int]) -> list[dict]:
    rows = []
    for seed in seeds:
        for epoch in range(1, 5):
            train = (3.9 if task == "sonnet" else 1.5) * 0.86**epoch + 0.02 * seed
            held = train + 0.04 * epoch + 0.01 * seed
            metric = (
                80 - 12 * epoch + 2.5 * epoch**2 + seed if task == "sonnet" else 0.55 - 0.2 / epoch - 0.01 * seed
            )
            rows.append(
                {
                    "seed": seed,
                    "epoch": epoch,
                    "step": 34 * epoch,
                    "train_loss": round(train, 4),
                    "selection_loss": round(held, 4),
                    "selection_metric": round(metric, 4),
                    "learning_rate": 0.002 * (1 - epoch / 4),
                    "tokens_per_second": 1240.0,
                    "seconds": 10.3 * epoch,
                }
            )
    return rows


def pictures(task: str) -> dict:
    if task == "sonnet":
        whole = "\n".join([OPENING, *GENERATED])
        truth = "\n".join([OPENING, *TRUTH])
        examples = [{"id": "49", "opening": OPENING, "generated": whole, "truth": truth}]
        return {"examples": [*examples, examples[0] | {"id": "50", "truth": None}]}
    classes = CLASSES[task]
    size = len(classes)
    confusion = [[max(1, 30 - 13 * abs(row - column)) for column in range(size)] for row in range(size)]
    confusion[0][0] = 8
    reliability = [
        {
            "low": k / 10,
            "high": (k + 1) / 10,
            "confidence": k / 10 + 0.055 if k >= 2 else None,
            "accuracy": k / 10 + 0.02 * (k % 3) if k >= 2 else None,
            "count": 0 if k < 2 else 60 - 6 * abs(k - 5),
        }
        for k in range(10)
    ]
    return {"classes": classes, "confusion": confusion, "reliability": reliability}


def splines(blocks: int = 4, activation: bool = True) -> dict:
    """What KAN-LoRA has to show: bumps on lines, weaker from feature to feature."""
    x = [k / 12 - 2 for k in range(49)]
    functions, rows, values = [], [], []
    for block in range(blocks):
        for place, matrix in enumerate(("c_fc", "c_proj")):
            base = [0.2 * value * (value > 0 or not place) for value in x]
            bump = [0.3 * math.sin((1 + 0.4 * block) * value + place) for value in x]
            functions.append(
                {
                    "block": block,
                    "matrix": matrix,
                    "feature": 17 + block,
                    "output": 203,
                    "strength": 0.04 + 0.02 * block,
                    "x": x,
                    "base": base if activation else None,
                    "total": [a + b for a, b in zip(base, bump, strict=True)] if activation else bump,
                    "density": [math.exp(-((value + 0.3) ** 2)) for value in x],
                    "formula": f"0.3 sin({1 + 0.4 * block:.1f} x + {place}) + 0.0012",
                    "r2": 0.98,
                }
            )
            rows.append({"block": block, "matrix": matrix})
            values.append([(0.04 + 0.02 * block) * math.exp(-k / (6 + 4 * block)) for k in range(64)])
    shares = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
    pruning = [{"removed": share, "score": 0.48 - 0.2 * share**4} for share in shares]
    return {
        "splines": {
            "functions": functions,
            "strength": {"rows": rows, "values": values},
            "pruning": pruning,
            "score_name": "accuracy",
            "examples": 200,
        }
    }


KINDS = ("self", "head", "dependent", "word", "sentence", "lemma", "sequence")
TOKENS = ["A", " warm", ",", " quiet", " film", " that", " never", " rush", "es", " its", " ending", "."]
HEADS = [4, 4, 4, 4, None, 7, 7, 4, None, 10, 7, 4]
LABELS = ["det", "amod", "punct", "amod", "", "nsubj", "neg", "relcl", "", "poss", "dobj", "punct"]


def attention(layers: int = 4, causal: bool = False) -> dict:
    """What Graph-LoRA has to show: a sentence, its dependencies, and attention that moves from block to block."""
    edges = [(t, t, "self", None) for t in range(len(TOKENS))]
    edges += [(t - 1, t, "sequence", None) for t in range(1, len(TOKENS))]
    for token, head in enumerate(HEADS):
        if head is not None:
            edges += [(head, token, "head", LABELS[token]), (token, head, "dependent", LABELS[token])]
    edges = [edge for edge in edges if edge[0] <= edge[1] or not causal]
    raw = [[1 + (KINDS.index(e[2]) * (layer + 1) + e[0]) % 5 for e in edges] for layer in range(layers)]
    sums = [[sum(w for w, f in zip(ws, edges, strict=True) if f[1] == e[1]) for e in edges] for ws in raw]
    weights = [[w / s for w, s in zip(*pair, strict=True)] for pair in zip(raw, sums, strict=True)]
    text = {
        "id": "7",
        "tokens": TOKENS,
        "edges": [
            {"source": s, "target": t, "kind": kind, "label": label, "weights": [w[index] for w in weights]}
            for index, (s, t, kind, label) in enumerate(edges)
        ],
    }
    return {
        "attention": {
            "layers": list(range(layers)),
            "examples": [text, text | {"id": "8"}],
            "kinds": [
                {"layer": layer, "kind": kind, "weight": (1 + (k + layer) % 4) / 17.5, "even": 1 / 7}
                for layer in range(layers)
                for k, kind in enumerate(KINDS)
            ],
            "labels": [
                {"label": label, "weight": 0.2 + 0.03 * index, "even": 0.3, "count": 40 - 3 * index}
                for index, label in enumerate(sorted(set(LABELS) - {""}))
            ],
        }
    }


OWN_PICTURES = {"kan": splines, "graph": attention}


class Results:
    """A folder ``reports/`` and a folder of timings that hold one valid run."""

    def __init__(self, root: Path) -> None:
        self.reports = root / "reports"
        self.timings = root / "timings"
        self.page = root / "reports" / "report.html"

    def add(self, *tasks: str, seeds: tuple[int, ...] = (1,), adapter: str = "lora") -> None:
        for task in tasks:
            folder = self.reports / task
            folder.mkdir(parents=True)
            self.write(task, "metrics.json", metrics(task))
            self.write(task, "card.json", card(task, list(seeds), adapter))
            own = OWN_PICTURES.get(adapter)
            self.write(task, "pictures.json", pictures(task) | ({"adapter": own()} if own else {}))
            rows = history(task, list(seeds))
            with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(rows)

    def write(self, task: str, name: str, value: object) -> None:
        text = json.dumps(value)
        (self.reports / task / name).write_text(text, encoding="utf-8")

    def change(self, folder: str, name: str, **values: object) -> None:
        path = self.reports / folder / name
        self.write(folder, name, json.loads(path.read_text(encoding="utf-8")) | values)

    def time(self, stage: str, seconds: float) -> None:
        self.timings.mkdir(exist_ok=True)
        record = {"stage": stage, "seconds": seconds, "finished": "2026-01-02T03:04:05+00:00"}
        (self.timings / f"{stage}.json").write_text(json.dumps(record), encoding="utf-8")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path)


@pytest.fixture
def four_tasks(results: Results) -> Results:
    results.add("sst", "cfimdb", "quora", "sonnet")
    return results
