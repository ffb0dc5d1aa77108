"""Texts to words with heads, labels, sentences and lemmas (spaCy), as plain arrays.

What is parsed of a text depends on the task: classification knows a text whole; a language model may use no more
than what has been written so far, so there every prefix that ends with a word is parsed on its own.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import spacy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.strings import StringStore
from spacy.tokens import Doc, DocBin

from knotwork.errors import UserError
from knotwork.graphs.words import Words
from knotwork.identity import parser_identity

COMPONENTS = ("tok2vec", "transformer", "tagger", "morphologizer", "attribute_ruler", "lemmatizer", "parser")
ATTRIBUTES = ("ORTH", "HEAD", "DEP", "TAG", "POS", "LEMMA", "SENT_START")

BATCH = 64  # texts at a time: as quick as more of them, and long texts take a tenth of a gigabyte, not one
LONGEST = 1024  # words of a text whose prefixes are parsed; GPT-2 reads no more tokens

CONTENT_POS = {"NOUN", "PROPN", "VERB", "ADJ", "ADV"}
CONTENT_TAGS = ("NN", "VB", "JJ", "RB")
INSIDE_WORDS = "'’-‐‑"  # marks that do not end a word: summer's, world-wide


class Parser:
    """A spaCy pipeline that turns texts into :class:`Words`.

    Attributes:
        nlp: the pipeline.
        labels: its dependency labels, sorted.

    Raises:
        UserError: the pipeline has no parser or no tagger, or more labels than a byte can number.
    """

    def __init__(self, nlp: Language) -> None:
        check_components(nlp)
        self.nlp = nlp
        self.labels = tuple(sorted(nlp.get_pipe("parser").labels))
        if len(self.labels) > 254:
            raise UserError(f"graphs.parser: {len(self.labels)} dependency labels; at most 254 can be packed")

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version, place and hash of the pipeline."""
        meta, path = self.nlp.meta, str(self.nlp.path)
        own = {"name": f"{meta['lang']}_{meta['name']}", "version": meta["version"], "path": path}
        return own | {"sha256": parser_identity(path)["sha256"]}

    def parse(self, texts: Iterable[str], processes: int = 1) -> Iterator[Doc]:
        """One document for each text, in order."""
        return self.nlp.pipe(map(self._readable, texts), batch_size=BATCH, n_process=processes)

    def words(self, texts: Iterable[str]) -> Words:
        """Parse texts, and read off their words."""
        return self.read(DocBin(ATTRIBUTES, docs=self.parse(texts)))

    def read(self, docs: DocBin) -> Words:
        """The words of documents as arrays, without making the documents."""
        for string in docs.strings:
            self.nlp.vocab.strings.add(string)
        counts = [len(tokens) for tokens in docs.tokens]
        width = len(docs.attrs)
        table = np.concatenate([np.zeros((0, width), np.uint64), *docs.tokens])
        columns = dict(zip(docs.attrs, table.T, strict=True))
        columns = {name: columns[spacy.attrs.IDS[name]] for name in ATTRIBUTES}
        spaces = np.concatenate([np.zeros((0, 1), bool), *docs.spaces])[:, 0].astype(np.int64)
        return self._words(np.cumsum([0, *counts]), columns, spaces)

    def _words(self, offsets: NDArray, columns: dict[str, NDArray], spaces: NDArray) -> Words:
        strings, stop_words = self.nlp.vocab.strings, self.nlp.Defaults.stop_words
        orths, orth = np.unique(columns["ORTH"], return_inverse=True)
        written = [strings[key] for key in orths.tolist()]
        lengths = np.array([len(word) for word in written], np.int64)[orth]
        ends_in_all = np.cumsum(lengths + spaces)
        before = np.concatenate([[0], ends_in_all])[offsets[:-1]]  # characters of all earlier texts
        starts = ends_in_all - lengths - spaces - np.repeat(before, np.diff(offsets))

        heads = np.arange(len(starts)) + columns["HEAD"].astype(np.int64)
        first = np.zeros(len(starts), bool)
        first[offsets[:-1][np.diff(offsets) > 0]] = True
        sentences = np.cumsum(first | (columns["SENT_START"] == 1))
        number = {label: code for code, label in enumerate(self.labels, start=1)}
        labels = _by_value(columns["DEP"], strings, lambda label: number.get(label, 0)).astype(np.uint8)

        stop = np.array([word.lower() in stop_words for word in written], bool)[orth]
        lemmas = np.where(_content(columns, strings) & ~stop, self._lemmas(columns, strings), 0)

        white = np.array([not word or word.isspace() for word in written], bool)[orth]
        return Words(offsets, starts, starts + lengths, heads, labels, sentences, lemmas).select(~white)

    def _lemmas(self, columns: dict[str, NDArray], strings: StringStore) -> NDArray[np.int64]:
        """Equal numbers for equal lemmas, from 1; the word in lower case where the pipeline has no lemmatizer."""
        keys = np.where(columns["LEMMA"] > 0, columns["LEMMA"], columns["ORTH"])
        numbers: dict[str, int] = {}
        return _by_value(keys, strings, lambda word: numbers.setdefault(word.lower(), len(numbers) + 1))

    def _readable(self, text: str) -> str:
        """A line break is a word of its own to spaCy, and often a root: to the parser it is a space."""
        if len(text) > self.nlp.max_length:
            raise UserError(
                f"{text[:30]!r}...: a text of {len(text)} characters; the parser takes {self.nlp.max_length}; "
                "cut it"
            )
        return re.sub(r"\s", " ", text)


