"""The question half of the sample corpus: format, provenance, leakage between splits, difficulty."""

import csv
import functools
import hashlib
import random
import re
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest

from knotwork.baselines import tfidf
from knotwork.corpora import Row

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"
sys.path.append(str(SAMPLE))

import make_questions  # noqa: E402  (the generator is a script, not a package)

SPLITS = {"train": 800, "dev": 200, "test": 200}
TEXTS = ["sentence1", "sentence2"]
rows = functools.cache(make_questions.rows)
subjects = functools.cache(make_questions.read_subjects)

splits = pytest.mark.parametrize("split", list(SPLITS))


def path_of(split: str) -> Path:
    return SAMPLE / f"quora-{split}{'-student' if split == 'test' else ''}.csv"


@functools.cache
def read(split: str) -> pd.DataFrame:
    return pd.read_csv(path_of(split), sep="\t", dtype=str, index_col=0)


def words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text.lower())


def five_grams(texts) -> set[tuple[str, ...]]:
    tokens = [words(text) for text in texts]
    return {tuple(text[i : i + 5]) for text in tokens for i in range(len(text) - 4)}


def slots(frame: str) -> Counter:
    return Counter(name + second for name, second, _ in make_questions.SLOT.findall(frame))


def template(frame: str) -> str:
    return " ".join(words(make_questions.SLOT.sub(" _ ", frame)))


@splits
def test_running_the_generator_again_gives_the_shipped_bytes(split, tmp_path):
    assert make_questions.write(split, tmp_path).read_bytes() == path_of(split).read_bytes()


@splits
def test_files_are_in_the_format_of_the_quora_ones(split):
    raw = path_of(split).read_bytes().decode("utf-8")
    with path_of(split).open(encoding="utf-8", newline="") as file:
        header, *body = csv.reader(file, delimiter="\t")
    assert header == ["", "id", *TEXTS] + ([] if split == "test" else ["is_duplicate"])
    assert {len(line) for line in body} == {len(header)}
    assert [line[0] for line in body] == [str(number) for number in range(SPLITS[split])]
    assert raw.count("\r\n") == raw.count("\n") == len(body) + 1
    if split != "test":
        assert {line[-1] for line in body} == {"0.0", "1.0"}


@splits
def test_shipped_rows_are_those_of_the_generator(split):
    assert list(read(split)[TEXTS].itertuples(index=False, name=None)) == [row.texts for row in rows(split)]
    if split != "test":
        assert [float(label) for label in read(split)["is_duplicate"]] == [row.label for row in rows(split)]


@splits
def test_45_percent_are_duplicates_and_every_kind_has_its_share(split):
    kinds = Counter(row.kind for row in rows(split))
    size = SPLITS[split]
    assert {kind: count / size for kind, count in kinds.items()} == make_questions.KINDS
    assert sum(row.label for row in rows(split)) / size == 0.45


@splits
def test_ids_are_25_digits_of_a_hash_of_the_texts(split):
    for row in read(split).itertuples():
        text = f"quora: {row.sentence1}\t{row.sentence2}"
        assert row.id == hashlib.sha256(text.encode()).hexdigest()[:25]


def test_no_pair_occurs_twice_in_either_order_and_no_question_meets_itself():
    pairs = [frozenset(" ".join(words(text)) for text in row.texts) for split in SPLITS for row in rows(split)]
    assert {len(pair) for pair in pairs} == {2}
    assert len(pairs) == len(set(pairs))


def test_no_question_is_in_two_splits():
    texts = {split: {text for row in rows(split) for text in row.texts} for split in SPLITS}
    for one, other in combinations(SPLITS, 2):
        assert not texts[one] & texts[other]


def test_no_frame_is_in_two_splits():
    frames = {split: {template(frame) for row in rows(split) for frame in row.frames} for split in SPLITS}
    for split in SPLITS:
        assert len(frames[split]) > 80
    for one, other in combinations(SPLITS, 2):
        assert not frames[one] & frames[other]


def test_at_most_half_of_the_five_grams_of_an_example_occur_in_another_split():
    grams = {split: set().union(*(five_grams(row.texts) for row in rows(split))) for split in SPLITS}
    for split in SPLITS:
        elsewhere = set().union(*(grams[other] for other in SPLITS if other != split))
        for row in rows(split):
            own = five_grams(row.texts)
            assert len(own & elsewhere) <= len(own) / 2, row.texts


@splits
def test_banks_are_sound(split):
    """Frames that ask the same have the same slots, every slot has words, and no frame stands twice."""
    frames = [frame for subject in subjects(split) for group in subject.frames.values() for frame in group]
    assert len(frames) == len({template(frame) for frame in frames})
    for subject in subjects(split):
        assert len(subject.frames) > 1
        for group in subject.frames.values():
            assert len(group) > 1
            for frame in group:
                assert slots(frame) == slots(group[0]), frame
                assert {name.rstrip("2") for name in slots(frame)} <= set(subject.lists), frame
        for listed in subject.lists.values():
            assert len(listed) == len(set(listed)) >= 3


@splits
def test_labels_follow_from_what_the_frames_ask(split):
    """Duplicates are made from frames of one group; pairs of kind "asks" from two groups of one subject."""
    group_of = {}
    for subject in subjects(split):
        for letter, group in subject.frames.items():
            group_of.update(dict.fromkeys(group, (id(subject), letter)))
    for row in rows(split):
        (subject, letter), (subject2, letter2) = (group_of[frame] for frame in row.frames)
        assert (subject == subject2) == (row.kind != "easy")
        if row.kind != "easy":
            assert (letter == letter2) == (row.kind != "asks")
        assert row.label == (row.kind in ("near", "far"))
        if row.kind == "far":
            assert row.frames[0] != row.frames[1]


@splits
def test_every_question_begins_with_a_capital_and_asks(split):
    for row in rows(split):
        for text in row.texts:
            assert re.fullmatch(r"[A-Z][^{}\t]*[?.]", text), text
            assert "?" in text or text.endswith("How."), text
            assert not re.search(r"\ba [aeio]|\ban [^aeiouhAEIOUXF]|  ", text), text


def test_words_of_a_free_list_alone_may_trade_places_in_a_duplicate():
    subject = make_questions.Subject({"a": ["{x} or {x2}?"]}, {"x": ["tea", "milk", "rye", "rice"]})
    author = make_questions.Author("dev", random.Random("test"))
    drawn = {"x": "tea", "x2": "milk"}
    assert all(author._freely(subject, drawn) == drawn for _ in range(20))
    subject.free.add("x")
    seen = {make_questions.fill("{x} or {x2}?", author._freely(subject, drawn)) for _ in range(20)}
    assert seen == {"Tea or milk?", "Milk or tea?"}


def test_exchanging_two_words():
    drawn = {"x": "Oslo", "x2": "Rome", "y": "train"}
    assert make_questions.exchanged(drawn, "x") == {"x": "Rome", "x2": "Oslo", "y": "train"}


def test_tfidf_finds_three_quarters_to_nine_tenths():
    train, dev = ([Row(row.id, row.texts, row.label) for row in rows(split)] for split in ("train", "dev"))
    assert 0.75 <= tfidf(train, dev) <= 0.89
