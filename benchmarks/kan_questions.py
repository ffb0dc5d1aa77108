"""Four questions to KAN-LoRA, each one command with a figure. Run from the project's root after `dvc repro`.

    python benchmarks/kan_questions.py blocks|curves|grid|memorise [--task sst] [--rows 3000] [--epochs 4]

blocks:   KAN-LoRA on the first, middle or last MLP alone and on all, beside LoRA on the same matrices.
curves:   epoch by epoch against LoRA, with the verdict of the stall detector, and the paper's own KAN beside them.
grid:     grids of 2 to 50 intervals: the score, the training loss, and how rough the learned functions are.
memorise: optimiser steps until 64 fixed training rows are all answered right, and the gap to dev then.

Settings are those of params.yaml; training never stops early. Wherever LoRA and KAN-LoRA are compared they train
equally many parameters (within 5 %): budget.trainable_parameters, or if it is null those of LoRA with lora.r, on
lora.target_modules (blocks: on the MLP matrices). The paper's KAN (kan.faithful) has the size that it has, and
since it trains every weight, full's learning rate. Each question leaves <out>/<question>.csv, .svg and .json. An
interrupted command, given again, goes on where it was.
"""

import argparse
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kan_figures
import options
import pandas as pd
import torch
from kan_trials import DATA, Trial, by_epoch, by_grid, by_pass, forget, prepared, remembered

from knotwork import models, provenance
from knotwork.errors import UserError, run_main
from knotwork.files import read_json, sha256, whole_file, write_json, write_text
from knotwork.params import Params
from knotwork.report.formats import percent, percent_interval
from knotwork.statistics import mean

ROOT = Path(__file__).parents[1]
GRID_SIZES = (2, 5, 10, 20, 50)
MLP = ("mlp.c_fc", "mlp.c_proj")
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Variant:
    """One line of a figure.

    Attributes:
        name: as a reader says it.
        changes: of params.yaml, by dotted key.
        about: columns of the table that tell it from the others.
    """

    name: str
    changes: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)


def main() -> None:
    """Train the variants of one question and write its table, figure and card."""
    parser = options.parser(__doc__, "reports/study/kan")
    parser.add_argument("question", choices=QUESTIONS)
    parser.add_argument("--learning-rate", type=float, help="of all; by default each adapter's of params.yaml")
    parser.add_argument("--png", action="store_true", help="write the figure as .png too")
    arguments = parser.parse_args()
    params = options.settings(arguments)
    variants_of, trial = QUESTIONS[arguments.question]
    variants = variants_of(params, arguments.task)
    points: Rows = []
    results: Rows = []
    for variant in variants:
        changes = dict(variant.changes)
        if arguments.learning_rate is not None:
            changes[f"{changes['adapter']}.learning_rate"] = arguments.learning_rate
        rows, result = study(options.changed(params, changes), arguments.task, variant, trial)
        points += rows
        results.append(result)
        print(line(result), flush=True)
    named = ("task", "rows", "epochs", "seeds", "learning_rate")
    given = options.command(f"kan_questions.py {arguments.question}", arguments, named)
    write(arguments, given, params, pd.DataFrame(points), results)
    forget()


# --- the variants of each question


