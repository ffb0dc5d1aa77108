"""What the formulas are made from: identities, and expressions to differentiate or evaluate, a list for each split.

Small letters from the beginning of the alphabet stand for numbers, u and v for expressions of x. No template of one
split is that of another, nor its mirror image. Levels grade the difficulty.
"""

from typing import NamedTuple


class Identity(NamedTuple):
    """Two formulas that are equal whatever their letters stand for."""

    level: int
    left: str
    right: str


class Question(NamedTuple):
    """Something to be worked out: the derivative with respect to x, or the value at x = p."""

    level: int
    kind: str
    formula: str


# Level 1 rearranges and opens brackets, level 2 multiplies out, level 3 is trigonometry.
IDENTITIES = {
    "train": (
        Identity(1, "a * u + b * v", "b * v + a * u"),
        Identity(1, "a * (u - v)", "a * u - a * v"),
        Identity(1, "u - (v - a)", "u - v + a"),
        Identity(1, "(u + v) / a", "u / a + v / a"),
        Identity(1, "a - (u + b * v)", "a - u - b * v"),
        Identity(1, "u * (v + a)", "u * v + a * u"),
        Identity(1, "a * u / (b * v)", "a / b * (u / v)"),
        Identity(2, "(u + a) ** 2", "u ** 2 + 2 * a * u + a ** 2"),
        Identity(2, "(a * u - b) ** 2", "a ** 2 * u ** 2 - 2 * a * b * u + b ** 2"),
        Identity(2, "(u + a) * (u + b)", "u ** 2 + (a + b) * u + a * b"),
        Identity(2, "(a * u + b) * (c * u - d)", "a * c * u ** 2 + (b * c - a * d) * u - b * d"),
        Identity(2, "a * (u + b) + c * (u - d)", "(a + c) * u + a * b - c * d"),
        Identity(2, "(u + a) ** 2 - (u - b) ** 2", "2 * (a + b) * u + a ** 2 - b ** 2"),
        Identity(2, "(u + a) ** 3", "u ** 3 + 3 * a * u ** 2 + 3 * a ** 2 * u + a ** 3"),
        Identity(2, "a * (u - b * (v + c))", "a * u - a * b * v - a * b * c"),
        Identity(2, "(a * u + b) / (u + c)", "a + (b - a * c) / (u + c)"),
        Identity(3, "sin(u + v)", "sin(u) * cos(v) + cos(u) * sin(v)"),
        Identity(3, "cos(u - v)", "cos(u) * cos(v) + sin(u) * sin(v)"),
        Identity(3, "a * sin(u) ** 2 + b * cos(u) ** 2", "b + (a - b) * sin(u) ** 2"),
        Identity(3, "a * sin(2 * u) + b * v", "2 * a * sin(u) * cos(u) + b * v"),
        Identity(3, "a * cos(2 * u) + b", "a + b - 2 * a * sin(u) ** 2"),
        Identity(3, "a * sin(u) * sin(v)", "a / 2 * (cos(u - v) - cos(u + v))"),
        Identity(3, "a * sin(u) ** 3", "a / 4 * (3 * sin(u) - sin(3 * u))"),
        Identity(3, "(a * sin(u) + b * cos(u)) ** 2", "b**2 + (a**2 - b**2) * sin(u)**2 + a * b * sin(2 * u)"),
        Identity(3, "sin(u) + sin(v)", "2 * sin((u + v) / 2) * cos((u - v) / 2)"),
        Identity(3, "a * cos(pi - u) + b * v", "b * v - a * cos(u)"),
    ),
    "dev": (
        Identity(1, "u - (a - v)", "u + v - a"),
        Identity(1, "u * (a - v)", "a * u - u * v"),
        Identity(1, "(a - u) / b", "a / b - u / b"),
        Identity(2, "(a * u + b) ** 2", "a ** 2 * u ** 2 + 2 * a * b * u + b ** 2"),
        Identity(2, "(u - a) * (u - b)", "u ** 2 - (a + b) * u + a * b"),
        Identity(2, "a * u - b * (u - c)", "(a - b) * u + b * c"),
        Identity(3, "cos(u + v)", "cos(u) * cos(v) - sin(u) * sin(v)"),
        Identity(3, "a * cos(2 * u) - b", "2 * a * cos(u) ** 2 - a - b"),
        Identity(3, "a * sin(u) * cos(v)", "a / 2 * (sin(u + v) + sin(u - v))"),
    ),
    "test": (
        Identity(1, "a * u - (v + b)", "a * u - v - b"),
        Identity(1, "a * (b * u + v)", "a * b * u + a * v"),
        Identity(1, "(u - v) / a", "u / a - v / a"),
        Identity(2, "(u - a) ** 2", "u ** 2 - 2 * a * u + a ** 2"),
        Identity(2, "(u + a) * (b - u)", "a * b + (b - a) * u - u ** 2"),
        Identity(2, "a * (b - u) - c * (u + d)", "a * b - c * d - (a + c) * u"),
        Identity(3, "sin(u - v)", "sin(u) * cos(v) - cos(u) * sin(v)"),
        Identity(3, "a * cos(u) ** 3", "a / 4 * (3 * cos(u) + cos(3 * u))"),
        Identity(3, "a * cos(u) * cos(v)", "a / 2 * (cos(u - v) + cos(u + v))"),
    ),
}

# Level 1 is a sum, level 2 a product or power, level 3 a function (of derivatives) or a quotient (of values).
QUESTIONS = {
    "train": (
        Question(1, "derivative", "a * u + b * v"),
        Question(1, "derivative", "u - a * v"),
        Question(1, "value", "a * u + v"),
        Question(1, "value", "u - b * (v + a)"),
        Question(2, "derivative", "u * v"),
        Question(2, "derivative", "a * u ** 2 + b"),
        Question(2, "value", "u * v"),
        Question(2, "value", "(u + a) * (v - b)"),
        Question(3, "derivative", "a * sin(u) + v"),
        Question(3, "derivative", "sin(a * u)"),
        Question(3, "value", "u / a - v / b"),
        Question(3, "value", "(a * u - v) / b"),
    ),
    "dev": (
        Question(1, "derivative", "a * u - b * v"),
        Question(1, "value", "a * u - v"),
        Question(2, "derivative", "u * (v + a)"),
        Question(2, "value", "u * (a - v)"),
        Question(3, "derivative", "a * cos(u) + v"),
        Question(3, "value", "(u + v) / a"),
    ),
    "test": (
        Question(1, "derivative", "a * (u + v)"),
        Question(1, "value", "a * u + b * v"),
        Question(2, "derivative", "(u - a) * v"),
        Question(2, "value", "(a - u) * v"),
        Question(3, "derivative", "cos(a * u) + v"),
        Question(3, "value", "(u - a) / b + v"),
    ),
}
