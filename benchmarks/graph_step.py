"""A Graph-LoRA training step against plain LoRA's at the same batch, side by side.

    python benchmarks/graph_step.py [--base assets/base] [--steps 5]

Rank 16, 4 heads, every block. Token graphs are drawn at random with as many edges as parsed reviews have (4.2 per
token): a dependency tree between words both ways, next tokens both ways, pieces of words, lemmas and sentences.
Steps of the two adapters alternate; seconds are CPU time where there is no accelerator, so that a busy machine
changes little, and the ratio is that of the medians. Memory is the peak above what the model holds before its first
step, each measured in a process of its own. Last, attention alone against PyTorch Geometric's.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv
from transformers import AutoConfig, GPT2Config, GPT2ForSequenceClassification

import knotwork
from knotwork.adapters.graph.layer import Edges, GraphAttention
from knotwork.answers import Score
from knotwork.corpora import Row
from knotwork.encoding import Example
from knotwork.graphs.token_graph import KINDS, TokenGraph

PIECES = 1.3
"""Tokens per word."""
LABELS = 45
SHAPES = {"sst": 19, "cfimdb": 191, "longest": 1000}
"""Mean words of a text; the longest are cut to the context."""
TARGETS = ["c_attn", "c_fc", "c_proj"]


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--base", default="assets/base", help="folder of the embedded base")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print(json.dumps(peak_memory(*json.loads(arguments.memory))))
        return
    place = device()
    print(f"{place}, {torch.get_num_threads()} thread(s), {arguments.steps} steps of each")
    print(
        f"{'base':12} {'texts':8} {'batch':>11} {'edges':>8} {'LoRA s':>8} {'graph s':>8} {'ratio':>6} "
        f"{'LoRA MiB':>9} {'graph MiB':>9} {'ratio':>6} {'collating':>9}"
    )
    for base, most in ((arguments.base, 16), ("gpt2-small", 4)):
        for shape, words in SHAPES.items():
            batch_size = most // 4 if shape == "longest" else most
            examples = draw(words, batch_size, config_of(base))
            batch = {name: tensor.to(place) for name, tensor in collate(examples).items()}
            labels = batch.pop("labels")
            steps = {kind: stepper(adapted(kind, base, place), kind, batch, labels) for kind in ("lora", "graph")}
            seconds: dict[str, list[float]] = {"lora": [], "graph": []}
            for count in range(arguments.steps + 1):
                for kind, step in steps.items():
                    spent = clock(step, place)
                    if count:
                        seconds[kind].append(spent)
            lora, graph = (float(np.median(seconds[kind])) for kind in ("lora", "graph"))
            without = [Example(example.row, example.ids, False) for example in examples]
            extra = min(clock(lambda e=examples: collate(e), torch.device("cpu")) for _ in range(20))
            extra -= min(clock(lambda e=without: collate(e), torch.device("cpu")) for _ in range(20))
            memory = [fresh_process(kind, base, words, batch_size) for kind in ("lora", "graph")]
            print(
                f"{Path(base).name:12} {shape:8} {' x '.join(map(str, batch['input_ids'].shape)):>11} "
                f"{batch['graph_edges'].shape[1]:8,} {lora:8.3f} {graph:8.3f} {graph / lora:6.3f} "
                f"{memory[0]:9.0f} {memory[1]:9.0f} {memory[1] / memory[0]:6.3f} {extra / lora:9.2%}",
                flush=True,
            )

    attention_alone(place)


def attention_alone(place: torch.device) -> None:
    """Forward and backward pass of one layer's attention, ours and PyTorch Geometric's."""
    batch = collate(draw(SHAPES["cfimdb"], 16, config_of("gpt2-small")))
    edges = Edges.sort(
        *(batch[f"graph_{name}"].to(place) for name in ("edges", "kinds", "labels")), *batch["input_ids"].shape
    )
    z = torch.randn(batch["input_ids"].numel(), 16, device=place, requires_grad=True)
    ours = GraphAttention(16, 4, LABELS, 0.0).to(place)
    theirs = GATv2Conv(16, 4, 4, edge_dim=16, bias=False, add_self_loops=False).to(place)
    index = torch.stack([edges.sources, edges.targets])
    passes = {
        "ours": lambda: ours(z, z, edges)[0].sum().backward(),
        "PyTorch Geometric's": lambda: (
            theirs(z, index, ours.kind(edges.kinds) + ours.label(edges.labels)).sum().backward()
        ),
    }
    for name, run in passes.items():
        seconds = np.median([clock(run, place) for _ in range(20)])
        print(f"attention alone, {len(z):,} tokens, {len(edges.sources):,} edges, {name}: {1000 * seconds:.2f} ms")


def device() -> torch.device:
    """The accelerator, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def config_of(base: str) -> GPT2Config:
    """A folder's configuration, or GPT-2 small's shape."""
    return GPT2Config() if base == "gpt2-small" else AutoConfig.from_pretrained(base)


