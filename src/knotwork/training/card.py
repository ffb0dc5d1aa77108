"""The model card of a run, made from its figures."""

from typing import Any

CARD = """---
base_model: {path}
library_name: {library}
tags: [knotwork, {adapter}, {task}]
---

# {title}: {adapter}, seed {seed}

Made by Knotwork on the base `{path}` (sha256 `{sha}`), corpus `{manifest}`.

| | |
| --- | --- |
| trainable parameters (adapter, head) | {trained:,}, {head:,} |
| rows (training, selection) | {rows:,}, {chosen:,} |
| epoch chosen, of | {best}, {epochs} |
| selection metric | {metric} |
| selection on | {selection} |
| texts cut to {max_length} tokens | {truncated} |
| stall, collapse | {stall}, {collapse} |
| training | {seconds:.1f} s, {speed:,.0f} tokens/s on {device} |

Prompt (sha256 `{prompt_sha}`):

    {template}

{note}Everything that decided the run is in `run.json`; its learning curves are in `history.csv`.
"""


def model_card(run: dict[str, Any]) -> str:
    """The README.md of a run's folder, from its ``run.json``."""
    training, prompt = run["training"], run["prompt"]
    metric = training["selection_metric"]
    selection = run["selection"]
    return CARD.format(
        path=run["base"]["path"],
        library="peft" if run["adapter"] not in ("head", "full") else "transformers",
        adapter=run["adapter"],
        task=run["task"],
        title=run["title"],
        seed=run["seed"],
        sha=run["base"]["sha256"][:16],
        manifest=run["corpus"]["manifest"],
        trained=run["trainable"]["adapter"],
        head=run["trainable"]["head"],
        rows=run["rows"]["train"],
        chosen=run["rows"]["selection"],
        best=training["best_epoch"],
        epochs=training["epochs"],
        metric="none" if metric is None else f"{metric:.4f}",
        selection="dev (the paper's protocol)" if selection == "dev" else f"{selection} of train",
        max_length=run["max_length"],
        truncated=run["truncated"],
        stall=training["stall"],
        collapse=training["collapse"],
        seconds=training["train_seconds"],
        speed=training["tokens_per_second"],
        device=run["machine"]["device"],
        prompt_sha=prompt["sha256"][:16],
        template=prompt["template"].replace("\n", "\n    "),
        note=f"{run['note']}\n\n" if run["note"] else "",
    )
