"""Examples that set runs apart: classes that they disagree on, sonnets that they continue."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from knotwork.report import verse
from knotwork.report.comparison.contrasts import Group
from knotwork.report.elements import Sonnets
from knotwork.report.names import sentence_case


@dataclass(frozen=True)
class Answer:
    """A run's answer: the commonest over its seeds, with ``2 of 3 seeds`` if not all gave it."""

    run: str
    label: str
    votes: str


@dataclass(frozen=True)
class Disagreement:
    """An example, its true class, every run's answer, and how far apart their NLLs are, in nats.

    ``text_hash`` names its text, which the results themselves do not hold.
    """

    id: str
    text_hash: str
    gold: str
    answers: list[Answer]
    spread: float


def disagreements(group: Group) -> list[Disagreement]:
    """The examples on which runs answer differently, the widest apart first."""
    classes = group.first.result.pictures.classes
    answers = [
        [_answer(entry.run, each, classes) for each in entry.scores.predictions.T] for entry in group.entries
    ]
    spread = np.ptp([entry.scores.nll.mean(axis=0) for entry in group.entries], axis=0)
    scores = group.first.scores
    examples = zip(scores.ids, scores.hashes, scores.gold, zip(*answers, strict=True), spread, strict=True)
    found = [
        Disagreement(name, text, _name(gold, classes), list(given), float(apart))
        for name, text, gold, given, apart in examples
        if len({answer.label for answer in given}) > 1
    ]
    return sorted(found, key=lambda example: -example.spread)


def _answer(run: str, seeds: np.ndarray, classes: list[str]) -> Answer:
    label, count = Counter(seeds.tolist()).most_common(1)[0]
    votes = "" if count == len(seeds) else f"{count} of {len(seeds)} seeds"
    return Answer(run, _name(label, classes), votes)


def _name(label: str, classes: list[str]) -> str:
    """A class's name; the label itself where it is no class."""
    return classes[int(label)] if label.isdecimal() and int(label) < len(classes) else label


def sonnets(group: Group, count: int) -> Sonnets | None:
    """The first sonnets of dev as every run continues them, beside the true one where it is published."""
    # By opening too: dev and test may number their sonnets alike.
    written = {
        entry.run: {(each.id, each.opening): each.generated for each in entry.result.pictures.examples}
        for entry in group.entries
    }
    first = group.first.result.pictures.examples
    common = [each for each in first if all((each.id, each.opening) in having for having in written.values())]
    common = common[:count]
    if not common:
        return None
    versions = [
        [(run, verse.continuation(having[each.id, each.opening], each.opening)) for run, having in written.items()]
        for each in common
    ]
    return Sonnets(
        f"{sentence_case(group.first.result.name)}: the given lines, what each run’s first seed wrote after them, "
        f"{verse.ending(common)} {verse.order(group.first.card.samples)}",
        verse.beside_the_truth(common, versions),
    )
