"""Token graphs of prompts: arcs between words become edges between the tokens that the model sees.

Edges of a whole text run both ways; how those of a language model are cut to the past is in :mod:`.causal`.
A word is stood for by its last token, the one that has read all of it.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language

from knotwork.encoding import Example
from knotwork.graphs.align import Pieces, Tokens, last_tokens, locate, spans, words_of_tokens
from knotwork.graphs.causal import PARSED, REACH, CausalStream, Unfolding, causal_graph
from knotwork.graphs.control import edges_under, generator, random_trees, shuffled
from knotwork.graphs.docs import documents
from knotwork.graphs.formula import FormulaReader
from knotwork.graphs.parse import Parser, open_parser
from knotwork.graphs.token_graph import KINDS, TokenGraph
from knotwork.graphs.words import Words
from knotwork.identity import parser_identity
from knotwork.tasks.task import Classification, Task


def pipeline_for(task: Task, name: str | Path) -> Language | None:
    """The spaCy pipeline that a task's graphs need; None for formulas.

    Raises:
        UserError: it cannot be loaded, or has no parser or no tagger.
    """
    return None if task.texts == "formula" else open_parser(name)


def reader_identity(task: Task, name: str) -> dict[str, Any]:
    """What reads the texts of a task, told by hash without loading it.

    Raises:
        UserError: there is no such pipeline.
    """
    return FormulaReader().identity if task.texts == "formula" else parser_identity(name)


class GraphBuilder:
    """Makes the token graphs of one task's prompts.

    Args:
        nlp: spaCy pipeline with tagger and parser; None for formulas, whose graph is their own tree.
        tokenizer: the base's tokenizer: a fast one of transformers, or one of tokenizers.
        task: says how a prompt is made, and whether its text is known whole.
        edges: kinds of edges: dependency, word, sentence, lemma, sequence.
        control: none, or the graph to compare with: shuffled, empty, sequence, random_tree.
        seed: of the controls that draw.

    Attributes:
        labels: dependency labels, sorted; an edge's label is 1 + its place here.
        whole: whether texts are known whole and edges run both ways.

    Raises:
        UserError: the pipeline lacks a component, or the tokenizer has no offsets.
    """

    def __init__(
        self,
        nlp: Language | None,
        tokenizer: Any,
        task: Task,
        edges: Collection[str],
        control: str = "none",
        seed: int = 0,
    ) -> None:
        self.parser = FormulaReader() if task.texts == "formula" else Parser(nlp)
        self.pieces, self.task = Pieces(tokenizer), task
        self.edges, self.control, self.seed = sorted(edges), control, seed
        self.labels = self.parser.labels
        self.whole = isinstance(task, Classification)
        self._edges = edges_under(control, edges)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Everything that decides a prompt's graph, by hash where it is large."""
        return {
            "parser": self.parser.identity,
            "tokenizer": self.pieces.sha256,
            "prompt": self.task.prompt["sha256"],
            "edges": self.edges,
            "control": self.control,
            "seed": self.seed,
            "labels": list(self.labels),
        }

    def examples(self, examples: Sequence[Example], words: Words | None = None) -> list[Example]:
        """The examples with their graphs.

        Args:
            examples: prompts of the task.
            words: the parses of :func:`knotwork.graphs.docs.documents` of their rows, in order; parsed here if not
                given.

        Raises:
            UserError: a prompt is not what the task makes of its row's texts.
        """
        if self.whole:
            if words is None:
                words = self.parser.words(text for example in examples for text in example.row.texts)
            graphs = self._whole(examples, words)
        else:
            known = {}
            if words is not None:
                texts = [text for example in examples for text in documents(example.row, whole=False)]
                known = {text: words.text(index) for index, text in enumerate(texts)}
            graphs = self._causal([example.ids for example in examples], known)
        return [replace(example, graph=graph) for example, graph in zip(examples, graphs, strict=True)]

    def causal(self, ids: Sequence[int]) -> TokenGraph:
        """The graph of a sequence for a language model: what :meth:`stream` gives for one token after the other."""
        return self._causal([ids], {})[0]

    def stream(self) -> CausalStream:
        """In-edges of the tokens of a text that is being written."""
        return self._stream({})

    def _stream(self, known: dict[str, Words]) -> CausalStream:
        def parse(text: str) -> Words:
            return known[text] if text in known else self.parser.words([text])

        return CausalStream(self.pieces, parse, self._edges, self.control, self.seed)

    def _causal(self, sequences: Sequence[Sequence[int]], known: dict[str, Words]) -> list[TokenGraph]:
        texts = {text: None for ids in sequences for text in self._ended(ids) if text not in known}
        if texts and PARSED & self._edges:
            words = self.parser.words(texts)
            known = known | {text: words.text(index) for index, text in enumerate(texts)}
        return [causal_graph(self._stream(known), ids) for ids in sequences]

    def _ended(self, ids: Iterable[int]) -> Iterator[str]:
        """The texts that will be parsed on the way."""
        unfolding = Unfolding(self.pieces)
        for step in map(unfolding.append, ids):
            if step.ended is not None:
                yield unfolding.text[: step.ended]

    def _whole(self, examples: Sequence[Example], words: Words) -> list[TokenGraph]:
        texts = [text for example in examples for text in example.row.texts]
        if self.control == "random_tree":
            words = random_trees(words, texts, self.seed)
        tokens = locate(self.pieces, [example.ids for example in examples])
        words, cut = self._place(words, examples, tokens)
        nodes = np.where(cut, -1, last_tokens(tokens.begins, words.ends))
        edges = [some for kind in sorted(self._edges) for some in _EDGES[kind](tokens, words, nodes)]
        graphs = _split(edges, tokens.offsets)
        if self.control == "shuffled":
            keys = ["\n".join(example.row.texts) for example in examples]
            graphs = [shuffled(graph, generator(self.seed, key)) for graph, key in zip(graphs, keys, strict=True)]
        return graphs

    def _place(self, words: Words, examples: Sequence[Example], tokens: Tokens) -> tuple[Words, NDArray[np.bool_]]:
        """Words among the characters of all prompts, without those that were cut away, and which are cut short."""
        places, prompts = [], []
        for index, example in enumerate(examples):
            first, end = tokens.chars[index : index + 2].tolist()
            prompt = self.pieces.text(example.ids) if example.truncated else None
            for span in spans(self.task.template, example.row.texts, end - first, prompt):
                places.append((first + span[0], first + span[1]))
                prompts.append(index)
        of = np.repeat(np.arange(len(places)), np.diff(words.offsets))
        firsts, ends = np.array(places, np.int64).reshape(-1, 2)[of].T
        # Numbers of lemmas are of the whole batch; a prompt's words are compared with one another only.
        lemmas = words.lemmas + np.array(prompts, np.int64)[of] * (words.lemmas.max(initial=0) + 1)
        placed = replace(
            words,
            starts=words.starts + firsts,
            ends=np.minimum(words.ends + firsts, ends),
            lemmas=np.where(words.lemmas > 0, lemmas, 0),
        )
        kept = placed.starts < ends
        return placed.select(kept), (words.ends + firsts > ends)[kept]


