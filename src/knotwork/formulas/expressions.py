"""Formulas of x as text in Python's notation: filled in, written anew, measured.

The tree of a formula is the one that Python's own parser gives, so text and tree never disagree.
"""

import ast
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from random import Random

import numpy as np
from numpy.typing import NDArray

FUNCTIONS = ("sin", "cos")
NUMBERS = range(2, 10)
TOKEN = re.compile(r"\d+|[A-Za-z]+|\*\*|\S")

# Places at which formulas are compared: irregular, and small, so that high powers stay within a float's reach.
POINTS = np.sin(np.arange(1.0, 25.0)) * 1.31 + 0.0173
EQUAL, APART = 1e-9, 1e-5  # relative differences below the one are rounding, above the other are real

_SIGNS = {ast.Add: (" + ", 1), ast.Sub: (" - ", 1), ast.Mult: ("*", 2), ast.Div: ("/", 2), ast.Pow: ("**", 3)}

# Inner expressions by what they are made of: n is a number, y and z are smaller ones.
_SMALL = ("x", "n * x", "x + n", "x - n", "n - x", "x ** 2")
_POLYNOMIAL = ("n * y", "y + n", "n - y", "y + z", "y - z", "y * z", "y ** 2", "n * y + z", "y * (z - n)")
_TRIGONOMETRIC = ("sin(y)", "cos(y)", "n * sin(y)", "y + cos(z)", "cos(y) - n", "y * sin(z)", "sin(y) - cos(z)")


def tokens(text: str) -> list[str]:
    """Numbers, names, operators and brackets, in order."""
    return TOKEN.findall(text)


def inner(depth: int, trigonometric: bool, rng: Random) -> str:
    """A random expression of x, of about ``depth`` levels."""
    if depth <= 0:
        return fill(rng.choice(_SMALL), {"n": rng.choice(NUMBERS)})
    shape = rng.choice(_POLYNOMIAL + _TRIGONOMETRIC if trigonometric else _POLYNOMIAL)
    deep, other = inner(depth - 1, trigonometric, rng), inner(rng.randrange(depth), trigonometric, rng)
    return fill(shape, {"n": rng.choice(NUMBERS), "y": deep, "z": other})


def fill(pattern: str, slots: Mapping[str, str | int]) -> str:
    """The pattern with an expression in the place of each name; brackets only where they are needed."""
    return _written(_filled(_tree(pattern), {name: _tree(str(text)) for name, text in slots.items()}))


def reordered(text: str, rng: Random) -> str:
    """The same with the operands of some sums and products exchanged: x - 2*y may become -2*y + x.

    Formulas of the same shape are changed alike by generators in the same state.
    """
    return _written(_reordered(_tree(text), rng))


def structure(text: str) -> str:
    """The tree without its numbers, signs and the order of operands: what two formulas of one structure share."""
    return _structure(_tree(text))


def depth(text: str) -> int:
    """Levels of operators and functions above the deepest leaf; a sum or product of many terms is one level."""
    return _depth(_tree(text))


def bag(text: str) -> Counter[str]:
    """How often each token occurs."""
    return Counter(tokens(text))


def values(text: str) -> NDArray[np.float64]:
    """The values at :data:`POINTS`, (points,)."""
    names = {"x": POINTS, "sin": np.sin, "cos": np.cos, "tan": np.tan, "pi": np.pi, "__builtins__": {}}
    with np.errstate(all="ignore"):
        found = eval(compile(ast.parse(text, mode="eval"), "formula", "eval"), names)
    return np.broadcast_to(np.asarray(found, np.float64), POINTS.shape)


