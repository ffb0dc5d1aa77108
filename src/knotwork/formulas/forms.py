"""The two forms of the task: are two formulas equal, and which of four is the answer?"""

import ast
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations
from math import inf
from random import Random
from typing import Any, ClassVar

import sympy

from knotwork.formulas.expressions import NUMBERS, fill, same, values
from knotwork.formulas.groups import Group, Slots, draw_slots, variants
from knotwork.formulas.identities import IDENTITIES, QUESTIONS, Identity, Question

Row = list[str | int]
Fits = Callable[[Sequence[str]], bool]
_NAMES = {
    **{letter: sympy.Symbol(letter) for letter in "xuvw"},
    **{"sin": sympy.sin, "cos": sympy.cos, "pi": sympy.pi, "Integer": sympy.Integer, "__builtins__": {}},
}

LONGEST = 9  # characters of a value

# What is done to both sides of an identity; deep formulas have two of these around them.
_CONTEXTS = ("t", "t", "t + w", "w - t", "k * t", "w * t", "k * t - w", "cos(t)")


class Form(ABC):
    """A way to ask about formulas.

    Attributes:
        columns: of the corpus file, between the id and the notes on where a row came from.
        templates: by split.
        choices: formulas of a group, and answers of a row.
        telling: n-grams by which a group may tell which answer belongs to which formula.
    """

    columns: ClassVar[tuple[str, ...]]
    templates: ClassVar[dict[str, tuple[Any, ...]]]
    choices: ClassVar[int]
    telling: ClassVar[float]

    @abstractmethod
    def draw(self, template: Any, depth: int, fits: Fits, rng: Random) -> Group | None:
        """A group of formulas that ``fits`` takes, or None where chance gave nothing of use."""

    @abstractmethod
    def rows(self, group: Group, rng: Random) -> list[Row]:
        """Every formula of a group with every answer: values of the columns."""


class Equality(Form):
    """Are two formulas equal for all x? Two identities make four rows, two of them true."""

    columns = ("formula1", "formula2", "equal")
    templates = IDENTITIES
    choices = 2
    telling = 0

    def draw(self, template: Identity, depth: int, fits: Fits, rng: Random) -> Group | None:
        """Both sides of an identity in the same surroundings."""
        context = fill(rng.choice(_CONTEXTS), {"t": rng.choice(_CONTEXTS)}) if depth > 2 else rng.choice(_CONTEXTS)
        pattern = fill(context, {"t": template.left})
        filled = variants(pattern, draw_slots(pattern, depth, True, rng), self.choices, rng)
        if filled is None:
            return None
        formulas = [fill(pattern, slots) for slots in filled]
        if not fits(formulas):
            return None
        answers = [fill(context, {"t": _worked_out(template.right, slots)}) for slots in filled]
        answers = [fill(answer, slots) for answer, slots in zip(answers, filled, strict=True)]
        if not all(same(values(one), values(other)) for one, other in zip(formulas, answers, strict=True)):
            return None
        return Group(template.level, template.left, tuple(formulas), tuple(answers))

    def rows(self, group: Group, rng: Random) -> list[Row]:
        """Two true pairs and the two that come of exchanging; all four with the same side first."""
        turned = rng.random() < 0.5
        rows = []
        for one, formula in enumerate(group.formulas):
            for other, answer in enumerate(group.answers):
                sides = (answer, formula) if turned else (formula, answer)
                rows.append([*sides, int(one == other)])
        return rows


class Choice(Form):
    """Which of four formulas is the derivative, or which of four numbers the value? Four rows a group."""

    columns = ("question", "choice1", "choice2", "choice3", "choice4", "answer")
    templates = QUESTIONS
    choices = 4
    telling = inf  # a derivative repeats what it is made from

    def draw(self, template: Question, depth: int, fits: Fits, rng: Random) -> Group | None:
        """Four formulas, and the derivative or value of each."""
        derivative = template.kind == "derivative"
        slots = draw_slots(template.formula, depth, derivative, rng)
        filled = variants(template.formula, slots, self.choices, rng)
        if filled is None:
            return None
        formulas = [fill(template.formula, slots) for slots in filled]
        place = rng.choice(NUMBERS)
        asked = "diff({}, x)" if derivative else f"subs({{}}, x, {place})"
        questions = [asked.format(formula) for formula in formulas]
        if not fits(questions):
            return None
        if derivative:
            answers = [str(sympy.diff(_exact(formula), _NAMES["x"])) for formula in formulas]
            if any(same(values(a), values(b)) is not False for a, b in combinations(answers, 2)):
                return None
        else:
            answers = [str(_value(formula, place)) for formula in formulas]
            if len(set(answers)) < len(answers) or max(map(len, answers)) > LONGEST:
                return None
        return Group(template.level, f"{template.kind} of {template.formula}", tuple(questions), tuple(answers))

    def rows(self, group: Group, rng: Random) -> list[Row]:
        """The four questions before the same four answers; each place is right once."""
        order = rng.sample(range(self.choices), self.choices)
        shown = [group.answers[index] for index in order]
        return [[question, *shown, order.index(index)] for index, question in enumerate(group.formulas)]


def _worked_out(pattern: str, slots: Slots) -> str:
    """What sympy makes of a pattern with its numbers; the letters that stand for expressions stay."""
    return str(_exact(fill(pattern, {name: text for name, text in slots.items() if text.isdigit()})))


def _exact(text: str) -> sympy.Expr:
    """The formula as sympy's, its numbers exact."""
    tree = ast.fix_missing_locations(_Integers().visit(ast.parse(text, mode="eval")))
    return eval(compile(tree, "formula", "eval"), _NAMES)


def _value(formula: str, place: int) -> Fraction:
    """Its exact value at x = place."""
    tree = ast.fix_missing_locations(_Integers().visit(ast.parse(formula, mode="eval")))
    return eval(compile(tree, "formula", "eval"), {"x": Fraction(place), "Integer": Fraction, "__builtins__": {}})


class _Integers(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.Call:
        return ast.Call(ast.Name("Integer", ast.Load()), [node], [])