def _by_value(keys: NDArray, strings: StringStore, number: Any) -> NDArray[np.int64]:
    """``number(string)`` for every key, worked out once for each that occurs."""
    values, places = np.unique(keys, return_inverse=True)
    return np.array([number(strings[key]) for key in values.tolist()], np.int64)[places]


def _content(columns: dict[str, NDArray], strings: StringStore) -> NDArray[np.bool_]:
    """Nouns, verbs, adjectives and adverbs, by part of speech or, where there is none, by tag."""
    if columns["POS"].any():
        return _by_value(columns["POS"], strings, CONTENT_POS.__contains__).astype(bool)
    return _by_value(columns["TAG"], strings, lambda tag: tag.startswith(CONTENT_TAGS)).astype(bool)


def open_parser(name: str | Path) -> Language:
    """Load a spaCy pipeline from a folder or an installed package, with the needed components only.

    Raises:
        UserError: it cannot be loaded, or has no parser or no tagger.
    """
    try:
        nlp = spacy.load(name)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"graphs.parser: {name} cannot be loaded ({reason}); use assets/parser") from error
    check_components(nlp, name)
    for component in nlp.component_names:
        if component not in COMPONENTS:
            nlp.remove_pipe(component)
    return nlp


def check_components(nlp: Language, name: str | Path = "the pipeline") -> None:
    """Refuse a pipeline without a parser or without a tagger (or morphologizer)."""
    lacking = [] if "parser" in nlp.pipe_names else ["parser"]
    if not {"tagger", "morphologizer"} & set(nlp.pipe_names):
        lacking.append("tagger")
    if lacking:
        raise UserError(
            f"graphs.parser: {name} has no {' and no '.join(lacking)} "
            f"(it has {', '.join(nlp.pipe_names) or 'no components'}); use assets/parser"
        )


@cache
def is_mark(character: str) -> bool:
    """Whether a character is punctuation or a symbol that ends the word before it."""
    category = unicodedata.category(character)
    return (category[0] in "PS" or category == "Cc") and character not in INSIDE_WORDS


def word_ends(text: str, start: int = 0) -> Iterator[int]:
    """Places p >= start where a word ends for sure, because ``text[p]`` ends it: white space or a mark.

    Marks in a row end together, at the white space or the word after them. Whether p is such a place is decided
    by ``text[: p + 1]`` alone.
    """
    for place in range(max(start, 1), len(text)):
        before, here = text[place - 1], text[place]
        if before.isspace():
            continue
        if here.isspace() or (is_mark(here) and not is_mark(before)):
            yield place


def prefixes(text: str) -> list[str]:
    """What of a text a language model may have parsed, word by word; the end of the text ends a word."""
    return [text[:place] for place in islice(word_ends(f"{text}\n"), LONGEST)]
