"""Building token graphs: what it costs beside parsing alone, and how it grows.

    python benchmarks/graph_build.py construction|scale [--texts FILE] [--column NAME] [--words N] [--counts N]

construction: both stages against a bare `nlp.pipe` with the same components on the same texts, in turns, and the
prefix parses of sonnets apart. scale: growing numbers of texts, the line through them, and where it leads.
Seconds are CPU time of one process, so that a busy machine changes little. Texts come from tab-separated files,
by default the sample's short and long reviews; sonnets are the sample's. Results go to benchmarks/results/.
"""

import argparse
import csv
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from record import record

from knotwork import tasks
from knotwork.corpora import Row
from knotwork.corpora.normalise import normalise
from knotwork.encoding import Example, encode
from knotwork.graphs.build import GraphBuilder
from knotwork.graphs.docs import documents, read_parses, write_parses
from knotwork.graphs.pack import write_graphs
from knotwork.graphs.parse import open_parser
from knotwork.graphs.tokens import open_tokenizer
from knotwork.identity import parser_identity

REPOSITORY = Path(__file__).parents[1]
SAMPLE = REPOSITORY / "data/sample"
PARSER, BASE = str(REPOSITORY / "assets/parser"), REPOSITORY / "assets/base"
EDGES = ["dependency", "word", "sentence", "lemma", "sequence"]
MAX_LENGTH = 512
SCALED = ["texts", "parse, s", "graphs, s", "parses, MB", "graphs, MB"]
IDENTITY, TOKENIZER = parser_identity(PARSER), open_tokenizer(BASE)
ROUNDS = 3

QUESTIONS = 2 * 283_003  # of the official training split of Quora
MANY = 100_000_000  # texts


def main() -> None:
    """Run one measurement and record its tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["construction", "scale"])
    sample = [SAMPLE / "ids-sst-train.csv", SAMPLE / "ids-cfimdb-train.csv"]
    parser.add_argument("--texts", type=Path, nargs="+", default=sample, help="scale takes the first")
    parser.add_argument("--column", default="sentence", help="the column of the texts (default sentence)")
    parser.add_argument("--words", type=int, default=30_000, help="construction: of each file (default 30,000)")
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 100_000], help="scale: texts")
    arguments = parser.parse_args()
    # spaCy's own checks of the pipeline's version are no part of what is measured.
    logging.getLogger("spacy").setLevel(logging.ERROR)
    if arguments.what == "construction":
        files = {path: read_texts(path, arguments.column) for path in arguments.texts}
        compared = [construction(path, texts, arguments.words) for path, texts in files.items()]
        titles = "Words per CPU second of one process", "A sonnet, parsed once for each of its words"
        record("graph-construction", dict(zip(titles, [pd.concat(compared), sonnets()], strict=True)))
    else:
        measured = scale(read_texts(arguments.texts[0], arguments.column), arguments.counts)
        record("graph-scale", {"Measured": measured.round(2), "Extended": extended(measured)})


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


def construction(path: Path, texts: Sequence[str], most: int) -> pd.DataFrame:
    """Both stages against the parser alone, taking turns."""
    counts = np.cumsum([text.count(" ") + 1 for text in texts])
    texts = texts[: int(np.searchsorted(counts, most)) + 1]
    builder, rows = new_builder("sst"), rows_of(texts)
    words = sum(len(doc) for doc in builder.parser.nlp.pipe(texts))  # the first pass also warms up
    seconds: dict[str, list[float]] = {"alone": [], "parse": [], "graphs": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(ROUNDS):
            seconds["alone"].append(cpu_seconds(lambda: list(map(len, builder.parser.nlp.pipe(texts)))))
            seconds["parse"].append(cpu_seconds(lambda: parse_stage(builder, rows, folder)))
            seconds["graphs"].append(cpu_seconds(lambda: graphs_stage(builder, rows, folder)))
    alone, parse, graphs = (float(np.median(values)) for values in seconds.values())
    row = {
        "texts": path.parent.name + "/" + path.name,
        "number": f"{len(texts):,}",
        "words each": round(words / len(texts)),
        "nlp.pipe alone": round(words / alone),
        "parse": round(words / parse),
        "graphs": round(words / graphs),
        "both stages": round(words / (parse + graphs)),
        "both, of nlp.pipe": round(alone / (parse + graphs), 3),
    }
    return pd.DataFrame([row])


def sonnets(count: int = 4) -> pd.DataFrame:
    """What prefix parses cost."""
    builder = new_builder("sonnet")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(SAMPLE / "sonnets.txt", folder / "train.txt")
        rows = builder.task.read(folder, "train").rows[:count]
        prefixes = [text for row in rows for text in documents(row, whole=False)]
        parse = cpu_seconds(lambda: parse_stage(builder, rows, folder))
        graphs = cpu_seconds(lambda: graphs_stage(builder, rows, folder))
    words = sum(len(text.split()) for text in prefixes)
    row = {
        "prefixes": round(len(prefixes) / count),
        "words in them": round(words / count),
        "seconds to parse": round(parse / count, 2),
        "seconds to build": round(graphs / count, 2),
        "words per second of parse": round(words / parse),
    }
    return pd.DataFrame([row])


def scale(texts: Sequence[str], counts: Sequence[int]) -> pd.DataFrame:
    """Time and size of growing corpora, the texts repeated as often as needed."""
    builder = new_builder("sst")
    list(builder.parser.nlp.pipe(texts[:200]))
    table = []
    for count in counts:
        rows = rows_of([texts[index % len(texts)] for index in range(count)])
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            parse = cpu_seconds(lambda: parse_stage(builder, rows, folder))  # noqa: B023
            graphs = cpu_seconds(lambda: graphs_stage(builder, rows, folder))  # noqa: B023
            parses = sum(path.stat().st_size for path in folder.glob("*.spacy")) / 1e6
            packed = (folder / "train.graph").stat().st_size / 1e6
        table.append(dict(zip(SCALED, (count, parse, graphs, parses, packed), strict=True)))
    return pd.DataFrame(table)


def extended(measured: pd.DataFrame) -> pd.DataFrame:
    """The line through every column, and where it leads."""
    counts, values = measured["texts"], measured[SCALED[1:]]
    slopes, starts = np.polyfit(counts, values, 1)
    rows = {"per 1,000 texts": 1000 * slopes}
    for name, count in {"official Quora, questions of train": QUESTIONS, "100M texts": MANY}.items():
        rows[f"{name}: {count:,}"] = slopes * count + starts
    fits = [np.corrcoef(counts, values[column])[0, 1] ** 2 for column in values]
    cells = {name: [f"{value:,.2f}" for value in row] for name, row in rows.items()}
    cells["R² of the line"] = [f"{fit:.5f}" for fit in fits]
    return pd.DataFrame.from_dict(cells, orient="index", columns=values.columns).rename_axis("").reset_index()


if __name__ == "__main__":
    main()
