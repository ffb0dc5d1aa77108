"""Building token graphs: what it costs beside parsing, how it grows, and the paper's all-pairs graph beside it.

    python benchmarks/graphs.py construction|scale|paper [--texts FILE] [--column NAME] [--rows N] [--large]
                                [--device NAME]

`construction` holds both stages against a bare `nlp.pipe` with the same components on the same texts, in CPU time
of one process. `scale` times growing numbers of texts (--large: 100,000 too), fits a line and extends it. `paper`
builds the graph that joins every token with every other, example by example and layer by layer in Python, and
times it apart from the message passing over it, at GPT-2 small's width. Texts come from a tab-separated file;
sonnets are the sample's.
"""

import argparse
import csv
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from knotwork import tasks
from knotwork.corpora import Row
from knotwork.corpora.read import normalise
from knotwork.encoding import Example, encode
from knotwork.graphs.build import GraphBuilder
from knotwork.graphs.docs import documents, read_parses, write_parses
from knotwork.graphs.pack import open_graphs, write_graphs
from knotwork.graphs.parse import open_parser
from knotwork.graphs.token_graph import collate
from knotwork.graphs.tokens import open_tokenizer
from knotwork.identity import parser_identity

REPOSITORY = Path(__file__).parents[1]
SAMPLE = REPOSITORY / "data/sample"
PARSER, BASE = str(REPOSITORY / "assets/parser"), REPOSITORY / "assets/base"
EDGES = ["dependency", "word", "sentence", "lemma", "sequence"]
MAX_LENGTH = 512
IDENTITY, TOKENIZER = parser_identity(PARSER), open_tokenizer(BASE)
ROUNDS = 3

QUORA_PAIRS = 283_003  # training rows of the official split
MANY = 100_000_000  # texts

# GPT-2 small (Radford et al. 2019), and the batch of the paper's step.
WIDTH, LAYERS, HEADS = 768, 12, 12
BATCH, TOKENS = 8, 64


def main() -> None:
    """Run one measurement and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["construction", "scale", "paper"])
    parser.add_argument("--texts", type=Path, default=SAMPLE / "ids-sst-train.csv")
    parser.add_argument("--column", default="sentence", help="the column of the texts (default sentence)")
    parser.add_argument("--rows", type=int, default=2000, help="texts of construction (default 2000)")
    parser.add_argument("--large", action="store_true", help="scale: 100,000 texts too")
    parser.add_argument("--device", default="cpu", help="paper: where the message passing runs")
    arguments = parser.parse_args()
    # spaCy's own checks of the pipeline's version are no part of what is measured.
    logging.getLogger("spacy").setLevel(logging.ERROR)
    texts = read_texts(arguments.texts, arguments.column)
    if arguments.what == "construction":
        construction(texts[: arguments.rows])
        sonnets()
    elif arguments.what == "scale":
        scale(texts, [1000, 3000, 10_000, *([100_000] if arguments.large else [])])
    else:
        paper(texts, arguments.device)


def read_texts(path: Path, column: str = "sentence") -> list[str]:
    """A column of a tab-separated file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [normalise(row[column]) for row in csv.DictReader(file, delimiter="\t")]


def rows_of(texts: Sequence[str]) -> list[Row]:
    """Rows without labels."""
    return [Row(str(index), (text,), None) for index, text in enumerate(texts)]


def new_builder(task: str) -> GraphBuilder:
    """A builder with the embedded parser and tokenizer and all kinds of edges."""
    return GraphBuilder(open_parser(PARSER), TOKENIZER, tasks.get(task), EDGES)


def parse_stage(builder: GraphBuilder, rows: list[Row], folder: Path) -> None:
    """What parse@task does after it has started."""
    write_parses(folder, builder.parser, {"train": rows}, builder.whole, IDENTITY, processes=1)


