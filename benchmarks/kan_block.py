"""An MLP block with KAN-LoRA against the same block with LoRA, side by side at GPT-2 small's shapes on one core.

    python benchmarks/kan_block.py [blocks] [step] [full] [growth] [--tokens 1024 8192] [--rounds 3]

Seconds are CPU time and the least of the rounds, in which the contenders take turns, so that a busy machine
changes little; ratios are to the first contender, LoRA of rank 16 on both matrices. MiB are the largest sum of
tensors that a forward and backward pass allocates, the weights not counted. Each part leaves its tables and data in
benchmarks/results/, and growth a figure.

blocks: forward and backward of the block.   step: of a training step of a classifier, 12 blocks, 1,024 tokens.
full:   dense coefficients against the construction that one would write first.
growth: how the cost grows with grid size, order, rank and tokens, eager.

What bounds it. Splines of rank s spread the basis over its grid_size + order functions and multiply by their
coefficients three times (result, gradients by input and by coefficients). Eager, three ways were tried: spreading
by a scatter; by a mask for each cell, which is faster up to a dozen cells; in tiles of tokens and features, with
the gradient by the input from the order + 1 functions that count. What was left were some 140 passes over a tile by
elementwise operations, which is why they are compiled into three. Of full splines the three products take nine
tenths of the time, and they are common to the straightforward construction, whose excess is the rest; taking only
the order + 1 functions that count (embedding_bag, sparse matrices) was 3 and 25 times slower than dense products.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from peft import LoraConfig, PeftConfig, get_peft_model
from record import RESULTS, record
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2Model

from knotwork import KanLoraConfig
from knotwork.adapters.kan.bases import BSpline
from knotwork.adapters.kan.fused import Fused
from knotwork.adapters.kan.splines import FullSpline, Spline
from knotwork.files import write_text
from knotwork.report import svg

RANGE = (-3.0, 3.0)
LORA = LoraConfig(r=16, target_modules=["c_fc", "mlp.c_proj"], fan_in_fan_out=True)
GROWTH = {
    "grid_size": [1, 3, 5, 10, 20, 50, 200],
    "order": [0, 1, 2, 3, 5],
    "spline_r": [1, 4, 16, 64, 256],
    "tokens": [256, 1024, 4096],
}
Tables = dict[str, pd.DataFrame]
Passes = dict[Any, Callable[[], None]]
"""What is measured, by name."""


def main() -> None:
    """Measure what is asked for, and write its tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--tokens", type=int, nargs="+", default=[1024, 8192])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for part in arguments.parts or PARTS:
        tables = PARTS[part](arguments.tokens, arguments.rounds)
        record(f"kan-{part}", tables)
        data = pd.concat([table.assign(part=title) for title, table in tables.items()])
        write_text(RESULTS / f"kan-{part}.csv", data.to_csv(index=False, lineterminator="\n"))
        if part == "growth":
            write_text(RESULTS / "kan-growth.svg", draw(tables))


def blocks(tokens: Sequence[int], rounds: int) -> Tables:
    """The block with each kind of splines; `latent 8` has the parameters of LoRA 16."""
    contenders = {
        "LoRA 16": block(LORA),
        "KAN-LoRA 16, splines of rank 16, eager": block(kan(spline="factored")),
        "KAN-LoRA 16, splines of rank 16, compiled": compiled(block(kan(spline="factored"))),
        "KAN-LoRA 16, Gaussians of rank 16, eager": block(kan(spline="factored", basis="rbf")),
        "KAN-LoRA 16, Chebyshev of rank 16, eager": block(kan(spline="factored", basis="chebyshev")),
        "KAN-LoRA 16, latent 16, compiled": compiled(block(kan(spline="latent"))),
        "KAN-LoRA 8, latent 8 (LoRA's budget), eager": block(kan(r=8, spline="latent")),
        "KAN-LoRA 8, latent 8 (LoRA's budget), compiled": compiled(block(kan(r=8, spline="latent"))),
    }
    weights = {name: trainable(mlp) for name, mlp in contenders.items()}
    tables = {}
    for count in tokens:
        x = torch.randn(count, 768, requires_grad=True)
        passes = {name: lambda mlp=mlp, x=x: backward(mlp(x)) for name, mlp in contenders.items()}
        tables[f"block, forward + backward, {count:,} tokens"] = table(passes, rounds, weights)
    return tables


