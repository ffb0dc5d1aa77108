"""Formulas to words with heads: the graph of a formula is its expression tree, no parser of language is asked.

Python's own parser reads the formula. Every token becomes a word: numbers, names, operators and functions hang on
the operator or function that they are arguments of; brackets on what is in them, those of a call on the function.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from knotwork.errors import UserError
from knotwork.files import sha256
from knotwork.graphs.words import Words

TOKEN = re.compile(r"\d+|[A-Za-z]+|\*\*|\S")
SIGNS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)
LABELS = ("argument", "bracket", "left", "right")


class FormulaReader:
    """Reads formulas as a parser reads sentences; each is one sentence, and equal numbers and functions one lemma.

    Attributes:
        labels: what an argument is to its operator or function, sorted.
        identity: name, version, place and hash, as a parser has them.
    """

    labels = LABELS

    @property
    def identity(self) -> dict[str, Any]:
        """What reads the formulas: this file."""
        return {"name": "expression tree", "version": "1", "path": "", "sha256": sha256(Path(__file__))}

    def words(self, texts: Iterable[str]) -> Words:
        """The tokens of formulas as words, with their places in the trees.

        Raises:
            UserError: a text is no formula.
        """
        offsets, rows, lemmas = [0], [], {}
        for number, text in enumerate(texts, start=1):
            first = offsets[-1]
            for match, (head, label) in zip(TOKEN.finditer(text), _heads(text), strict=True):
                token = match.group()
                content = token.isdigit() or (token.isalpha() and token != "x")
                lemma = lemmas.setdefault(token, len(lemmas) + 1) if content else 0
                code = 1 + LABELS.index(label) if label else 0
                rows.append((match.start(), match.end(), first + head, code, number, lemma))
            offsets.append(len(rows))
        columns = np.array(rows, np.int64).reshape(-1, 6).T
        starts, ends, heads, labels, sentences, lemma = columns
        return Words(np.array(offsets), starts, ends, heads, labels.astype(np.uint8), sentences, lemma)


def _heads(text: str) -> list[tuple[int, str]]:
    """For every token of a formula its head (itself for the root) and what it is to it."""
    if not text.isascii():
        raise _no_formula(text)
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _no_formula(text) from error
    return _Tree(text).read(tree)


def _no_formula(text: str) -> UserError:
    return UserError(f"{text[:60]!r} is no formula; write it as x**2 + sin(3*x)")


class _Tree:
    """The tokens of one formula, being joined."""

    def __init__(self, text: str) -> None:
        found = list(TOKEN.finditer(text))
        self.text, self.tokens = text, [match.group() for match in found]
        self.at = {match.start(): index for index, match in enumerate(found)}
        self.after = {match.end(): index + 1 for index, match in enumerate(found)}
        self.heads: list[tuple[int, str]] = [(-1, "")] * len(found)

    def read(self, tree: ast.expr) -> list[tuple[int, str]]:
        """Head and label of every token."""
        try:
            root = self._join(tree)
        except (KeyError, IndexError) as error:  # an operator of two signs, or a name with a digit
            raise _no_formula(self.text) from error
        self.heads[root] = (root, "")
        for opening, closing in self._brackets():
            self._hang(opening, closing)
        if any(head < 0 for head, _ in self.heads):  # part of a number with a point, or of a sign that is none here
            raise _no_formula(self.text)
        return self.heads

    def _join(self, node: ast.expr) -> int:
        """Join what is below a node; gives the token that stands for it."""
        for own, children in self._read(node):
            for child, label in children:
                self.heads[self._join(child)] = (own, label)
        return own

    def _read(self, node: ast.expr) -> Iterator[tuple[int, list[tuple[ast.expr, str]]]]:
        """The token that stands for a node, and the nodes below it."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, SIGNS):
            own = self.after[node.left.end_col_offset]
            while self.tokens[own] == ")":
                own += 1
            yield own, [(node.left, "left"), (node.right, "right")]
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            yield self.at[node.col_offset], [(node.operand, "argument")]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args and not node.keywords:
            yield self.at[node.col_offset], [(child, "argument") for child in node.args]
        elif isinstance(node, ast.Name | ast.Constant):
            yield self.at[node.col_offset], []
        else:
            raise _no_formula(self.text)

    def _brackets(self) -> Iterator[tuple[int, int]]:
        """Pairs of brackets, inner ones first."""
        open_ones = []
        for index, token in enumerate(self.tokens):
            if token == "(":
                open_ones.append(index)
            elif token == ")":
                yield open_ones.pop(), index

    def _hang(self, opening: int, closing: int) -> None:
        """Hang a pair of brackets, and the commas between them, on what they belong to."""
        inside = range(opening + 1, closing)
        called = opening > 0 and self.tokens[opening - 1].isalpha()
        tops = [index for index in inside if self._is_top(index, opening, closing)]
        own = opening - 1 if called else tops[0]
        loose = [index for index in inside if self.tokens[index] == "," and self.heads[index][0] < 0]
        for index in (opening, closing, *loose):
            self.heads[index] = (own, "bracket")

    def _is_top(self, index: int, opening: int, closing: int) -> bool:
        """Whether a token between brackets hangs on one outside of them, or on none."""
        head = self.heads[index][0]
        return head >= 0 and (head == index or not opening < head < closing)
