"""A parser, a tokenizer, and builders of every task's graphs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from spacy.language import Language

from knotwork import tasks
from knotwork.corpora import Row
from knotwork.encoding import Example, encode
from knotwork.graphs.align import Pieces
from knotwork.graphs.build import GraphBuilder
from knotwork.graphs.parse import open_parser
from knotwork.graphs.tokens import PlainTokenizer, open_tokenizer

REPOSITORY = Path(__file__).parents[2]
PARSER = str(REPOSITORY / "assets/parser")
BASE = REPOSITORY / "assets/base-tiny"
EDGES = ["dependency", "word", "sentence", "lemma", "sequence"]


@pytest.fixture(scope="session")
def nlp() -> Language:
    return open_parser(PARSER)


@pytest.fixture(scope="session")
def tokenizer() -> PlainTokenizer:
    return open_tokenizer(BASE)


@pytest.fixture(scope="session")
def pieces(tokenizer) -> Pieces:
    return Pieces(tokenizer)


@pytest.fixture(scope="session")
def builder(nlp, tokenizer) -> Callable[..., GraphBuilder]:
    """``builder("sst", edges=..., control=...)``: a builder with all edges unless told otherwise."""

    def make(task: str, edges: list[str] = EDGES, control: str = "none", seed: int = 0) -> GraphBuilder:
        return GraphBuilder(nlp, tokenizer, tasks.get(task), edges, control, seed)

    return make


@pytest.fixture(scope="session")
def examples(tokenizer) -> Callable[..., list[Example]]:
    """``examples("sst", "A text.", ...)``: prompts of texts (or tuples of texts), without graphs."""

    def make(task: str, *texts: str | tuple[str, ...], max_length: int = 512) -> list[Example]:
        rows = [
            Row(str(index), (text,) if isinstance(text, str) else text, None) for index, text in enumerate(texts)
        ]
        return encode(tasks.get(task), rows, tokenizer, max_length)

    return make
