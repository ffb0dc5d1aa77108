"""Sonnets as lines to print."""

from collections.abc import Sequence

from knotwork.report.elements import Sonnet
from knotwork.report.records import SonnetExample


def lines(text: str) -> list[str]:
    """A text's lines without indentation and without blank ones."""
    return [line.strip() for line in text.strip().splitlines() if line.strip()]


def continuation(text: str, opening: str) -> list[str]:
    """The lines of a text without the given lines at its start, if they stand there."""
    return lines(text.strip().removeprefix(opening.strip()))


def beside_the_truth(
    examples: Sequence[SonnetExample], written: Sequence[list[tuple[str, list[str]]]]
) -> list[Sonnet]:
    """Sonnets with what was written for each, and with the true ones if any of them is published."""
    published = any(example.truth is not None for example in examples)
    shown = []
    for example, versions in zip(examples, written, strict=True):
        truth = None if example.truth is None else continuation(example.truth, example.opening)
        true = [("True", truth)] if published else []
        shown.append(Sonnet(example.id, lines(example.opening), [*versions, *true]))
    return shown


def order(samples: int) -> str:
    """The sentence of a caption that says which sonnets stand there, and whether a text was picked for one."""
    picked = "none was picked" if samples == 1 else f"each text is the likeliest of {samples} samples"
    return f"They stand in the order of the file; {picked}."


def ending(examples: Sequence[SonnetExample]) -> str:
    """The end of a caption's sentence on what stands beside what was written."""
    if any(example.truth is not None for example in examples):
        return "and how the poem goes on."
    return "without the true ones, which are not published with the results."
