"""The generated corpora: disjoint, balanced, right, the same from the same seed, and without cues."""

import re
from collections import Counter
from itertools import product
from pathlib import Path

import mpmath
import numpy as np
import pandas as pd
import pytest
import sympy

from knotwork import tasks
from knotwork.baselines import surface, tfidf
from knotwork.corpora.normalise import normalise
from knotwork.errors import UserError
from knotwork.formulas.expressions import bag, depth, structure
from knotwork.formulas.identities import IDENTITIES, QUESTIONS
from knotwork.formulas.make import generate
from knotwork.params import Symbolic

SPLITS = ("train", "dev", "test", "extrapolation")
ROWS = {"train": 120, "dev": 36, "test": 36, "extrapolation": 24}
TASKS = ("symbolic", "symbolic_choice")
PLACES = (mpmath.mpf("0.731"), mpmath.mpf("-1.137"), mpmath.mpf("2.219"))


def settings(**changes):
    return Symbolic.model_validate({"seed": 0, "rows": ROWS, "depth": 5, "extrapolation_depth": 7} | changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("made")
    for task in TASKS:
        generate(task, settings(), folder / task)
    return {task: folder / task for task in TASKS}


@pytest.fixture(scope="module")
def tables_of(made) -> dict[str, dict[str, pd.DataFrame]]:
    return {
        task: {split: pd.read_csv(folder / f"{split}.csv", sep="\t", dtype=str) for split in SPLITS}
        for task, folder in made.items()
    }


@pytest.fixture(scope="module", params=TASKS)
def corpus(request, tables_of) -> tuple[str, dict[str, pd.DataFrame]]:
    return request.param, tables_of[request.param]


def texts(task: str, table: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(table[list(tasks.get(task).text_columns)].itertuples(index=False, name=None))


def structures(task: str, table: pd.DataFrame) -> set[str]:
    """Those with x; numbers have none."""
    return {found for row in texts(task, table) for text in row if "x" in (found := structure(text))}


def test_splits_have_templates_of_their_own(corpus):
    _, tables = corpus
    found = {split: set(tables[split]["template"]) for split in SPLITS}
    assert not found["train"] & found["dev"]
    assert not found["train"] & found["test"]
    assert not found["dev"] & found["test"]
    assert found["extrapolation"] <= found["train"]


def test_no_template_is_another_in_other_letters():
    """Neither side of an identity is a side in another split, whatever its numbers are called."""
    found = {
        split: {signed(side) for identity in identities for side in identity[1:]}
        | {f"{question.kind} {signed(question.formula)}" for question in QUESTIONS[split]}
        for split, identities in IDENTITIES.items()
    }
    assert not found["train"] & found["dev"]
    assert not found["train"] & found["test"]
    assert not found["dev"] & found["test"]


def signed(pattern: str) -> str:
    """A pattern with numbers' letters alike."""
    return re.sub(r"\b[a-d]\b", "n", pattern)


def test_splits_have_structures_of_their_own(corpus):
    task, tables = corpus
    found = {split: structures(task, table) for split, table in tables.items()}
    for one, other in product(SPLITS, SPLITS):
        assert one == other or not found[one] & found[other]


def test_broken_numbers_are_answers_in_every_split(tables_of):
    """Numbers belong to no split, so none of them gets the whole ones alone."""
    for table in tables_of["symbolic_choice"].values():
        values = table[table["question"].str.startswith("subs")]
        assert values[[f"choice{number}" for number in range(1, 5)]].map(lambda text: "/" in text).any(axis=None)


def test_no_structure_is_asked_about_in_two_groups(corpus):
    """Rows of different groups differ in more than numbers, signs and the order of operands."""
    task, tables = corpus
    owners = {}
    for split, table in tables.items():
        for identity, row in zip(table["id"], texts(task, table), strict=True):
            group = (split, identity[:-1])
            for form in {structure(text) for text in (row if task == "symbolic" else row[:1])}:
                owners.setdefault(form, set()).add(group)
    pairs = Counter(len(groups) for groups in owners.values())
    if task == "symbolic_choice":
        assert set(pairs) == {1}
    rows = [frozenset(map(structure, row)) for table in tables.values() for row in texts(task, table)]
    keys = [f"{split}{identity[:-1]}" for split, table in tables.items() for identity in table["id"]]
    groups = {}
    for key, row in zip(keys, rows, strict=True):
        groups.setdefault(row, set()).add(key)
    assert {len(found) for found in groups.values()} == {1}


def test_no_row_stands_twice(corpus):
    task, tables = corpus
    rows = [row for table in tables.values() for row in texts(task, table)]
    rows = [frozenset(row) for row in rows] if task == "symbolic" else rows
    assert len(rows) == len(set(rows)) == sum(ROWS.values())


def test_classes_are_balanced_in_every_split_and_group(corpus):
    task, tables = corpus
    label, classes = tasks.get(task).label_column, len(tasks.get(task).classes)
    for split, table in tables.items():
        assert set(table[label].value_counts()) == {ROWS[split] / classes}
        groups = table.groupby(table["id"].str[:-1])[label].agg(lambda labels: tuple(sorted(labels)))
        assert len(set(groups)) == 1


def test_every_level_is_in_every_split(corpus):
    _, tables = corpus
    for split in SPLITS[:3]:
        assert set(tables[split]["id"].str[0]) == {"1", "2", "3"}


def test_extrapolation_is_deeper_than_everything_else(corpus):
    task, tables = corpus
    deepest = {split: [max(map(depth, row)) for row in texts(task, table)] for split, table in tables.items()}
    assert max(max(deepest[split]) for split in SPLITS[:3]) == 5
    assert min(deepest["extrapolation"]) == 6
    assert max(deepest["extrapolation"]) == 7


def value(text: str, place: mpmath.mpf) -> mpmath.mpf:
    """The value of a formula in forty digits."""
    names = {"x": place, "sin": mpmath.sin, "cos": mpmath.cos, "pi": mpmath.pi, "mpf": mpmath.mpf}
    return eval(re.sub(r"(\d+)", r"mpf(\1)", text), names)


def close(one: mpmath.mpf, other: mpmath.mpf) -> bool:
    return abs(one - other) < mpmath.mpf(10) ** -12 * (1 + abs(one))


def test_labels_of_equality_are_right(tables_of):
    task, tables = "symbolic", tables_of["symbolic"]
    with mpmath.workdps(40):
        for table in tables.values():
            for (one, other), label in zip(texts(task, table), table["equal"], strict=True):
                equal = all(close(value(one, place), value(other, place)) for place in PLACES)
                assert equal == (label == "1"), (one, other)


def test_answers_of_choices_are_right(tables_of):
    task, tables = "symbolic_choice", tables_of["symbolic_choice"]
    with mpmath.workdps(40):
        for table in tables.values():
            for (question, *choices), label in zip(texts(task, table), table["answer"], strict=True):
                kind, formula, place = re.fullmatch(r"(diff|subs)\((.*), x(?:, (\d))?\)", question).groups()
                if kind == "subs":
                    truth = value(formula, mpmath.mpf(place))
                    right = [close(value(choice, 0), truth) for choice in choices]
                else:
                    slopes = [mpmath.diff(lambda x, f=formula: value(f, x), place) for place in PLACES]
                    right = [
                        all(close(value(choice, x), slope) for x, slope in zip(PLACES, slopes, strict=True))
                        for choice in choices
                    ]
                assert [index for index, fine in enumerate(right) if fine] == [int(label)], question


def test_sympy_finds_equal_what_is_labelled_so(tables_of):
    task, tables = "symbolic", tables_of["symbolic"]
    dev = tables["dev"]
    for (one, other), label in list(zip(texts(task, dev), dev["equal"], strict=True))[:8]:
        difference = sympy.sympify(f"({one}) - ({other})")
        assert difference.equals(0) == (label == "1"), (one, other)


@pytest.mark.parametrize("split", IDENTITIES)
def test_identities_hold_whatever_their_letters_are(split):
    for identity in IDENTITIES[split]:
        difference = sympy.sympify(f"({identity.left}) - ({identity.right})")
        assert difference.equals(0), identity


def test_rows_of_a_group_hold_the_same_tokens(corpus):
    task, tables = corpus
    for table in tables.values():
        asked = pd.Series([row[0] for row in texts(task, table)], index=table["id"])
        if task == "symbolic_choice":
            bags = asked.map(lambda text: tuple(sorted(bag(text).items()))).groupby(asked.index.str[:-1]).nunique()
            assert set(bags) == {1}


def test_surface_baselines_are_at_chance(made):
    for task in TASKS:
        splits = {split: tasks.get(task).read(made[task], split).rows for split in SPLITS}
        train, chance = splits["train"], 1 / len(tasks.get(task).classes)
        for rows in (splits["dev"], splits["extrapolation"]):
            margin = 1.96 * np.sqrt(chance * (1 - chance) / len(rows))
            scores = surface(train, rows) | {"tfidf": tfidf(train, rows)}
            if task == "symbolic_choice":
                scores.pop("char_ngrams")  # published, not promised: a derivative repeats parts of its formula
            assert all(abs(score - chance) <= margin for score in scores.values()), (task, scores)


def test_a_planted_cue_is_found(made):
    """The baselines are no blind ones: more tokens in true rows, and they see it."""
    train, dev = (tasks.get("symbolic").read(made["symbolic"], split).rows for split in ("train", "dev"))
    marked = [
        [type(row)(row.id, (row.texts[0], row.texts[1] + " + 0" * (40 * row.label)), row.label) for row in rows]
        for rows in (train, dev)
    ]
    assert all(score > 0.9 for score in surface(*marked).values())


def test_the_same_seed_gives_the_same_files(made, tmp_path):
    small = settings(rows={"train": 12, "dev": 4, "test": 4, "extrapolation": 4})
    for task in TASKS:
        for name, seed in {"one": 0, "two": 0, "other": 1}.items():
            generate(task, small.model_copy(update={"seed": seed}), tmp_path / name / task)
        for split in SPLITS:
            one, two, other = (tmp_path / name / task / f"{split}.csv" for name in ("one", "two", "other"))
            assert one.read_bytes() == two.read_bytes() != other.read_bytes()


def test_reading_changes_no_formula(corpus):
    task, tables = corpus
    for table in tables.values():
        for row in texts(task, table):
            assert tuple(map(normalise, row)) == row


def test_too_many_rows_are_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr("knotwork.formulas.make.DRAWS", 2)
    narrow = settings(rows=ROWS | {"train": 40000}, depth=3, extrapolation_depth=4)
    with pytest.raises(
        UserError, match=r"^symbolic\.rows\.train: only \d+ rows .* 0 to 3 levels; lower it"
    ) as error:
        generate("symbolic", narrow, tmp_path / "raw")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
