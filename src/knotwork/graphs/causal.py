"""Token graphs for language models: the in-edges of a token are a function of the tokens up to it.

The text is followed token by token. A token whose characters end a word (white space or a mark after it, see
:func:`knotwork.graphs.parse.word_ends`) is the first that can know the word, so the text up to the word's end is
parsed, alone, and this token gets the word's edges to what lies before. They are never revised, whatever later
words do to the parse, and the word's own tokens do not get them: which of these is its last is not known before the
word has ended. Parses of the whole text would tell it, and much more; so would whole characters, since a token may
end inside one: bytes that do not make a character yet are no text yet.
"""

import codecs
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from knotwork.graphs.align import Pieces, last_tokens
from knotwork.graphs.control import random_trees, shuffled_past
from knotwork.graphs.parse import is_mark, word_ends
from knotwork.graphs.token_graph import KINDS, TokenGraph
from knotwork.graphs.words import Words

PARSED = {"dependency", "sentence", "lemma"}
"""Kinds of edges that need a parse."""

REACH = 8
"""Pieces of a word, and occurrences of a lemma, that a token is linked to at most."""

InEdges = tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.uint8]]
Edge = tuple[int, str, int]  # source, kind, label


class Step(NamedTuple):
    """What a token adds to the text.

    Attributes:
        token: its position.
        begin: the character in which it begins.
        pieces: earlier tokens of the word that it goes on with.
        ended: where the last word that it ends has its end; None if it ends none.
    """

    token: int
    begin: int
    pieces: list[int]
    ended: int | None


class Unfolding:
    """The text of a growing sequence of tokens.

    Attributes:
        text: the characters that are complete.
    """

    def __init__(self, pieces: Pieces) -> None:
        self.pieces, self.text = pieces, ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._tokens = 0
        self._open: list[int] = []  # tokens of the word that has not ended
        self._unread: list[int] = []  # tokens of a character that is not complete

    def append(self, code: int) -> Step:
        """Add a token, by its id; one without text, such as the end of the text, stands for a line break."""
        token, begin = self._tokens, len(self.text)
        self._tokens += 1
        new = self._decoder.decode(self._bytes(code))
        self.text += new
        ends = list(word_ends(self.text, begin))
        if not new:
            self._unread.append(token)
            return Step(token, begin, [], None)
        # A token that opens with a mark or a blank has read to the end of the word before, and goes on with none.
        pieces = [] if _ends_words(new[0]) else [*self._open, *self._unread]
        self._unread = []
        if any(map(_ends_words, new)):
            self._open = [] if _ends_words(new[-1]) else [token]
        else:
            self._open = [*pieces, token]
        return Step(token, begin, pieces, ends[-1] if ends else None)

    def _bytes(self, code: int) -> bytes:
        if code in self.pieces.special or not 0 <= code < len(self.pieces.bytes):
            return b"\n"
        return self.pieces.bytes[code]


def _ends_words(character: str) -> bool:
    return character.isspace() or is_mark(character)


class CausalStream:
    """In-edges of tokens, one token at a time.

    Args:
        pieces: what token ids stand for.
        parse: the words of a text.
        edges: kinds of edges, as in ``graphs.edges``.
        control: as in ``graphs.control``; its effect on ``edges`` is the caller's.
        seed: of the controls.
    """

    def __init__(
        self,
        pieces: Pieces,
        parse: Callable[[str], Words],
        edges: Collection[str],
        control: str = "none",
        seed: int = 0,
    ) -> None:
        self._parse, self._edges, self._control, self._seed = parse, edges, control, seed
        self._unfolding = Unfolding(pieces)
        self._begins: list[int] = []
        self._known = 0  # characters up to here belong to words that have ended

    def append(self, token_id: int) -> InEdges:
        """The in-edges of the next token: sources, all before it, kinds and labels, each (edges,)."""
        step = self._unfolding.append(token_id)
        self._begins.append(step.begin)
        found: set[Edge] = set()
        if "sequence" in self._edges and step.token:
            found.add((step.token - 1, "sequence", 0))
        if "word" in self._edges:
            found |= {(piece, "word", 0) for piece in step.pieces[-REACH:]}
        if step.ended is not None and PARSED & set(self._edges):
            found |= self._of_words(self._unfolding.text[: step.ended])
            self._known = step.ended
        edges = sorted((source, KINDS.index(kind), label) for source, kind, label in found if source < step.token)
        sources, kinds, labels = np.array(edges, np.int64).reshape(-1, 3).T
        if self._control == "shuffled" and edges:
            rng = np.random.default_rng([self._seed, step.token, token_id])
            sources = shuffled_past(len(edges), step.token, rng)
        return sources.astype(np.int32), kinds.astype(np.uint8), labels.astype(np.uint8)

    def _of_words(self, text: str) -> set[Edge]:
        """Edges of the words that have ended since the last call, from the parse of all words so far."""
        words = self._parse(text)
        if self._control == "random_tree":
            words = random_trees(words, [text], self._seed)
        nodes = last_tokens(np.array(self._begins), words.ends).tolist()
        ended = np.flatnonzero(words.ends > self._known).tolist()
        edges: set[Edge] = set()
        if "dependency" in self._edges:
            edges |= _dependencies(words, nodes, ended)
        if "sentence" in self._edges:
            edges |= _sentences(words, nodes, ended)
        if "lemma" in self._edges:
            edges |= _lemmas(words, nodes, ended)
        return edges


def _dependencies(words: Words, nodes: list[int], ended: Iterable[int]) -> set[Edge]:
    """From the heads and from the dependents of ended words."""
    edges = set()
    for word in ended:
        head = int(words.heads[word])
        if head >= 0 and head != word:
            edges.add((nodes[head], "head", int(words.labels[word])))
        dependents = np.flatnonzero(words.heads == word).tolist()
        edges |= {(nodes[one], "dependent", int(words.labels[one])) for one in dependents if one != word}
    return edges


def _sentences(words: Words, nodes: list[int], ended: Iterable[int]) -> set[Edge]:
    """From the root of the sentence before, to words that begin a sentence or are its root."""
    roots = np.flatnonzero(words.heads == np.arange(len(words.heads)))
    edges = set()
    for word in ended:
        first = word == 0 or words.sentences[word - 1] != words.sentences[word]
        earlier = roots[words.sentences[roots] < words.sentences[word]]
        if len(earlier) and (first or word in roots):
            edges.add((nodes[earlier[-1]], "sentence", 0))
    return edges


def _lemmas(words: Words, nodes: list[int], ended: Iterable[int]) -> set[Edge]:
    """From the same content lemma in sentences before."""
    edges = set()
    for word in ended:
        if words.lemmas[word]:
            same = words.lemmas[:word] == words.lemmas[word]
            earlier = np.flatnonzero(same & (words.sentences[:word] < words.sentences[word]))
            edges |= {(nodes[one], "lemma", 0) for one in earlier[-REACH:].tolist()}
    return edges


def causal_graph(stream: CausalStream, ids: Iterable[int]) -> TokenGraph:
    """The graph of a whole sequence, from a fresh stream."""
    rows = [stream.append(code) for code in ids]
    offsets = np.cumsum([0, *(len(sources) for sources, _, _ in rows)])
    empty = (np.zeros(0, np.int32), np.zeros(0, np.uint8), np.zeros(0, np.uint8))
    sources, kinds, labels = (np.concatenate(parts) for parts in zip(empty, *rows, strict=True))
    return TokenGraph(offsets.astype(np.int32), sources, kinds, labels)