def step(tokens: Sequence[int], rounds: int) -> Tables:
    """AdamW on a classifier with GPT-2 small's twelve blocks."""
    ids = torch.randint(1, 1000, (8, 128))
    labels = torch.randint(5, (8,))
    passes, weights = {}, {}
    for name, config, ready in [
        ("LoRA 16", LORA, nn.Module.train),
        ("KAN-LoRA 16, splines of rank 16, eager", kan(spline="factored"), nn.Module.train),
        ("KAN-LoRA 16, splines of rank 16, compiled", kan(spline="factored"), compiled),
        ("KAN-LoRA 16, latent 16, compiled", kan(spline="latent"), compiled),
        ("KAN-LoRA 8, latent 8 (LoRA's budget), eager", kan(r=8, spline="latent"), nn.Module.train),
        ("KAN-LoRA 8, latent 8 (LoRA's budget), compiled", kan(r=8, spline="latent"), compiled),
    ]:
        base = GPT2ForSequenceClassification(gpt2(12, num_labels=5, pad_token_id=0))
        model = ready(get_peft_model(base, config).train())
        optimizer = torch.optim.AdamW(value for value in model.parameters() if value.requires_grad)

        def train(model: nn.Module = model, optimizer: torch.optim.Optimizer = optimizer) -> None:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(input_ids=ids).logits, labels).backward()
            optimizer.step()

        passes[name], weights[name] = train, trainable(model)
    return {"training step, 8 x 128 tokens, 12 blocks": table(passes, rounds, weights)}


def full(tokens: Sequence[int], rounds: int) -> Tables:
    """Dense coefficients of both matrices: ours, and the first thing that one would write."""
    makers = {
        "straightforward": Straightforward,
        "ours, eager": full_spline,
        "ours, compiled": lambda *shape: compiled(full_spline(*shape)),
    }
    passes = {}
    for name, make in makers.items():
        up, down = make(768, 3072), make(3072, 768)
        x = torch.randn(min(tokens), 768, requires_grad=True)
        passes[name] = lambda up=up, down=down, x=x: backward(down(up(x)))
    return {f"full splines alone, forward + backward, {min(tokens):,} tokens": table(passes, rounds)}


def growth(tokens: Sequence[int], rounds: int) -> Tables:
    """One thing changed at a time; ratios to LoRA 16 on as many tokens."""
    tables = {}
    for key, values in GROWTH.items():
        rows = []
        for value in values:
            settings = {"tokens": min(tokens), key: value}
            x = torch.randn(settings.pop("tokens"), 768, requires_grad=True)
            contenders = {
                "lora": block(LORA),
                "factored": block(kan(spline="factored", **settings)),
                "latent": block(kan(spline="latent", **settings)),
            }
            passes = {name: lambda mlp=mlp, x=x: backward(mlp(x)) for name, mlp in contenders.items()}
            seconds, memory = measure(passes, rounds)
            row = {key: value}
            for name in ("factored", "latent"):
                row[f"{name}: time"] = round(seconds[name] / seconds["lora"], 2)
                row[f"{name}: MiB"] = round(memory[name] / memory["lora"], 2)
            rows.append(row)
            print(row, flush=True)
        tables[f"times LoRA 16, by {key}"] = pd.DataFrame(rows)
    return tables


def draw(tables: Tables) -> str:
    """The growth of time, a panel for each thing that is changed."""
    with mpl.rc_context(svg.STYLE):
        figure = Figure(figsize=(9.6, 3.1), layout="constrained")
        described = []
        for axes, (key, table) in zip(
            figure.subplots(1, len(tables)), zip(GROWTH, tables.values(), strict=True), strict=True
        ):
            for name, colour, dash in (("factored", svg.BLUE, "-o"), ("latent", svg.VERMILION, "--s")):
                axes.plot(table[key], table[f"{name}: time"], dash, color=colour, markersize=4, label=name)
                ends = table[f"{name}: time"].iloc[[0, -1]].tolist()
                described.append(
                    f"{key} {table[key].iloc[0]} to {table[key].iloc[-1]}: {name} from {ends[0]} to {ends[1]}."
                )
            axes.set_xscale("symlog" if key == "order" else "log")
            axes.set_yscale("log")
            axes.set_xticks(table[key], labels=map(str, table[key]))
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_minor_locator(NullLocator())
            axes.set_title(key)
        figure.axes[0].set_ylabel("times LoRA 16")
        figure.axes[0].legend(frameon=False, labelcolor="linecolor")
    return svg.standalone(svg.to_svg(figure, "kan-growth", f"Time of a block with KAN-LoRA. {' '.join(described)}"))