def same(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool | None:
    """Whether two formulas have the same values; None where numbers are too few or too near to tell."""
    finite = np.isfinite(one) & np.isfinite(other)
    if finite.sum() < len(one) // 2:
        return None
    one, other = one[finite], other[finite]
    difference = np.max(np.abs(one - other) / (1 + np.abs(one) + np.abs(other)))
    return True if difference < EQUAL else False if difference > APART else None


def _filled(node: ast.expr, trees: Mapping[str, ast.expr]) -> ast.expr:
    if isinstance(node, ast.Name):
        return trees.get(node.id, node)
    return _rebuilt(node, [_filled(child, trees) for child in _parts(node)])


def _reordered(node: ast.expr, rng: Random) -> ast.expr:
    turn = isinstance(node, ast.BinOp) and rng.random() < 0.5  # drawn for every operator, so that shapes keep step
    parts = [_reordered(child, rng) for child in _parts(node)]
    if turn and isinstance(node.op, ast.Add | ast.Sub):
        first = _negative(parts[1]) if isinstance(node.op, ast.Sub) else parts[1]
        if isinstance(parts[0], ast.UnaryOp):
            return ast.BinOp(first, ast.Sub(), parts[0].operand)
        return ast.BinOp(first, ast.Add(), parts[0])
    if turn and isinstance(node.op, ast.Mult):
        parts.reverse()
    return _rebuilt(node, parts)


def _negative(node: ast.expr) -> ast.expr:
    """Less by nought: the sign goes to the first factor of a product."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
        return ast.BinOp(_negative(node.left), node.op, node.right)
    return node.operand if isinstance(node, ast.UnaryOp) else ast.UnaryOp(ast.USub(), node)


def _parts(node: ast.expr) -> list[ast.expr]:
    """What a node works on."""
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.Call):
        return node.args
    return [node.operand] if isinstance(node, ast.UnaryOp) else []


def _rebuilt(node: ast.expr, parts: list[ast.expr]) -> ast.expr:
    """The node with other parts."""
    if isinstance(node, ast.BinOp):
        return ast.BinOp(parts[0], node.op, parts[1])
    if isinstance(node, ast.Call):
        return ast.Call(node.func, parts, [])
    return ast.UnaryOp(node.op, parts[0]) if isinstance(node, ast.UnaryOp) else node


def _written(node: ast.expr, above: int = 0) -> str:
    """A tree as text, from which Python reads the same tree; in brackets if it binds less than ``above`` asks."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call):
        return f"{node.func.id}({', '.join(map(_written, node.args))})"
    if isinstance(node, ast.UnaryOp):
        binding, text = 2, f"-{_written(node.operand, 3)}"
    else:
        sign, binding = _SIGNS[type(node.op)]
        left, right = (4, 3) if sign == "**" else (binding, binding + 1)
        text = f"{_written(node.left, left)}{sign}{_written(node.right, right)}"
    return f"({text})" if binding < above else text


@cache
def _tree(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _operands(node: ast.expr, kinds: type | tuple[type, ...]) -> list[ast.expr]:
    """The terms of a sum, the factors of a product, whatever their signs."""
    node = _unsigned(node)
    if isinstance(node, ast.BinOp) and isinstance(node.op, kinds):
        return [*_operands(node.left, kinds), *_operands(node.right, kinds)]
    return [node]


def _children(node: ast.expr) -> tuple[str, list[ast.expr]]:
    """What a node does, and to what."""
    if isinstance(node, ast.Call):
        return node.func.id, node.args
    for sign, kinds in (("+", (ast.Add, ast.Sub)), ("*", (ast.Mult,))):
        operands = _operands(node, kinds)
        if len(operands) > 1:
            return sign, operands
    return ("/" if isinstance(node.op, ast.Div) else "**"), [node.left, node.right]


def _unsigned(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.UnaryOp):
        node = node.operand
    return node


def _structure(node: ast.expr) -> str:
    node = _unsigned(node)
    if isinstance(node, ast.Constant):
        return "n"
    if isinstance(node, ast.Name):
        return node.id
    name, children = _children(node)
    inside = [_structure(child) for child in children]
    return f"{name}({' '.join(sorted(inside) if name in '+*' else inside)})"


def _depth(node: ast.expr) -> int:
    node = _unsigned(node)
    if isinstance(node, ast.Constant | ast.Name):
        return 0
    return 1 + max(_depth(child) for child in _children(node)[1])