class _Edges(NamedTuple):
    """Edges of one kind: sources, targets and labels, each (edges,)."""

    kind: str
    sources: NDArray[np.int64]
    targets: NDArray[np.int64]
    labels: NDArray[np.int64] | int = 0


def _both_ways(kind: str, one: NDArray[np.int64], other: NDArray[np.int64]) -> Iterator[_Edges]:
    """Edges between tokens, -1 standing for none."""
    real = (one >= 0) & (other >= 0) & (one != other)
    yield _Edges(kind, one[real], other[real])
    yield _Edges(kind, other[real], one[real])


def _dependencies(tokens: Tokens, words: Words, nodes: NDArray[np.int64]) -> Iterator[_Edges]:
    """A word and its head."""
    dependents = np.flatnonzero((words.heads >= 0) & (words.heads != np.arange(len(nodes))))
    head, dependent = nodes[words.heads[dependents]], nodes[dependents]
    real = (head >= 0) & (dependent >= 0) & (head != dependent)
    labels = words.labels[dependents][real].astype(np.int64)
    yield _Edges("head", head[real], dependent[real], labels)
    yield _Edges("dependent", dependent[real], head[real], labels)


def _pieces(tokens: Tokens, words: Words, nodes: NDArray[np.int64]) -> Iterator[_Edges]:
    """The tokens of one word."""
    word = words_of_tokens(tokens, words.starts, words.ends)
    for distance in range(1, REACH + 1):
        first = np.flatnonzero((word[distance:] == word[:-distance]) & (word[distance:] >= 0))
        yield from _both_ways("word", first, first + distance)


