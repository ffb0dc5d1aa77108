"""From the parses of a task to its packed graphs: ``data/graphs/<task>/``."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from knotwork import tasks
from knotwork.corpora import Row
from knotwork.encoding import Example, encode
from knotwork.files import sha256, whole_folder
from knotwork.graphs.build import GraphBuilder, pipeline_for
from knotwork.graphs.docs import read_parses, used_rows
from knotwork.graphs.pack import write_graphs
from knotwork.graphs.tokens import open_tokenizer
from knotwork.graphs.words import Words
from knotwork.identity import base_folder, parser_identity
from knotwork.params import Member, Params

SHARD_ROWS = 1024  # formulas whose trees are held in memory at once


def pack_task(params: Params, member: Member, raw: Path, parses: Path, folder: Path) -> None:
    """Pack the graphs of a task's used rows into ``folder``, ``<split>.graph`` each, whole or not at all.

    Args:
        params: the parameters.
        member: the task.
        raw: its corpus files.
        parses: what :func:`knotwork.graphs.docs.parse_task` has made of them.
        folder: where the graphs go.

    Raises:
        UserError: the parses are stale, or the parser or the tokenizer cannot be used.
    """
    task = tasks.get(member.task)
    tokenizer = open_tokenizer(base_folder(params.base.path, params.base.revision))
    nlp = pipeline_for(task, params.graphs.parser)
    builder = GraphBuilder(nlp, tokenizer, task, params.graphs.edges, params.graphs.control, params.corpus.seed)
    identity = parser_identity(params.graphs.parser)

    def read(split: str, rows: Sequence[Row]) -> Iterator[tuple[Sequence[Row], Words]]:
        if nlp is not None:
            yield from read_parses(parses, builder.parser, split, rows, builder.whole, identity)
            return
        for start in range(0, len(rows), SHARD_ROWS):
            here = rows[start : start + SHARD_ROWS]
            yield here, builder.parser.words(text for row in here for text in row.texts)

    def graphs(split: str, rows: Sequence[Row]) -> Iterator[Example]:
        with tqdm(total=len(rows), desc=f"graphs {split}", unit="row", mininterval=1) as bar:
            for here, words in read(split, rows):
                examples = encode(task, here, tokenizer, params.base.max_length)
                yield from builder.examples(examples, words)
                bar.update(len(here))

    corpus = {file.stem: sha256(file) for file in sorted(raw.iterdir())}
    made = {
        **builder.fingerprint,
        "task": task.name,
        "base": params.base.path,
        "max_length": params.base.max_length,
    }
    with whole_folder(folder) as aside:
        for split, rows in used_rows(params, member, raw).items():
            header = made | {"split": split, "corpus": corpus[split]}
            write_graphs(aside / f"{split}.graph", graphs(split, rows), header)
