"""An MLP block with KAN-LoRA against the same block with LoRA, side by side at GPT-2 small's shapes on one core.

    python benchmarks/kan_block.py [blocks] [step] [full] [growth] [--tokens 1024 8192] [--rounds 3]

Seconds are CPU time and the least of the rounds, in which the contenders take turns, so that a busy machine
changes little; ratios are to LoRA of rank 16 on both matrices. MiB are the largest sum of tensors that a forward
and backward pass allocates, the weights not counted.

blocks: forward and backward of the block.   step: of a whole training step of a classifier, 12 blocks, 512 tokens.
full:   dense coefficients against the construction that one would write first.
growth: how the cost grows with grid size, order, rank and tokens.

What bounds it. Splines of rank s spread the basis over its grid_size + order functions and multiply by their
coefficients three times (result, gradients by input and by coefficients). Three ways were tried: spreading by a
scatter; by a mask for each cell, which is faster up to a dozen cells; and in tiles of tokens and features, with
the gradient by the input from the order + 1 functions that count. What is left are some 140 passes over a tile by
elementwise operations. Of full splines the three products take nine tenths of the time, and they are common to the
straightforward construction, whose excess is the rest; taking only the order + 1 functions that count
(embedding_bag, sparse matrices) was 3 and 25 times slower than the dense product.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, get_peft_model
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2Model

from knotwork import KanLoraConfig
from knotwork.adapters.kan.bases import BSpline
from knotwork.adapters.kan.splines import FullSpline

RANGE = (-3.0, 3.0)
LORA = LoraConfig(r=16, target_modules=["c_fc", "mlp.c_proj"], fan_in_fan_out=True)
Passes = dict[Any, Callable[[], None]]
"""What is measured, by name."""
PARTS = ("blocks", "step", "full", "growth")


def main() -> None:
    """Measure what is asked for and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--tokens", type=int, nargs="+", default=[1024, 8192])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    parts = arguments.parts or PARTS
    if "blocks" in parts:
        for tokens in arguments.tokens:
            blocks(tokens, arguments.rounds)
    if "step" in parts:
        step(arguments.rounds)
    if "full" in parts:
        full(min(arguments.tokens), arguments.rounds)
    if "growth" in parts:
        growth(min(arguments.tokens), arguments.rounds)


def blocks(tokens: int, rounds: int) -> None:
    """The block with each kind of splines; `latent 8` has the parameters of LoRA 16."""
    contenders = {
        "LoRA 16": block(LORA),
        "KAN-LoRA 16, splines of rank 16": block(kan(spline="factored")),
        "  the same, Gaussians": block(kan(spline="factored", basis="rbf")),
        "  the same, Chebyshev": block(kan(spline="factored", basis="chebyshev")),
        "KAN-LoRA 16, latent 16": block(kan(spline="latent")),
        "KAN-LoRA 8, latent 8 (LoRA's budget)": block(kan(r=8, spline="latent")),
    }
    x = torch.randn(tokens, 768, requires_grad=True)
    passes = {name: lambda mlp=mlp: backward(mlp(x)) for name, mlp in contenders.items()}
    weights = {name: trainable(mlp) for name, mlp in contenders.items()}
    table(f"block, forward + backward, {tokens:,} tokens", passes, rounds, weights)


def step(rounds: int) -> None:
    """AdamW on a classifier with GPT-2 small's twelve blocks."""
    ids = torch.randint(1, 1000, (8, 64))
    labels = torch.randint(5, (8,))
    passes, weights = {}, {}
    for name, config in {
        "LoRA 16": LORA,
        "KAN-LoRA 16, splines of rank 16": kan(spline="factored"),
        "KAN-LoRA 16, latent 16": kan(spline="latent"),
        "KAN-LoRA 8, latent 8 (LoRA's budget)": kan(r=8, spline="latent"),
    }.items():
        base = GPT2ForSequenceClassification(gpt2(12, num_labels=5, pad_token_id=0))
        model = get_peft_model(base, config).train()
        optimizer = torch.optim.AdamW(value for value in model.parameters() if value.requires_grad)

        def train(model: nn.Module = model, optimizer: torch.optim.Optimizer = optimizer) -> None:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(input_ids=ids).logits, labels).backward()
            optimizer.step()

        passes[name], weights[name] = train, trainable(model)
    table("training step, 8 x 64 tokens, 12 blocks", passes, rounds, weights)


def full(tokens: int, rounds: int) -> None:
    """Dense coefficients of both matrices: ours, and the first thing that one would write."""
    passes = {}
    for name, kind in {"straightforward": Straightforward, "ours": full_spline}.items():
        up, down = kind(768, 3072), kind(3072, 768)
        x = torch.randn(tokens, 768, requires_grad=True)
        passes[name] = lambda up=up, down=down, x=x: backward(down(up(x)))
    table(f"full splines alone, forward + backward, {tokens:,} tokens", passes, rounds)


def growth(tokens: int, rounds: int) -> None:
    """One thing changed at a time; ratios to LoRA 16 on as many tokens."""
    for key, values in {
        "grid_size": [1, 3, 5, 10, 20, 50, 200],
        "order": [0, 1, 2, 3, 5],
        "spline_r": [1, 4, 16, 64, 256],
        "tokens": [256, 1024, 4096],
    }.items():
        print(f"\n| {key} | factored: time | MiB | latent: time | MiB |\n| ---: | ---: | ---: | ---: | ---: |")
        for value in values:
            settings = {"tokens": tokens, key: value}
            x = torch.randn(settings.pop("tokens"), 768, requires_grad=True)
            contenders = [
                block(LORA),
                *(block(kan(spline=spline, **settings)) for spline in ("factored", "latent")),
            ]
            passes = {place: lambda mlp=mlp: backward(mlp(x)) for place, mlp in enumerate(contenders)}  # noqa: B023
            seconds, memory = measure(passes, rounds)
            ratios = (f"{part[place] / part[0]:.2f}" for place in (1, 2) for part in (seconds, memory))
            print(f"| {value} | {' | '.join(ratios)} |", flush=True)


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


def table(title: str, passes: Passes, rounds: int, weights: dict[str, int] | None = None) -> None:
    """Print seconds, MiB and their ratios to the first contender."""
    seconds, memory = measure(passes, rounds)
    first = next(iter(passes))
    print(f"\n| {title} | parameters | seconds | ratio | MiB | ratio |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    for name in passes:
        count = f"{weights[name]:,}" if weights else ""
        speed, size = seconds[name] / seconds[first], memory[name] / memory[first]
        print(
            f"| {name} | {count} | {seconds[name]:.3f} | {speed:.2f} | {memory[name]:.0f} | {size:.2f} |",
            flush=True,
        )


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
