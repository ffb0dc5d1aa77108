"""Does LoRA regularise, as the paper claims? Run from the project's root after `dvc repro`.

    python benchmarks/regulariser.py [--task sst] [--rows 3000] [--epochs 3] [--seeds 1 2 3]

Trains LoRA and full fine-tuning, LoRA with dropout, and both with other weight decays, and scores the kept weights
of each run on its own training rows and on dev: the gap between the two is what a regulariser is to close. Of every
matrix in the blocks, the singular values of the change that full fine-tuning made say how much of it would fit into
LoRA's rank (share of the squared Frobenius norm in the first lora.r of them). The remaining settings are those of
params.yaml; early stopping is off.

Leaves <out>/regulariser-gaps.csv, regulariser-spectrum.csv, regulariser.svg and regulariser.json. An interrupted
command, given again, goes on where it was.
"""

import shutil
from typing import Any

import numpy as np
import options
import pandas as pd
import torch
from kan_trials import DATA, ROOT, key_of
from tqdm import tqdm

from knotwork import models, provenance
from knotwork.adapters.architectures import block_number, blocks_of
from knotwork.encoding import encode
from knotwork.errors import run_main
from knotwork.files import read_json, write_json, write_text
from knotwork.identity import base_folder
from knotwork.inference import score
from knotwork.params import Params
from knotwork.report import svg
from knotwork.runs import Run, load_run
from knotwork.statistics import mean
from knotwork.training.parts import split_rows
from knotwork.training.run import train_run

RUNS = ROOT / "regulariser"
DECAY = "train.optimizer.weight_decay"
VARIANTS: dict[str, dict[str, Any]] = {
    "lora": {"adapter": "lora"},
    "lora, dropout 0.1": {"adapter": "lora", "lora.dropout": 0.1},
    "lora, dropout 0.3": {"adapter": "lora", "lora.dropout": 0.3},
    "lora, no decay": {"adapter": "lora", DECAY: 0.0},
    "lora, decay 0.1": {"adapter": "lora", DECAY: 0.1},
    "full": {"adapter": "full"},
    "full, no decay": {"adapter": "full", DECAY: 0.0},
    "full, decay 0.1": {"adapter": "full", DECAY: 0.1},
}


