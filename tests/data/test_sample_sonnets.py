"""The sonnets of the sample corpus: format, counts, form, leakage between splits."""

import functools
import re
from collections import Counter
from pathlib import Path

import pytest

from knotwork.corpora.read import OPENING_LINES, read_sonnets

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"
TRAIN = "sonnets.txt"
DEV = "TRUE_sonnets_held_out_dev.txt"
DEV_OPENINGS = "sonnets_held_out_dev.txt"
TEST_OPENINGS = "sonnets_held_out.txt"
OPENINGS = {DEV_OPENINGS, TEST_OPENINGS}
NUMBERS = {TRAIN: range(1, 45), DEV: range(45, 53), DEV_OPENINGS: range(45, 53), TEST_OPENINGS: range(53, 61)}
SPLITS = (TRAIN, DEV, TEST_OPENINGS)
SONNET_LINES = 14
PREAMBLE_LINES = 11


@functools.cache
def sonnets(name: str) -> dict[int, list[str]]:
    """The lines of each poem by its number."""
    table = read_sonnets(SAMPLE / name, openings=name in OPENINGS)
    return {int(row.id): row.texts[0].split("\n") for row in table.rows}


def five_grams(lines: list[str]) -> set[tuple[str, ...]]:
    words = re.findall(r"[\w'-]+", " ".join(lines).lower())
    return set(zip(*(words[start:] for start in range(5)), strict=False))


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_run_on(name):
    assert list(sonnets(name)) == list(NUMBERS[name])


def test_no_number_stands_in_two_splits():
    numbers = [number for split in SPLITS for number in sonnets(split)]
    assert len(set(numbers)) == len(numbers) == 60


@pytest.mark.parametrize("name", [TRAIN, DEV])
def test_whole_sonnets_have_fourteen_lines(name):
    assert {number: len(lines) for number, lines in sonnets(name).items() if len(lines) != SONNET_LINES} == {}


def test_dev_openings_begin_the_dev_sonnets():
    assert sonnets(DEV_OPENINGS) == {number: lines[:OPENING_LINES] for number, lines in sonnets(DEV).items()}


def test_no_line_occurs_twice():
    lines = Counter(line.lower() for split in SPLITS for poem in sonnets(split).values() for line in poem)
    assert len(lines) == 52 * SONNET_LINES + 8 * OPENING_LINES
    assert [line for line, count in lines.items() if count > 1] == []


@pytest.mark.parametrize("split", SPLITS)
def test_at_most_half_of_the_five_grams_are_in_another_split(split):
    elsewhere = set().union(
        *(five_grams(poem) for other in SPLITS if other != split for poem in sonnets(other).values())
    )
    for number, poem in sonnets(split).items():
        grams = five_grams(poem)
        assert len(grams & elsewhere) <= len(grams) / 2, f"sonnet {number}"


@pytest.mark.parametrize("name", NUMBERS)
def test_layout_is_that_of_the_cs224n_files(name):
    """A preamble, then per poem: number, blank line, lines (a couplet is indented), blank line."""
    text = (SAMPLE / name).read_text(encoding="utf-8")
    poems = []
    for number, lines in sonnets(name).items():
        couplet = [f"  {line}" for line in lines[SONNET_LINES - 2 :]]
        poems.append("\n".join([str(number), "", *lines[: SONNET_LINES - 2], *couplet, ""]))
    assert text.split("\n", PREAMBLE_LINES)[-1] == "\n".join(poems)
