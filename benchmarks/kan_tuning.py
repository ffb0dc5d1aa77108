"""LoRA and KAN-LoRA of equal size, each at its best learning rate. Run from the project's root after `dvc repro`.

    python benchmarks/kan_tuning.py [--task sst] [--rows 3000] [--epochs 3] [--ranks 8 64] [--seeds 1 2 3]

A budget is what LoRA of a given rank on lora.target_modules trains; both adapters spend it within 5 %. Both try the
same learning rates, one run a rate, all with the first seed. The rate with the best accuracy on the selection split
(among equals the lower loss) is trained with the other seeds too, and these runs alone are scored on dev. The
remaining settings are those of params.yaml: after `make local` those of recipe `local`.

Leaves <out>/tuning.csv with every trial, .svg and .json. An interrupted command, given again, goes on where it was.
"""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import options
import pandas as pd
from kan_questions import Rows, at_budget, lora_size, write
from kan_trials import DATA, ROOT, hits, key_of
from tqdm import tqdm

from knotwork.errors import run_main
from knotwork.files import read_json
from knotwork.params import Params
from knotwork.report.formats import percent, percent_interval
from knotwork.report.names import ADAPTERS
from knotwork.runs import load_run
from knotwork.significance import paired_difference
from knotwork.statistics import CorpusScore, mean
from knotwork.training.run import train_run

RUNS = ROOT / "kan-tuning"
COMPARED = ("lora", "kan")
RATES = (5e-4, 1e-3, 2e-3, 4e-3)


class Trained(NamedTuple):
    """A run: its parameters and seed, its folder, the learning curve, and what the card says of the training."""

    params: Params
    seed: int
    folder: Path
    history: pd.DataFrame
    card: dict[str, Any]

    @property
    def kept(self) -> pd.Series:
        """The epoch whose weights were kept."""
        return self.history.set_index("epoch", drop=False).loc[self.card["training"]["best_epoch"]]

    @property
    def standing(self) -> tuple[float, float]:
        """Higher is better, by the selection split alone."""
        return self.kept["selection_metric"], -self.kept["selection_loss"]


def main() -> None:
    """Tune and compare at every budget; write the table, the figure and the card."""
    parser = options.parser(__doc__, "reports/study/kan", seeds=[1, 2, 3])
    parser.set_defaults(question="tuning")
    parser.add_argument("--ranks", type=int, nargs="+", default=[8, 64], help="of the LoRA that sets a budget")
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES), help="learning rates to try")
    parser.add_argument("--png", action="store_true", help="write the figure as .png too")
    arguments = parser.parse_args()
    params, task = options.settings(arguments), arguments.task
    points: Rows = []
    results: Rows = []
    with tqdm(total=len(arguments.ranks) * len(COMPARED) * (len(arguments.rates) + len(params.seeds) - 1)) as bar:
        for rank in arguments.ranks:
            budget = lora_size(options.changed(params, {"lora.r": rank, "budget.trainable_parameters": None}), task)
            scores = {}
            for adapter in COMPARED:
                trials = [
                    trained(params, task, adapter, budget, rate, params.seeds[0], bar) for rate in arguments.rates
                ]
                best = max(trials, key=lambda trial: trial.standing)
                rate = best.params.chosen.learning_rate
                others = [trained(params, task, adapter, budget, rate, seed, bar) for seed in params.seeds[1:]]
                chosen = [best, *others]
                scores[adapter] = mean([dev_hits(run, task) for run in chosen])
                about = {"task": task, "budget": f"LoRA, rank {rank}", "variant": ADAPTERS[adapter]}
                points += rows_of(about, [*trials, *others], chosen, scores[adapter], params.evaluate.bootstrap)
                results.append(result_of(about, trials, chosen, scores[adapter], params.evaluate.bootstrap))
                tqdm.write(line(results[-1]))
            gain, p_value = paired_difference(scores["kan"], scores["lora"], params.evaluate.bootstrap)
            results[-1] |= {"difference_from_lora": gain._asdict(), "p_value": p_value}
            value, low, high = (100 * part for part in gain)
            tqdm.write(f"  KAN-LoRA - LoRA: {value:+.1f} points ({low:+.1f} to {high:+.1f})")
    named = ("task", "rows", "epochs", "ranks", "rates", "seeds")
    write(arguments, options.command("kan_tuning.py", arguments, named), params, pd.DataFrame(points), results)
    shutil.rmtree(RUNS, ignore_errors=True)