def compiled(module: nn.Module) -> nn.Module:
    """The module with the bases of its splines compiled."""
    for part in module.modules():
        if isinstance(part, Spline):
            part.basis = Fused(part.basis)
            part.basis.warm_up(torch.device("cpu"))
    return module


PARTS: dict[str, Callable[[Sequence[int], int], Tables]] = {
    "blocks": blocks,
    "step": step,
    "full": full,
    "growth": growth,
}


class Straightforward(nn.Module):
    """Every basis function of every input by the recursion over all knots, and one dense product."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.grid_size, self.order = 5, 3
        steps = torch.arange(-self.order, self.grid_size + self.order + 1)
        self.knots = RANGE[0] + steps * (RANGE[1] - RANGE[0]) / self.grid_size
        self.coefficients = nn.Parameter(torch.randn(outputs, inputs * (self.grid_size + self.order)) / inputs)

    def forward(self, x: Tensor) -> Tensor:
        """(tokens, inputs) to (tokens, outputs)."""
        knots, x = self.knots, x.unsqueeze(-1)
        bases = ((x >= knots[:-1]) & (x < knots[1:])).to(x.dtype)
        for degree in range(1, self.order + 1):
            rising = (x - knots[: -degree - 1]) / (knots[degree:-1] - knots[: -degree - 1])
            falling = (knots[degree + 1 :] - x) / (knots[degree + 1 :] - knots[1:-degree])
            bases = rising * bases[..., :-1] + falling * bases[..., 1:]
        return nn.functional.linear(bases.flatten(1), self.coefficients)


def full_spline(inputs: int, outputs: int) -> FullSpline:
    """Ours, with coefficients as a trained one has them."""
    spline = FullSpline(inputs, outputs, None, BSpline(5, 3))
    spline.set_range(*RANGE)
    nn.init.normal_(spline.coefficients, std=1 / inputs)
    return spline


def gpt2(layers: int, **settings: Any) -> GPT2Config:
    """GPT-2 small with few words."""
    return GPT2Config(n_layer=layers, vocab_size=1000, bos_token_id=None, eos_token_id=None, **settings)


def kan(**settings: Any) -> KanLoraConfig:
    """Grid 5, order 3, rank 16 unless told otherwise."""
    return KanLoraConfig(**{"r": 16, "range": RANGE, **settings})


def block(config: PeftConfig) -> nn.Module:
    """The MLP of one block with an adapter on it."""
    return get_peft_model(GPT2Model(gpt2(1)), config).train().base_model.model.h[0].mlp


def backward(result: Tensor) -> None:
    """As if the loss were the sum."""
    result.sum().backward()


def trainable(model: nn.Module) -> int:
    """Parameters that are trained."""
    return sum(value.numel() for value in model.parameters() if value.requires_grad)


def table(passes: Passes, rounds: int, weights: dict[str, int] | None = None) -> pd.DataFrame:
    """Seconds, MiB and their ratios to the first contender."""
    seconds, memory = measure(passes, rounds)
    first = next(iter(passes))
    rows = [
        {
            "contender": name,
            **({"parameters": weights[name]} if weights else {}),
            "seconds": round(seconds[name], 3),
            "time ratio": round(seconds[name] / seconds[first], 2),
            "MiB": round(memory[name]),
            "memory ratio": round(memory[name] / memory[first], 2),
        }
        for name in passes
    ]
    return pd.DataFrame(rows)


def measure(passes: Passes, rounds: int) -> tuple[dict[Any, float], dict[Any, float]]:
    """Seconds and MiB of each contender; they take turns, and the first turn does not count."""
    seconds = dict.fromkeys(passes, math.inf)
    for turn in range(rounds + 1):
        for name, run in passes.items():
            start = time.process_time()
            run()
            if turn:
                seconds[name] = min(seconds[name], time.process_time() - start)
    return seconds, {name: peak(run) for name, run in passes.items()}


def peak(run: Callable[[], None]) -> float:
    """Largest sum of tensors allocated during ``run``, in MiB."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    return highest(
        e["args"]["Bytes"] for e in sorted(events, key=lambda e: e.get("ts", 0)) if e["name"] == "[memory]"
    )


def highest(changes: Iterable[int]) -> float:
    """The highest point of a running sum of bytes, in MiB."""
    level = top = 0
    for change in changes:
        level += change
        top = max(top, level)
    return top / 2**20


if __name__ == "__main__":
    main()