def main() -> None:
    """Train and score every variant with every seed; write tables, figure and card."""
    parser = options.parser(__doc__, "reports/study/regulariser", seeds=[1])
    parser.set_defaults(question="regulariser")
    arguments = parser.parse_args()
    params, task = options.settings(arguments), arguments.task
    gaps, spectra = [], []
    with tqdm(total=len(VARIANTS) * len(params.seeds), desc="runs") as bar:
        for variant, changes in VARIANTS.items():
            one = options.changed(params, changes)
            for seed in params.seeds:
                run = trained(one, task, seed)
                gaps.append({"task": task, "variant": variant, "seed": seed, **gap(run, one)})
                if variant == "full":
                    spectra.append(spectrum(run, params.lora.r or 16).assign(seed=seed))
                bar.update()
    table, matrices = pd.DataFrame(gaps), pd.concat(spectra, ignore_index=True)
    out = arguments.out
    write_text(out / "regulariser-gaps.csv", table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    write_text(
        out / "regulariser-spectrum.csv", matrices.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    )
    write_text(out / "regulariser.svg", drawn(table, matrices))
    card = {
        "question": "regulariser",
        "command": options.command("regulariser.py", arguments, ("task", "rows", "epochs", "seeds")),
        "created": pd.Timestamp.now("UTC").isoformat(timespec="seconds"),
        **provenance.commit(),
        "corpus": {"manifest": params.corpus.manifest},
        "base": {key: read_json(DATA / "identity/base.json")[key] for key in ("name", "sha256")},
        "parameters": params.model_dump(mode="json", exclude={"corpus": {"mirror"}}),
        "variants": VARIANTS,
        "machine": provenance.machine(models.device().type, torch.get_num_threads()),
        "versions": provenance.versions(),
    }
    write_json(out / "regulariser.json", card)
    means = table.groupby("variant", sort=False).mean(numeric_only=True).drop(columns="seed")
    print(means.to_string(float_format="{:.3f}".format))
    print(matrices.groupby("matrix").mean(numeric_only=True).drop(columns=["block", "seed"]).to_string())
    shutil.rmtree(RUNS, ignore_errors=True)


def trained(params: Params, task: str, seed: int) -> Run:
    """A run, or the same that an interrupted command has trained already."""
    folder = RUNS / key_of([params.model_dump(mode="json"), task, seed], task)
    if not folder.is_dir():
        train_run(params, task, seed, DATA, folder)
    return load_run(folder)


def gap(run: Run, params: Params) -> dict[str, Any]:
    """Accuracy and loss (nats) on the run's own training rows and on dev, with intervals, and their differences."""
    (member,) = params.members(run.task.name)
    raw = DATA / "raw" / member.place
    rows = {"train": split_rows(params, member, raw)[0], "dev": run.task.read(raw, "dev").rows}
    found: dict[str, Any] = {"kept_epoch": run.card["training"]["best_epoch"]}
    for split, chosen in rows.items():
        examples = encode(run.task, chosen, run.tokenizer, params.base.max_length)
        scores = score(run.model, run.answer, examples, params.evaluate.batch_tokens)
        hits = mean([scores.probabilities.argmax(1) == [row.label for row in chosen]])
        interval = hits.interval(params.evaluate.bootstrap)
        found |= {f"{split}_accuracy": interval.value, f"{split}_low": interval.low, f"{split}_high": interval.high}
        found[f"{split}_loss"] = float(scores.nll.mean())
    found["accuracy_gap"] = found["train_accuracy"] - found["dev_accuracy"]
    found["loss_gap"] = found["dev_loss"] - found["train_loss"]
    return found


def spectrum(run: Run, rank: int) -> pd.DataFrame:
    """The singular values of what full fine-tuning changed, a row per matrix of a block."""
    base = run.card["base"]
    source = base_folder(base["path"], base["revision"])
    fresh = models.fresh_base(source, run.answer, run.card["max_length"], run.card["seed"])()
    before = dict(blocks_of(fresh.requires_grad_(False)).named_parameters())
    rows = []
    for name, weight in blocks_of(run.model).named_parameters():
        if weight.dim() < 2:
            continue
        change = (weight.detach().cpu() - before[name]).double()
        energy = torch.linalg.svdvals(change).square().numpy()
        shares = np.cumsum(energy) / energy.sum()
        rows.append(
            {
                "block": block_number(name),
                "matrix": name.split(".", 1)[1].removesuffix(".weight"),
                "relative_change": float(change.norm() / before[name].double().norm()),
                "singular_values": len(energy),
                f"share_in_rank_{rank}": float(shares[min(rank, len(shares)) - 1]),
                "rank_of_90_percent": int(np.searchsorted(shares, 0.9)) + 1,
                "effective_rank": float(energy.sum() ** 2 / np.square(energy).sum()),
            }
        )
    return pd.DataFrame(rows)


def drawn(table: pd.DataFrame, matrices: pd.DataFrame) -> str:
    """Accuracy on training rows and on dev of every variant, and the ranks of full's changes."""
    variants = list(VARIANTS)
    with svg.panels(420, 1, 0, rows=2, between=60, left=120) as (figure, (upper, lower)):
        for split, colour in (("train", svg.VERMILION), ("dev", svg.BLUE)):
            places = [variants.index(variant) for variant in table["variant"]]
            upper.plot(100 * table[f"{split}_accuracy"], places, "o", color=colour, label=split)
        upper.set_yticks(range(len(variants)), variants)
        upper.invert_yaxis()
        upper.set_title("Accuracy, %")
        upper.legend(frameon=False, loc="best")
        kinds = list(dict.fromkeys(matrices["matrix"]))
        for row in matrices.to_dict("records"):
            place = row["rank_of_90_percent"], kinds.index(row["matrix"])
            lower.text(*place, str(row["block"]), color=svg.BLUE, ha="center", va="center")
        lower.set_ylim(-0.5, len(kinds) - 0.5)
        lower.set_yticks(range(len(kinds)), kinds)
        lower.set_title("Rank that holds 90 % of full’s change, by block")
        lower.set_xlim(0, 1.05 * matrices["rank_of_90_percent"].max())
        alt = "Accuracy on training rows and dev by variant; rank that holds 90 % of a matrix's change, by block."
        return svg.standalone(svg.to_svg(figure, "regulariser", alt))


if __name__ == "__main__":
    run_main(main)
