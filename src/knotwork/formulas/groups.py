"""Groups of formulas that no look at the surface can tell apart, each with the formula that answers it.

The formulas of a group are made of the same tokens: some have changed places, nothing else. Each has an answer (the
other side of an identity, a derivative, a value), and the answer to one is wrong for every other. Rows pair every
formula with every answer, so a rule that looks at the tokens of two sides, at either side alone, or at n-grams that
they share gives right and wrong pairs of a group the same marks.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from knotwork.formulas.expressions import NUMBERS, TOKEN, bag, fill, inner, reordered, same, values

Slots = dict[str, str]
ATTEMPTS = 24  # exchanges tried before a draw is given up
WRITINGS = 8  # orders of operands tried likewise
GRAMS = range(1, 6)  # characters of an n-gram; those at the end of a text are shorter


@dataclass(frozen=True)
class Group:
    """Formulas of the same tokens, and the answer to each.

    Attributes:
        level: difficulty, from 1.
        template: what it was made from.
        formulas: as many as a row has choices.
        answers: in the same order.
    """

    level: int
    template: str
    formulas: tuple[str, ...]
    answers: tuple[str, ...]


def draw_slots(pattern: str, depth: int, trigonometric: bool, rng: Random) -> Slots:
    """Something for every letter of a pattern: different numbers, and inner expressions for u, v and w."""
    names = sorted({name for name in TOKEN.findall(pattern) if name.isalpha() and len(name) == 1} - {"x"})
    numbers = [name for name in names if name not in "uvw"]
    slots = {name: str(n) for name, n in zip(numbers, rng.sample(NUMBERS, len(numbers)), strict=True)}
    deepest = rng.choice("uvw")
    for name in names:
        if name in "uvw":
            levels = depth if name == deepest else rng.randrange(depth + 1)
            slots[name] = inner(levels, trigonometric, rng)
    return slots


def variants(pattern: str, slots: Slots, count: int, rng: Random) -> list[Slots] | None:
    """``count`` ways to fill a pattern with the same tokens, all different functions; None if none are found."""
    found = [slots]
    wanted = bag(fill(pattern, slots))
    fixed = set(re.findall(r"(?:/|\*\*) ?(\w+)", pattern))
    known = [values(fill(pattern, slots))]
    for _ in range(ATTEMPTS):
        if len(found) == count:
            return found
        changed = _exchanged(rng.choice(found), fixed, rng)
        if changed is None:
            return None
        text = fill(pattern, changed)
        if bag(text) != wanted:
            continue
        here = values(text)
        if all(same(here, other) is False for other in known):
            found.append(changed)
            known.append(here)
    return found if len(found) == count else None


def written(group: Group, rng: Random) -> tuple[Group, int]:
    """The group with operands in other orders, and how many n-grams are left that tell who belongs together.

    Those are the n-grams in which the formulas differ and the answers too; of some orders the best one is taken.
    """
    best, fewest = group, -1
    for _ in range(WRITINGS):
        seed, other = rng.getrandbits(32), rng.getrandbits(32)
        formulas = tuple(reordered(text, Random(seed)) for text in group.formulas)
        answers = tuple(reordered(text, Random(other)) for text in group.answers)
        telling = len(_differing(formulas) & _differing(answers))
        if all(bag(text) == bag(formulas[0]) for text in formulas) and (fewest < 0 or telling < fewest):
            best, fewest = replace(group, formulas=formulas, answers=answers), telling
        if not fewest:
            break
    return best, fewest


def _differing(texts: Sequence[str]) -> set[str]:
    """The n-grams that some texts have more often than others."""
    counts = [Counter(text[start : start + n] for n in GRAMS for start in range(len(text))) for text in texts]
    return {gram for gram in set().union(*counts) if len({count[gram] for count in counts}) > 1}


def _exchanged(slots: Slots, fixed: set[str], rng: Random) -> Slots | None:
    """The slots with two numbers or two signs exchanged, exponents and divisors aside; None if all are alike."""
    split = {name: TOKEN.findall(text) for name, text in slots.items()}
    places = [
        (name, index)
        for name, parts in split.items()
        for index, token in enumerate(parts)
        if name not in fixed and _kind(token) and (index == 0 or parts[index - 1] not in ("**", "/"))
    ]
    rng.shuffle(places)
    for name, index in places:
        token = split[name][index]
        for other, place in places:
            if _kind(split[other][place]) == _kind(token) and split[other][place] != token:
                split[name][index], split[other][place] = split[other][place], token
                return {key: " ".join(parts) for key, parts in split.items()}
    return None


def _kind(token: str) -> str:
    return "number" if token.isdigit() else "sign" if token in "+-" else ""