def trained(params: Params, task: str, adapter: str, budget: int, rate: float, seed: int, bar: tqdm) -> Trained:
    """A run of an adapter, or the same that an interrupted command has trained already."""
    one = options.changed(params, {**at_budget(adapter, budget), f"{adapter}.learning_rate": rate})
    folder = RUNS / key_of([one.model_dump(mode="json"), task, seed], task)
    if not folder.is_dir():
        train_run(one, task, seed, DATA, folder)
    bar.update()
    return Trained(one, seed, folder, pd.read_csv(folder / "history.csv"), read_json(folder / "run.json"))


def dev_hits(run: Trained, task: str) -> list[int]:
    """Whether each dev row is answered right."""
    loaded = load_run(run.folder)
    return hits(loaded.model, loaded.answer, run.params, task)


def rows_of(
    about: dict[str, Any], runs: list[Trained], chosen: list[Trained], score: CorpusScore, resamples: int
) -> Rows:
    """A row for every epoch of every run; dev accuracy where weights were kept and the rate was chosen."""
    _, low, high = score.interval(resamples)
    per_seed = dict(zip((run.folder for run in chosen), score.per_seed, strict=True))
    rows = []
    for run in runs:
        for epoch in run.history.itertuples():
            kept = epoch.epoch == run.kept["epoch"]
            shared = {
                **about,
                "adapter": run.params.adapter,
                "rows": run.card["rows"]["train"],
                "trainable_parameters": run.card["trainable"]["adapter"],
                "learning_rate": run.params.chosen.learning_rate,
                "seed": run.seed,
                "epoch": epoch.epoch,
                "train_loss": epoch.train_loss,
                "selection_loss": epoch.selection_loss,
                "selection_accuracy": epoch.selection_metric,
                "stall": run.card["training"]["stall"],
                "kept": kept,
                "chosen": run.folder in per_seed,
            }
            dev = {"dev_accuracy": per_seed.get(run.folder), "dev_accuracy_low": low, "dev_accuracy_high": high}
            rows.append({**shared, **(dev if kept and run.folder in per_seed else {})})
    return rows


def result_of(
    about: dict[str, Any], trials: list[Trained], chosen: list[Trained], score: CorpusScore, resamples: int
) -> dict[str, Any]:
    """The single figures of an adapter at a budget."""
    value, low, high = score.interval(resamples)
    return {
        **about,
        "trainable_parameters": chosen[0].card["trainable"]["adapter"],
        "trials": [
            {
                "learning_rate": trial.params.chosen.learning_rate,
                "seed": trial.seed,
                "selection_accuracy": trial.kept["selection_metric"],
                "selection_loss": trial.kept["selection_loss"],
            }
            for trial in trials
        ],
        "learning_rate": chosen[0].params.chosen.learning_rate,
        "dev_accuracy": value,
        "dev_accuracy_low": low,
        "dev_accuracy_high": high,
        "per_seed": [
            {
                "seed": run.seed,
                "dev_accuracy": float(share),
                **{key: run.card["training"][key] for key in ("best_epoch", "stall", "reasons", "train_seconds")},
            }
            for run, share in zip(chosen, score.per_seed, strict=True)
        ],
    }


def line(result: dict[str, Any]) -> str:
    """An adapter's figures at a budget for the terminal."""
    interval = percent_interval(result["dev_accuracy_low"], result["dev_accuracy_high"])
    stalls = ", ".join(sorted({run["stall"] for run in result["per_seed"]}))
    return (
        f"{result['variant']} in the size of {result['budget']}: {result['trainable_parameters']:,} parameters, "
        f"learning rate {result['learning_rate']:g}, stall: {stalls}; "
        f"dev {percent(result['dev_accuracy'])} ({interval})"
    )


if __name__ == "__main__":
    run_main(main)