def graphs_stage(builder: GraphBuilder, rows: list[Row], folder: Path) -> dict[str, float]:
    """What graphs@task does after it has started."""

    def graphs() -> Iterator[Example]:
        for here, words in read_parses(folder, builder.parser, "train", rows, builder.whole, IDENTITY):
            yield from builder.examples(encode(builder.task, here, TOKENIZER, MAX_LENGTH), words)

    return write_graphs(folder / "train.graph", graphs(), {})


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process: other programs on the machine change little."""
    start = time.process_time()
    work()
    return time.process_time() - start


def construction(texts: Sequence[str]) -> None:
    """Both stages against the parser alone, taking turns."""
    builder, rows = new_builder("sst"), rows_of(texts)
    words = sum(len(doc) for doc in builder.parser.nlp.pipe(texts))  # the first pass also warms up
    print(f"{len(texts):,} texts, {words:,} words; words per CPU second, the median of {ROUNDS} rounds")
    seconds: dict[str, list[float]] = {"nlp.pipe alone": [], "parse": [], "graphs": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(ROUNDS):
            seconds["nlp.pipe alone"].append(cpu_seconds(lambda: list(map(len, builder.parser.nlp.pipe(texts)))))
            seconds["parse"].append(cpu_seconds(lambda: parse_stage(builder, rows, folder)))
            seconds["graphs"].append(cpu_seconds(lambda: graphs_stage(builder, rows, folder)))
    alone, *stages = (float(np.median(values)) for values in seconds.values())
    for name, value in zip([*seconds, "both stages"], [alone, *stages, sum(stages)], strict=True):
        print(f"{name:16} {words / value:12,.0f}   {alone / value:5.2f} of nlp.pipe")


def sonnets(count: int = 4) -> None:
    """A sonnet is parsed once for each of its words: reported apart."""
    builder = new_builder("sonnet")
    rows = builder.task.read(_folder_of_sonnets(), "train").rows[:count]
    prefixes = [text for row in rows for text in documents(row, whole=False)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parse = cpu_seconds(lambda: parse_stage(builder, rows, folder))
        graphs = cpu_seconds(lambda: graphs_stage(builder, rows, folder))
    words = sum(len(text.split()) for text in prefixes)
    print(
        f"sonnets: {len(prefixes) / count:.0f} prefixes and {words / count:,.0f} words each, "
        f"{parse / count:.2f} s to parse and {graphs / count:.2f} s to build one ({words / parse:,.0f} words/s)"
    )


def _folder_of_sonnets() -> Path:
    """The sample's sonnets under the name that a task's folder has."""
    folder = Path(tempfile.mkdtemp())
    (folder / "train.txt").write_bytes((SAMPLE / "sonnets.txt").read_bytes())
    return folder


def scale(texts: Sequence[str], counts: Sequence[int]) -> None:
    """Time and size of growing corpora, the texts repeated as often as needed, and the line through them."""
    builder = new_builder("sst")
    list(builder.parser.nlp.pipe(texts[:200]))
    table = []
    print(f"{'texts':>12} {'parse s':>9} {'graphs s':>9} {'parses MB':>10} {'graphs MB':>10}")
    for count in counts:
        rows = rows_of([texts[index % len(texts)] for index in range(count)])
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            parse = cpu_seconds(lambda: parse_stage(builder, rows, folder))  # noqa: B023
            graphs = cpu_seconds(lambda: graphs_stage(builder, rows, folder))  # noqa: B023
            parses = sum(path.stat().st_size for path in folder.glob("*.spacy")) / 1e6
            table.append((parse, graphs, parses, (folder / "train.graph").stat().st_size / 1e6))
        print("{:12,} {:9.1f} {:9.1f} {:10.1f} {:10.1f}".format(count, *table[-1]), flush=True)
    measured = np.array(table)
    slopes, starts = np.polyfit(counts, measured, 1)
    fitted = np.outer(counts, slopes) + starts
    unexplained = ((measured - fitted) ** 2).sum(0) / ((measured - measured.mean(0)) ** 2).sum(0)
    print("linear fit, R2: " + ", ".join(f"{value:.4f}" for value in 1 - unexplained))
    for name, count in {"official Quora, questions of train": 2 * QUORA_PAIRS, "100M texts": MANY}.items():
        parse, graphs, parses, size = slopes * count + starts
        hours = f"{(parse + graphs) / 3600:,.2f} CPU hours ({parse / (parse + graphs):.0%} of it parsing)"
        print(
            f"extended to {name} ({count:,}): {hours}, parses {parses / 1e3:,.2f} GB, graphs {size / 1e3:,.2f} GB"
        )


def all_pairs(length: int) -> list[list[int]]:
    """The paper's graph: every token of the padded sequence with every other, one edge at a time."""
    edges = []
    for source in range(length):
        for target in range(length):
            if source != target:
                edges.append([source, target])
    return edges


