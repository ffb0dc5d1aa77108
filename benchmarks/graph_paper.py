"""How much of a training step goes into the graph: the paper's all-pairs graph, and the cached one of Graph-LoRA.

    python benchmarks/graph_paper.py [--lengths 16 32 64 128] [--batch 4] [--rounds 3]

The paper's code (arXiv 2504.10490) joins every token of the padded sequence with every other, edge by edge in
Python, for every example in every layer, and passes messages over them at full width (GATConv), projects the
result and fuses it with its input; everything is trained. Here that is rebuilt from its description at GPT-2
small's shape. Building and message passing are timed apart, forward and backward, for one layer and a batch, and
taken times twelve; so are Graph-LoRA's layers (rank 16, 4 heads) over graphs as parsed texts have them. The rest is
one forward and backward pass of GPT-2, trained whole or with LoRA. Parsing and packing come once for a corpus and
are no part of a step; for comparison their seconds for the batch's texts stand apart.

Seconds are CPU time on one core, or elapsed time on an accelerator, and the median of the rounds. Results go to
benchmarks/results/: a table, its data, and a figure of the shares.
"""

import argparse
import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from graph_build import SAMPLE, graphs_stage, new_builder, parse_stage, read_texts, rows_of
from graph_step import LABELS, adapted, bringing, clock, collate, device, random_graph
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from record import RESULTS, record
from torch import Tensor, nn
from torch_geometric.nn import GATConv
from transformers import GPT2Config, GPT2Model

import knotwork
from knotwork.adapters.graph.layer import Edges, GraphInputs, GraphLoraLayer
from knotwork.corpora import Row
from knotwork.encoding import Example
from knotwork.files import write_text
from knotwork.report import svg
from knotwork.report.names import sentence_case

WIDTH, LAYERS, HEADS = 768, 12, 12  # GPT-2 small (Radford et al. 2019)
PAPER, OURS = "the paper’s graph", "Graph-LoRA"
BUILDING, LOADING, PASSING, FUSING, REST = (
    "building the graph",
    "loading and collating",
    "message passing",
    "projection and fusion",
    "GPT-2 itself",
)
COLOURS = {
    BUILDING: svg.VERMILION,
    LOADING: svg.VERMILION,
    PASSING: svg.BLUE,
    FUSING: svg.QUIET,
    REST: svg.RULE,
}
NAME = "graph-paper"


def main() -> None:
    """Measure every length, and write table, data and figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 32, 64, 128], help="tokens of a text")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    logging.getLogger("spacy").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows, ratios = [], []
    for tokens in arguments.lengths:
        made = {
            PAPER: papers_step(arguments.batch, tokens, arguments.rounds),
            OURS: our_step(arguments.batch, tokens, arguments.rounds),
        }
        rows += [
            {
                "tokens": tokens,
                "step": name,
                "part": part,
                "seconds": seconds,
                "share": seconds / sum(parts.values()),
            }
            for name, parts in made.items()
            for part, seconds in parts.items()
        ]
        ratios.append(ratio(tokens, made, once(arguments.batch, tokens)))
        print(ratios[-1], flush=True)
    table = pd.DataFrame(rows)
    shares = table.assign(seconds=table["seconds"].map("{:.5f}".format), share=table["share"].map("{:.2%}".format))
    title = f"Seconds of a step with {arguments.batch} texts, and shares, on {device()}"
    record(NAME, {title: shares, "The paper's against ours": pd.DataFrame(ratios)})
    write_text(RESULTS / f"{NAME}.csv", table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    write_text(RESULTS / f"{NAME}.svg", draw(table))


def all_pairs(length: int) -> list[list[int]]:
    """The paper's graph: every token of the padded sequence with every other, one edge at a time."""
    edges = []
    for source in range(length):
        for target in range(length):
            if source != target:
                edges.append([source, target])
    return edges


