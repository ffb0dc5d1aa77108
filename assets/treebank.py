"""CoNLL-U treebanks: checked line by line, then read with spaCy's converter."""

from collections.abc import Iterator
from pathlib import Path

from settings import Mistake
from spacy.tokens import Doc
from spacy.training.converters import conllu_to_docs

COLUMNS = 10
SPLITS = ("train", "dev", "test")


def read_treebank(path: Path, document_sentences: int) -> list[Doc]:
    """The documents of a CoNLL-U file, ``document_sentences`` sentences in each, with their original spacing.

    Multiword tokens ("don't") are read as their syntactic words. ``tag_`` is XPOS, or UPOS without one.

    Raises:
        Mistake: the file cannot be read, or a line of it is not CoNLL-U; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        files = ", ".join(f"{split}.conllu" for split in SPLITS)
        raise Mistake(f"{path}: cannot be read ({error}); parser.treebank must hold {files}") from error
    for start, lines in sentences(text):
        check_sentence(path, start, lines)
    if not text.strip():
        raise Mistake(f"{path}: holds no sentence; give a treebank in CoNLL-U")
    return list(conllu_to_docs(text.strip() + "\n", n_sents=document_sentences, no_print=True))


def sentences(text: str) -> Iterator[tuple[int, list[str]]]:
    """The blocks between empty lines, each with the number of its first line (from 1)."""
    block: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if line:
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def check_sentence(path: Path, start: int, lines: list[str]) -> None:
    """Check columns, ids and heads of one sentence whose first line has the number ``start``.

    Raises:
        Mistake: names the line and what is wrong with it.
    """
    heads: dict[int, int] = {}
    numbers: dict[int, int] = {}
    for number, line in enumerate(lines, start=start):
        if line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != COLUMNS:
            raise Mistake(f"{path}:{number}: {len(fields)} tab-separated columns instead of {COLUMNS}; repair it")
        if not fields[0].isdecimal():
            if not fields[0].replace("-", ".", 1).replace(".", "", 1).isdecimal():
                raise Mistake(f"{path}:{number}: {fields[0]!r} is not a word id; repair the line")
            continue  # a multiword token (3-4) or an empty node (3.1): neither has a head in the basic tree
        word = int(fields[0])
        if word != len(heads) + 1:
            raise Mistake(f"{path}:{number}: word id {word} where {len(heads) + 1} is due; repair the line")
        if not fields[6].isdecimal():
            raise Mistake(f"{path}:{number}: head {fields[6]!r} is not a number; repair the line")
        heads[word], numbers[word] = int(fields[6]), number
    if not heads:
        raise Mistake(f"{path}:{start}: a sentence without words; remove it")
    for word, head in heads.items():
        if head > len(heads) or head == word:
            raise Mistake(f"{path}:{numbers[word]}: head {head} is no other word of the sentence; repair it")
    if sum(head == 0 for head in heads.values()) != 1:
        raise Mistake(f"{path}:{start}: the sentence must have exactly one word with head 0; repair it")
    for word in heads:
        seen = {word}
        while word := heads[word]:
            if word in seen:
                raise Mistake(f"{path}:{numbers[word]}: word {word} is its own ancestor; repair the heads")
            seen.add(word)