def block_variants(params: Params, task: str) -> list[Variant]:
    """Both adapters on one MLP or all, a block costing the same everywhere."""
    count = read_json(DATA / "identity/base.json")["config"]["n_layer"]
    places = {"first": 0, "middle": count // 2, "last": count - 1}
    # A base of two blocks has no middle; the last name of a block stands.
    names = {block: place for place, block in places.items()}
    budget = lora_size(params, task, MLP)
    variants = []
    for place, blocks in [*((name, [block]) for block, name in names.items()), ("all", list(range(count)))]:
        targets = [f"h.{block}.{matrix}" for block in blocks for matrix in MLP]
        cost = round(budget * len(blocks) / count)
        about = {"place": place, "blocks": " ".join(map(str, blocks))}
        where = "all blocks" if place == "all" else f"{place} block"
        lora = at_budget("lora", cost, {"lora.target_modules": targets})
        kan = at_budget("kan", cost, {"kan.blocks": blocks})
        variants += [Variant(f"LoRA, {where}", lora, about), Variant(f"KAN-LoRA, {where}", kan, about)]
    return variants


def curve_variants(params: Params, task: str) -> list[Variant]:
    """KAN-LoRA adapts the MLPs alone, so LoRA is shown there too."""
    budget = lora_size(params, task)
    faithful = {"kan.faithful": True, "kan.learning_rate": params.full.learning_rate}
    return [
        Variant("LoRA", at_budget("lora", budget)),
        Variant("LoRA on the MLPs", at_budget("lora", budget, {"lora.target_modules": list(MLP)})),
        Variant("KAN-LoRA", at_budget("kan", budget)),
        Variant("the paper’s KAN", {"adapter": "kan", "budget.trainable_parameters": None, **faithful}),
    ]


def grid_variants(params: Params, task: str) -> list[Variant]:
    """The same ranks on ever finer grids.

    Raises:
        UserError: the basis has no knots.
    """
    if params.kan.basis != "bspline":
        raise UserError(f"kan.basis: {params.kan.basis} has no knots; grid needs bspline")
    fixed = {"adapter": "kan", "budget.trainable_parameters": None}
    return [
        Variant(f"grid of {size}", {**fixed, "kan.grid_size": size}, {"grid_size": size}) for size in GRID_SIZES
    ]


def memory_variants(params: Params, task: str) -> list[Variant]:
    """LoRA, both kinds of small splines, and all weights."""
    budget = lora_size(params, task)
    return [
        Variant("LoRA", at_budget("lora", budget)),
        Variant("KAN-LoRA, latent", at_budget("kan", budget, {"kan.spline": "latent"})),
        Variant("KAN-LoRA, factored", at_budget("kan", budget, {"kan.spline": "factored"})),
        Variant("full fine-tuning", {"adapter": "full", "budget.trainable_parameters": None}),
    ]


def at_budget(adapter: str, budget: int, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """Changes that choose an adapter and let the budget decide its ranks."""
    ranks = {"lora": ("r",), "kan": ("r", "spline_r")}[adapter]
    no_ranks = {f"{adapter}.{key}": None for key in ranks}
    return {"adapter": adapter, "budget.trainable_parameters": budget, **no_ranks, **(more or {})}


def lora_size(params: Params, task: str, targets: tuple[str, ...] | None = None) -> int:
    """The budget, or without one the parameters of LoRA of rank ``lora.r``."""
    if params.budget.trainable_parameters is not None:
        return params.budget.trainable_parameters
    targets = {"lora.target_modules": list(targets)} if targets else {}
    model, answer, _ = prepared(options.changed(params, {"adapter": "lora", **targets}), task, seed=0, rows=1)
    return models.count_trainable(model, answer.head)["adapter"]


# --- what is done with them


def study(params: Params, task: str, variant: Variant, trial: Callable[..., Trial]) -> tuple[Rows, dict[str, Any]]:
    """The rows of the table and the single figures of a variant, over all seeds (intervals too)."""
    trials = [remembered(trial, params, task, seed) for seed in params.seeds]
    accuracy = mean([one.hits for one in trials])
    value, low, high = accuracy.interval(params.evaluate.bootstrap)
    rows = []
    for seed, one, share in zip(params.seeds, trials, accuracy.per_seed, strict=True):
        about = {
            "task": task,
            "variant": variant.name,
            "adapter": params.adapter,
            **variant.about,
            "rows": one.facts["rows"],
            "trainable_parameters": one.facts["trainable_parameters"],
            "learning_rate": params.chosen.learning_rate,
            "seed": seed,
        }
        dev = {"dev_accuracy": share, "dev_accuracy_low": low, "dev_accuracy_high": high}
        rows += [{**about, **point, **(dev if point["kept"] else {})} for point in one.points]
    return rows, {
        "variant": variant.name,
        "changes": variant.changes,
        "learning_rate": params.chosen.learning_rate,
        "dev_accuracy": value,
        "dev_accuracy_low": low,
        "dev_accuracy_high": high,
        "per_seed": [{"seed": seed, **one.facts} for seed, one in zip(params.seeds, trials, strict=True)],
    }


def line(result: dict[str, Any]) -> str:
    """A variant's figures for the terminal."""
    first = result["per_seed"][0]
    interval = percent_interval(result["dev_accuracy_low"], result["dev_accuracy_high"])
    parts = [f"{first['trainable_parameters']:,} parameters"]
    for one in result["per_seed"]:
        if "stall" in one:
            parts.append(f"seed {one['seed']}: training loss {one['train_loss']:.3f}, stall: {one['stall']}")
        else:
            reached = f"after {one['steps']} steps" if one["steps"] is not None else "and no more"
            parts.append(f"seed {one['seed']}: {percent(one['train_accuracy'])} of train {reached}")
    return f"{result['variant']}: {'; '.join(parts)}; dev {percent(result['dev_accuracy'])} ({interval})"


def write(arguments: argparse.Namespace, given: str, params: Params, table: pd.DataFrame, results: Rows) -> None:
    """The table, the figure and the card, which names the command as it was given."""
    question, out = arguments.question, arguments.out
    base = read_json(DATA / "identity/base.json")
    raw = DATA / "raw" / arguments.task
    card = {
        "question": question,
        "command": given,
        "created": pd.Timestamp.now("UTC").isoformat(timespec="seconds"),
        **commit(),
        "base": {key: base[key] for key in ("name", "revision", "sha256", "parameters")},
        "corpus": {
            "manifest": params.corpus.manifest,
            "files": {file.stem: sha256(file) for file in sorted(raw.iterdir())},
        },
        "parameters": params.model_dump(mode="json", exclude={"corpus": {"mirror"}}),
        "results": results,
        "machine": provenance.machine(models.device().type, torch.get_num_threads()),
        "versions": provenance.versions(),
    }
    figure, text = kan_figures.draw(question, table)
    write_text(out / f"{question}.svg", text)
    if arguments.png:
        with whole_file(out / f"{question}.png") as aside:
            kan_figures.save_png(figure, aside)
    write_text(out / f"{question}.csv", table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    write_json(out / f"{question}.json", card)
    print(f"{out / question}.csv, .svg, .json")


def commit() -> dict[str, Any]:
    """The commit of this script's own checkout, and whether its code differs from it; nulls outside git."""

    def git(*words: str) -> str | None:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
        return None if done.returncode else done.stdout.strip()

    head = git("rev-parse", "HEAD")
    return {
        "commit": head,
        "dirty": bool(git("status", "--porcelain", "--", "src", "benchmarks")) if head else None,
    }


QUESTIONS = {
    "blocks": (block_variants, by_epoch),
    "curves": (curve_variants, by_epoch),
    "grid": (grid_variants, by_grid),
    "memorise": (memory_variants, by_pass),
}

if __name__ == "__main__":
    run_main(main)
