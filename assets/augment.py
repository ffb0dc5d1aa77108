"""Rewritten treebank sentences, so that the parser meets the texts it will be used on.

The treebank is edited web text; the task corpora are not: words set apart by blanks as in the Penn Treebank,
brackets written ``-LRB-``, everything in lower case, no final full stop, words never seen. Each rewriting
keeps tags, heads and labels on their words.
"""

import random
import string
from collections import Counter
from collections.abc import Callable, Iterator

import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Token
from spacy.training import Example
from spacy.vocab import Vocab

BRACKETS = {"(": "-LRB-", ")": "-RRB-"}
QUOTES = {'"', "“", "”"}
KEPT_SUFFIX = 3  # the length of spaCy's SUFFIX attribute; PREFIX is one character


def rewrite(doc: Doc, words: list[str], spaces: list[bool], keep: list[bool] | None = None) -> Doc:
    """The same tree over other words; tokens with a false ``keep`` (no dependents allowed) are left out."""
    kept = [token for token in doc if keep is None or keep[token.i]]
    place = {token.i: i for i, token in enumerate(kept)}
    return Doc(
        doc.vocab,
        words=[words[token.i] for token in kept],
        spaces=[spaces[token.i] for token in kept],
        tags=[token.tag_ for token in kept],
        deps=[token.dep_ for token in kept],
        heads=[place[token.head.i] for token in kept],
    )


def lower_cased(doc: Doc) -> Doc:
    """Every word in lower case."""
    return rewrite(doc, [token.text.lower() for token in doc], [bool(token.whitespace_) for token in doc])


def set_apart(doc: Doc, *, penn: bool) -> Doc:
    """Blanks between all words; with ``penn``, brackets and quotation marks in Penn Treebank spelling."""
    words = [penn_form(token) if penn else token.text for token in doc]
    return rewrite(doc, words, [True] * len(doc))


def penn_form(token: Token) -> str:
    """A word as the Penn Treebank writes it; a quotation mark right before a word is an opening one."""
    if token.text in QUOTES:
        return "''" if token.whitespace_ else "``"
    return BRACKETS.get(token.text, token.text)


def without_final_punctuation(doc: Doc, chance: float) -> Doc:
    """Each sentence loses its closing punctuation mark with the given chance."""
    keep = [True] * len(doc)
    spaces = [bool(token.whitespace_) for token in doc]
    for sentence in doc.sents:
        last = sentence[-1]
        is_closing_mark = last.dep_ == "punct" and not any(last.children) and len(sentence) > 1
        if is_closing_mark and random.random() < chance:
            keep[last.i] = False
            spaces[last.i - 1] = True
    return rewrite(doc, [token.text for token in doc], spaces, keep)


def disguise(word: str) -> str:
    """A word nobody has seen, with the first letter, the ending and the shape of ``word``."""
    letters = string.ascii_uppercase if word.isupper() else string.ascii_lowercase
    inner = max(1, len(word) - 1 - KEPT_SUFFIX)
    return word[0] + "".join(random.choices(letters, k=inner)) + word[-KEPT_SUFFIX:]


def with_unknown_words(doc: Doc, counts: Counter[str], weight: float) -> Doc:
    """Disguise a word seen ``n`` times in training with chance ``weight / (weight + n)``.

    The chance is the word dropout of Kiperwasser and Goldberg (2016, section 4.1). It teaches that the
    embedding of a word never seen (in hash embeddings: some rows of other words) says nothing.
    """
    words = [
        disguise(token.text)
        if len(token) > KEPT_SUFFIX
        and token.text.isalpha()
        and random.random() < weight / (weight + counts[token.text.lower()])
        else token.text
        for token in doc
    ]
    return rewrite(doc, words, [bool(token.whitespace_) for token in doc])


@spacy.registry.augmenters("knotwork.real_text.v1")
def create_augmenter(
    corpus: str, lower: float, spaced: float, unpunctuated: float, unknown: float
) -> Callable[[Language, Example], Iterator[Example]]:
    """An augmenter that yields one variant of each example, drawn anew in every epoch.

    Args:
        corpus: the training documents (``.spacy``), for word counts.
        lower: share of documents in lower case.
        spaced: share of documents with blanks between all words, half of them in Penn Treebank spelling.
        unpunctuated: chance of a sentence to lose its final punctuation.
        unknown: weight of the word dropout, see :func:`with_unknown_words`; 0 switches it off.
    """
    counts: Counter[str] = Counter()
    for doc in DocBin().from_disk(corpus).get_docs(Vocab()):
        counts.update(token.text.lower() for token in doc)

    def augment(nlp: Language, example: Example) -> Iterator[Example]:
        doc = without_final_punctuation(example.reference, unpunctuated)
        doc = with_unknown_words(doc, counts, unknown) if unknown else doc
        if random.random() < lower:
            doc = lower_cased(doc)
        if random.random() < spaced:
            doc = set_apart(doc, penn=random.random() < 0.5)
        yield Example(nlp.make_doc(doc.text), doc)

    return augment