def _sentences(tokens: Tokens, words: Words, nodes: NDArray[np.int64]) -> Iterator[_Edges]:
    """The roots of neighbouring sentences of a text."""
    roots = np.flatnonzero(words.heads == np.arange(len(nodes)))
    text = np.searchsorted(words.offsets, roots, side="right")
    near = text[1:] == text[:-1]
    yield from _both_ways("sentence", nodes[roots[:-1][near]], nodes[roots[1:][near]])


def _lemmas(tokens: Tokens, words: Words, nodes: NDArray[np.int64]) -> Iterator[_Edges]:
    """The same content lemma in two sentences of a prompt."""
    content = np.flatnonzero(words.lemmas)
    content = content[np.argsort(words.lemmas[content], kind="stable")]
    for distance in range(1, REACH + 1):
        one, other = content[:-distance], content[distance:]
        apart = (words.lemmas[one] == words.lemmas[other]) & (words.sentences[one] != words.sentences[other])
        yield from _both_ways("lemma", nodes[one[apart]], nodes[other[apart]])


def _sequence(tokens: Tokens, words: Words, nodes: NDArray[np.int64]) -> Iterator[_Edges]:
    """Neighbouring tokens of a prompt."""
    first = np.setdiff1d(np.arange(len(tokens.begins)), tokens.offsets[1:] - 1)
    yield from _both_ways("sequence", first, first + 1)


_EDGES = {
    "dependency": _dependencies,
    "word": _pieces,
    "sentence": _sentences,
    "lemma": _lemmas,
    "sequence": _sequence,
}


def _split(edges: Sequence[_Edges], offsets: NDArray[np.int64]) -> list[TokenGraph]:
    """Edges between the tokens of all prompts as a graph for each prompt, every edge once, in order."""
    count = int(offsets[-1])
    keys = [
        ((part.targets * count + part.sources) * len(KINDS) + KINDS.index(part.kind)) * 256 + part.labels
        for part in edges
    ]
    ordered = np.sort(np.concatenate([np.zeros(0, np.int64), *keys]))
    rest, labels = np.divmod(ordered[np.diff(ordered, prepend=-1) > 0], 256)
    rest, kinds = np.divmod(rest, len(KINDS))
    targets, sources = np.divmod(rest, max(count, 1))
    rows = np.searchsorted(targets, np.arange(count + 1))
    prompts = np.searchsorted(offsets, targets, side="right") - 1
    sources, kinds, labels = (
        (sources - offsets[prompts]).astype(np.int32),
        kinds.astype(np.uint8),
        labels.astype(np.uint8),
    )
    graphs = []
    for first, last in pairwise(offsets.tolist()):
        here = rows[first : last + 1]
        edge = slice(here[0], here[-1])
        graphs.append(TokenGraph((here - here[0]).astype(np.int32), sources[edge], kinds[edge], labels[edge]))
    return graphs
