"""A Graph-LoRA training step against plain LoRA's at the same batch, side by side.

    python benchmarks/graph_step.py [--base assets/base] [--steps 3]

Rank 16, 4 heads, every block. Token graphs are drawn at random with as many edges as parsed reviews have (4.2 per
token): a dependency tree between words both ways, next tokens both ways, pieces of words, lemmas and sentences.
Steps of the two adapters alternate; seconds are CPU time where there is no accelerator, so that a busy machine
changes little, and the ratio is that of the medians. Memory is the largest sum of tensors that the first step
allocates, weights not counted. Loading and collating a batch's graphs are held against the plain step. Last,
attention alone against PyTorch Geometric's. Results go to benchmarks/results/.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import kan_block
import numpy as np
import pandas as pd
import torch
from peft import LoraConfig, get_peft_model
from record import record
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv
from transformers import AutoConfig, GPT2Config, GPT2ForSequenceClassification

import knotwork
from knotwork.adapters.graph.layer import Edges, GraphAttention
from knotwork.answers import Score
from knotwork.corpora import Row
from knotwork.encoding import Example
from knotwork.graphs import token_graph
from knotwork.graphs.pack import open_graphs, write_graphs
from knotwork.graphs.token_graph import KINDS, TokenGraph

PIECES = 1.3
"""Tokens per word."""
LABELS = 45
ENOUGH = 20
"""Seconds for which short steps are repeated."""
SHAPES = {"sst": 19, "cfimdb": 191, "longest": 1000}
"""Mean words of a text; the longest are cut to the context."""
TARGETS = ["c_attn", "c_fc", "c_proj"]


def main() -> None:
    """Measure and record two tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--base", default="assets/base", help="folder of the embedded base")
    parser.add_argument("--steps", type=int, default=3, help="of each adapter, at least (default 3)")
    arguments = parser.parse_args()
    place = device()
    rows = [
        side_by_side(base, shape, batch_size, arguments.steps, place)
        for base, batches in {arguments.base: (16, 16, 4), "gpt2-small": (4, 2, 1)}.items()
        for shape, batch_size in zip(SHAPES, batches, strict=True)
    ]
    titles = f"Steps of plain LoRA and of Graph-LoRA on {place}", "Attention of one layer, forward and backward"
    record("graph-step", dict(zip(titles, [pd.DataFrame(rows), attention_alone(place)], strict=True)))


def side_by_side(base: str, shape: str, batch_size: int, count: int, place: torch.device) -> dict[str, Any]:
    """A row of the table: seconds, memory, and what a batch's graphs cost."""
    examples = draw(SHAPES[shape], batch_size, config_of(base))
    batch = {name: tensor.to(place) for name, tensor in collate(examples).items()}
    labels = batch.pop("labels")
    steps = {kind: stepper(adapted(kind, base, place), kind, batch, labels) for kind in ("lora", "graph")}
    memory = [peak(step, place) for step in steps.values()]  # the first step also warms up
    seconds: list[list[float]] = []
    while len(seconds) < count or (np.sum(seconds) < ENOUGH and len(seconds) < 50):
        seconds.append([clock(step, place) for step in steps.values()])
    lora, graph = np.median(seconds, axis=0).tolist()
    row = {
        "base": Path(base).name,
        "texts": shape,
        "batch": " x ".join(map(str, batch["input_ids"].shape)),
        "edges": f"{batch['graph_edges'].shape[1]:,}",
        "LoRA, s": round(lora, 3),
        "graph, s": round(graph, 3),
        "ratio": round(graph / lora, 3),
        "LoRA, MiB": round(memory[0]),
        "graph, MiB": round(memory[1]),
        "memory ratio": round(memory[1] / memory[0], 3),
        "loading and collating": f"{bringing(examples) / lora:.2%}",
    }
    print(row, flush=True)
    return row


def bringing(examples: Sequence[Example]) -> float:
    """CPU seconds that it takes to find a batch's graphs in their file and to collate them."""
    width = max(len(example.ids) for example in examples)
    with tempfile.TemporaryDirectory() as folder:
        write_graphs(Path(folder) / "train.graph", examples, {})
        packed = open_graphs(Path(folder) / "train.graph")

        def bring() -> None:
            token_graph.collate([packed.find(example.ids) for example in examples], width)

        return float(np.median([clock(bring, torch.device("cpu")) for _ in range(50)]))


def attention_alone(place: torch.device) -> pd.DataFrame:
    """One layer's attention: ours and PyTorch Geometric's, in turns."""
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
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(20):
        for name, run in passes.items():
            seconds[name].append(clock(run, place))
    medians = [float(np.median(times[1:])) for times in seconds.values()]
    return pd.DataFrame({
        "layer": list(passes),
        "tokens": f"{len(z):,}",
        "edges": f"{len(edges.sources):,}",
        "ms": [round(1000 * median, 2) for median in medians],
        "of PyTorch Geometric's": [round(median / medians[1], 2) for median in medians],
    })  # fmt: skip


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


def collate(examples: Sequence[Example]) -> dict[str, Tensor]:
    """A batch as training makes it."""
    return Score(0, 5).collate(examples)


def peak(step: Callable[[], None], place: torch.device) -> float:
    """MiB of the tensors that a step allocates, at their highest."""
    if place.type == "cpu":
        return kan_block.peak(step)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


if __name__ == "__main__":
    main()