def papers_step(batch: int, tokens: int, rounds: int) -> dict[str, float]:
    """Seconds of the parts of the paper's step."""
    place = device()
    attention = GATConv(WIDTH, WIDTH // HEADS, heads=HEADS).to(place)
    projection, fusion = nn.Linear(WIDTH, WIDTH).to(place), nn.Linear(2 * WIDTH, WIDTH).to(place)
    states = torch.randn(batch, tokens, WIDTH, device=place, requires_grad=True)
    model = GPT2Model(GPT2Config()).train().to(place)
    ids = torch.zeros(batch, tokens, dtype=torch.long, device=place)

    def build() -> list[Tensor]:
        return [torch.tensor(all_pairs(tokens), device=place).t().contiguous() for _ in range(batch)]

    edges = build()

    def pass_messages() -> None:
        torch.stack([attention(row, edge) for row, edge in zip(states, edges, strict=True)]).sum().backward()

    def fuse() -> None:
        fusion(torch.cat([states, projection(states)], dim=-1)).sum().backward()

    return {
        BUILDING: LAYERS * median(build, rounds),
        PASSING: LAYERS * median(pass_messages, rounds),
        FUSING: LAYERS * median(fuse, rounds),
        REST: median(lambda: model(ids).last_hidden_state.sum().backward(), rounds),
    }


def our_step(batch: int, tokens: int, rounds: int) -> dict[str, float]:
    """Seconds of the parts of Graph-LoRA's step."""
    place, rng = device(), np.random.default_rng(0)
    graphs = [random_graph(tokens, rng) for _ in range(batch)]
    examples = [Example(Row("1", (), 0), rng.integers(50_000, size=tokens).tolist(), False, one) for one in graphs]
    made = {name: tensor.to(place) for name, tensor in collate(examples).items()}
    tensors = [made.pop(f"graph_{name}") for name in ("edges", "kinds", "labels")]
    layer = GraphLoraLayer(WIDTH).to(place)
    layer.update_layer("default", knotwork.GraphLoraConfig(graph_r=16, heads=4, labels=["label"] * LABELS))
    layer.set_adapter("default")
    layer.to(place)
    states = torch.randn(batch, tokens, WIDTH, device=place, requires_grad=True)
    edges = Edges.sort(*tensors, batch, tokens)
    inputs = GraphInputs(edges, None, None)
    model = adapted("lora", "gpt2-small", place)
    made.pop("labels")
    return {
        LOADING: bringing(examples),
        PASSING: LAYERS * median(lambda: layer(states, inputs).sum().backward(), rounds)
        + median(lambda: Edges.sort(*tensors, batch, tokens), rounds),
        REST: median(lambda: model(**made).logits.sum().backward(), rounds),
    }


def once(batch: int, tokens: int) -> float:
    """CPU seconds to parse and pack as many reviews of about that many tokens."""
    words = [word for text in read_texts(SAMPLE / "ids-cfimdb-train.csv") for word in text.split()]
    each = max(1, int(tokens / 1.3))
    rows = rows_of([" ".join(words[each * row : each * (row + 1)]) for row in range(batch)])
    builder = new_builder("sst")
    with tempfile.TemporaryDirectory() as name:
        folder, here = Path(name), torch.device("cpu")
        parse_stage(builder, rows, folder)  # the first pass warms up
        return clock(lambda: (parse_stage(builder, rows, folder), graphs_stage(builder, rows, folder)), here)


def median(work: Callable[[], object], rounds: int) -> float:
    """Seconds of one call: the median of the rounds after a first one."""
    place = device()
    return float(np.median([clock(work, place) for _ in range(rounds + 1)][1:]))


def ratio(tokens: int, made: dict[str, dict[str, float]], parsing: float) -> dict[str, object]:
    """A row that holds the two against each other."""
    paper, ours = made[PAPER], made[OURS]
    graph = paper[BUILDING] + paper[PASSING] + paper[FUSING]
    return {
        "tokens": tokens,
        "building, of its step": f"{paper[BUILDING] / sum(paper.values()):.1%}",
        "building, of its graph's part": f"{paper[BUILDING] / graph:.1%}",
        "the paper's building / our loading": round(paper[BUILDING] / ours[LOADING]),
        "graph's part, paper / ours": round(graph / (ours[LOADING] + ours[PASSING])),
        "whole step, paper / ours": round(sum(paper.values()) / sum(ours.values()), 1),
        "our parsing and packing, once, s": round(parsing, 3),
    }


def draw(table: pd.DataFrame) -> str:
    """The shares of a step by length, a panel each for the paper's graph and for ours, as an SVG file."""
    lengths = list(table["tokens"].unique())
    height, described = 150 + 34 * len(lengths), []
    with mpl.rc_context(svg.STYLE):
        figure = Figure(figsize=(700 / 72, height / 72))
        figure.text(0, 1 - 12 / height, "What a training step’s time goes into", fontsize=14, va="center")
        note = "GPT-2 small’s shape, by tokens of a text; share of the step in percent"
        figure.text(0, 1 - 34 / height, note, color=svg.QUIET, va="center")
        for place, (name, part) in enumerate(table.groupby("step", sort=False)):
            axes = figure.add_axes((0.055 + 0.505 * place, 54 / height, 0.44, 1 - 130 / height))
            _bars(axes, part, lengths)
            axes.set_title(sentence_case(name))
            described.append(_words(name, part))
        _legend(figure, height)
    alt = "Shares of a training step by length of the text. " + " ".join(described)
    return svg.standalone(svg.to_svg(figure, NAME, alt))


def _bars(axes: Axes, table: pd.DataFrame, lengths: Sequence[int]) -> None:
    """A bar a length, its parts one after the other; those that have room carry their percent."""
    for row, tokens in enumerate(lengths):
        left = 0.0
        for _, part in table[table["tokens"] == tokens].iterrows():
            share, colour = 100 * part["share"], COLOURS[part["part"]]
            axes.barh(row, share, left=left, height=0.7, color=colour, edgecolor=svg.PAPER, linewidth=1)
            if share >= 6:
                ink = svg.INK if part["part"] == REST else svg.PAPER
                axes.text(left + share / 2, row, f"{share:.0f}", ha="center", va="center", color=ink)
            left += share
    axes.set_yticks(range(len(lengths)), map(str, lengths))
    axes.set_xticks([])
    axes.set_xlim(0, 100)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)


def _legend(figure: Figure, height: float) -> None:
    names = {"building the graph, or loading it": BUILDING, PASSING: PASSING, FUSING: FUSING, REST: REST}
    left = 0.055
    for name, part in names.items():
        figure.text(left, 24 / height, "■", color=COLOURS[part], va="center", fontsize=13)
        figure.text(left + 0.022, 24 / height, name, color=svg.QUIET, va="center")
        left += 0.05 + 0.0072 * len(name)


def _words(name: str, table: pd.DataFrame) -> str:
    """The first part's shares in words."""
    first = table[table["part"] == table["part"].iloc[0]]
    shares = ", ".join(f"{row['share']:.2%} at {row['tokens']}" for _, row in first.iterrows())
    return f"{name}: {first['part'].iloc[0]} takes {shares} tokens."


if __name__ == "__main__":
    main()