def adapted(kind: str, base: str, place: torch.device) -> nn.Module:
    """A random model of the base's shape with LoRA, and the graph's layers for ``graph``."""
    torch.manual_seed(0)
    config = config_of(base)
    config.pad_token_id, config.num_labels = 0, 5
    shared = {
        "r": 16,
        "lora_alpha": 32,
        "target_modules": TARGETS,
        "fan_in_fan_out": True,
        "modules_to_save": ["score"],
        "task_type": "SEQ_CLS",
    }
    if kind == "graph":
        settings = knotwork.GraphLoraConfig(**shared, graph_r=16, heads=4, labels=[str(n) for n in range(LABELS)])
    else:
        settings = LoraConfig(**shared)
    return get_peft_model(GPT2ForSequenceClassification(config), settings).train().to(place)


def stepper(model: nn.Module, kind: str, batch: dict[str, Tensor], labels: Tensor) -> Callable[[], None]:
    """One training step of a model."""
    inputs = batch if kind == "graph" else {name: t for name, t in batch.items() if not name.startswith("graph_")}
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-3)

    def step() -> None:
        nn.functional.cross_entropy(model(**inputs).logits, labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def clock(run: Callable[[], object], place: torch.device) -> float:
    """CPU seconds, or those of the accelerator."""
    if place.type == "cpu":
        start = time.process_time()
        run()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def draw(words: int, count: int, config: GPT2Config) -> list[Example]:
    """Texts of about that many words, their lengths as uneven as in a length-bucketed batch."""
    rng = np.random.default_rng(0)
    longest = min(config.n_positions, 1024)
    examples = []
    for _ in range(count):
        tokens = min(int(words * PIECES * rng.uniform(0.95, 1.05)) + 5, longest)
        ids = rng.integers(config.vocab_size, size=tokens).tolist()
        examples.append(Example(Row("1", (), int(rng.integers(5))), ids, False, random_graph(tokens, rng)))
    return examples


def random_graph(tokens: int, rng: np.random.Generator) -> TokenGraph:
    """A graph with as many edges of each kind as parsed texts have."""
    code = {kind: index for index, kind in enumerate(KINDS)}
    edges = [(token - 1, token, code["sequence"], 0) for token in range(1, tokens)]
    edges += [(target, source, kind, label) for source, target, kind, label in edges]
    for word in range(1, int(tokens / PIECES)):
        token, label = int(word * PIECES), int(rng.integers(1, LABELS + 1))
        head = int(rng.integers(max(0, token - 12), token))
        edges += [(head, token, code["head"], label), (token, head, code["dependent"], label)]
    for kind, share in (("word", 0.5), ("lemma", 0.1), ("sentence", 0.1)):
        for source, target in rng.integers(tokens, size=(int(share * tokens), 2)):
            edges.append((int(source), int(target), code[kind], 0))
    sources, targets, kinds, labels = np.array(sorted(edges, key=lambda edge: edge[1])).T
    offsets = np.searchsorted(targets, np.arange(tokens + 1)).astype(np.int32)
    return TokenGraph(offsets, sources.astype(np.int32), kinds.astype(np.uint8), labels.astype(np.uint8))


def collate(examples: list[Example]) -> dict[str, Tensor]:
    """A batch as training makes it."""
    return Score(0, 5).collate(examples)


def fresh_process(kind: str, base: str, words: int, batch_size: int) -> float:
    """:func:`peak_memory` of a process of its own, MiB."""
    command = [sys.executable, __file__, "--memory", json.dumps([kind, base, words, batch_size])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def peak_memory(kind: str, base: str, words: int, batch_size: int) -> float:
    """MiB that training steps take above the model itself."""
    place = device()
    examples = draw(words, batch_size, config_of(base))
    batch = {name: tensor.to(place) for name, tensor in collate(examples).items()}
    labels = batch.pop("labels")
    step = stepper(adapted(kind, base, place), kind, batch, labels)
    if place.type == "cuda":
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = resident("VmRSS")
    for _ in range(2):
        step()
    return resident("VmHWM") - before


def resident(key: str) -> float:
    """Memory of this process now (``VmRSS``) or at its peak (``VmHWM``), MiB."""
    # Not getrusage: its peak begins at that of the parent process.
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 2**10


if __name__ == "__main__":
    main()