def paper(texts: Sequence[str], device: str) -> None:
    """Building and message passing of the paper's layer, and the building of ours, for one batch."""
    import torch
    from torch_geometric.nn import GATConv
    from transformers import GPT2Config, GPT2Model

    torch.set_num_threads(1)
    torch.manual_seed(0)
    layer = GATConv(WIDTH, WIDTH // HEADS, heads=HEADS).to(device)
    states = torch.randn(BATCH, TOKENS, WIDTH, device=device, requires_grad=True)

    def build() -> list[torch.Tensor]:
        return [torch.tensor(all_pairs(TOKENS), device=device).t().contiguous() for _ in range(BATCH)]

    def pass_messages(edges: list[torch.Tensor]) -> None:
        torch.stack([layer(row, edge) for row, edge in zip(states, edges, strict=True)]).sum().backward()

    model = GPT2Model(GPT2Config(n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS)).to(device)

    def step() -> None:
        model(torch.zeros(BATCH, TOKENS, dtype=torch.long, device=device)).last_hidden_state.sum().backward()

    edges = build()
    building = LAYERS * _seconds(build, device)
    passing = LAYERS * _seconds(lambda: pass_messages(edges), device)
    base = _seconds(step, device, rounds=1)
    total = building + passing + base
    print(f"{BATCH} x {TOKENS} tokens, GPT-2 small, forward and backward on {device}, one thread; seconds per step")
    for name, value in {"building": building, "message passing": passing, "GPT-2 itself": base}.items():
        print(f"the paper's, {name:16} {value:9.4f}   {value / total:6.1%} of the step")
    print(f"building is {building / (building + passing):.1%} of building and message passing")

    builder = new_builder("sst")
    rows = rows_of([" ".join(texts[index : index + 3])[:260] for index in range(BATCH)])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parse = cpu_seconds(lambda: parse_stage(builder, rows, folder))
        graphs = cpu_seconds(lambda: graphs_stage(builder, rows, folder))
        packed = open_graphs(folder / "train.graph")
        prompts = [packed.ids(index).tolist() for index in range(BATCH)]
        width = max(map(len, prompts))

        def load() -> None:
            collate([packed.find(ids) for ids in prompts], width)

        loading = _seconds(load, "cpu", rounds=50)
    print(f"ours, for a batch of up to {width} tokens: {parse:.4f} s to parse and {graphs:.4f} s to build, once")
    print(f"ours, loading and collating    {loading:9.6f}   the paper's building takes {building / loading:,.0f} x")


def _seconds(work: Callable[[], object], device: str, rounds: int = 3) -> float:
    """Seconds of one call, the median of some; CPU time on a CPU, elapsed time on an accelerator."""
    import torch

    clock = time.process_time if device == "cpu" else time.perf_counter
    times = []
    for _ in range(rounds + (device != "cpu")):  # an accelerator's first call also compiles
        start = clock()
        work()
        if device != "cpu":
            torch.accelerator.synchronize()
        times.append(clock() - start)
    return float(np.median(times[-rounds:]))


if __name__ == "__main__":
    main()
