"""The movie half of the sample corpus: format, provenance, leakage between splits, difficulty."""

import functools
import hashlib
import importlib.util
import re
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"
SPLITS = ("train", "dev", "test")
SIZES = {"sst": (600, 200, 200), "cfimdb": (200, 80, 80)}
SHARES = {"sst": (0.15, 0.25, 0.20, 0.25, 0.15), "cfimdb": (0.5, 0.5)}
CLASSES = {corpus: len(shares) for corpus, shares in SHARES.items()}

corpora = pytest.mark.parametrize("corpus", list(SIZES))


def load_generator():
    spec = importlib.util.spec_from_file_location("make_reviews", SAMPLE / "make_reviews.py")
    module = sys.modules["make_reviews"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_reviews = load_generator()
rows = functools.cache(make_reviews.rows)


def path_of(corpus: str, split: str) -> Path:
    return SAMPLE / f"ids-{corpus}-{split}{'-student' if split == 'test' else ''}.csv"


@functools.cache
def read(corpus: str, split: str) -> pd.DataFrame:
    return pd.read_csv(path_of(corpus, split), sep="\t")


def words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text.lower().replace("<br /><br />", " "))


def five_grams(text: str) -> set[tuple[str, ...]]:
    tokens = words(text)
    return {tuple(tokens[i : i + 5]) for i in range(len(tokens) - 4)}


def frame_text(frame) -> str:
    """The template proper: the frame's words, with every slot alike."""
    return " ".join(words(make_reviews.SLOT.sub(" _ ", frame.text)))


@corpora
def test_running_the_generator_again_gives_the_shipped_bytes(corpus, tmp_path):
    for split in SPLITS:
        written = make_reviews.write(corpus, split, tmp_path)
        assert written.read_bytes() == path_of(corpus, split).read_bytes()


@corpora
def test_files_are_in_the_format_of_the_course(corpus):
    for split in SPLITS:
        raw = path_of(corpus, split).read_bytes()
        lines = raw.decode("utf-8").split("\n")
        assert b"\r" not in raw
        assert lines[-1] == ""
        columns = 4
        assert all(line.count("\t") == columns - 1 for line in lines[:-1])
        if split == "test":
            assert lines[0] == "0\t\tid\tsentence"
            assert lines[1].startswith("1\t0.0\t")
            assert lines[2].startswith("2\t1.0\t")
        else:
            assert lines[0] == "\tid\tsentence\tsentiment"
            assert lines[1].startswith("0\t")
        assert read(corpus, split)["sentence"].str.match(r" \S").all()


@corpora
def test_sizes_and_label_shares(corpus):
    for split, size in zip(SPLITS, SIZES[corpus], strict=True):
        labels = Counter(row.label for row in rows(corpus, split))
        assert len(read(corpus, split)) == size
        assert {label: n / size for label, n in labels.items()} == dict(enumerate(SHARES[corpus]))


@corpora
def test_shipped_labels_are_those_of_the_generator_and_the_test_file_has_none(corpus):
    for split in ("train", "dev"):
        assert list(read(corpus, split)["sentiment"]) == [r.label for r in rows(corpus, split)]
    assert list(read(corpus, "test").columns[2:]) == ["id", "sentence"]


@corpora
def test_ids_are_25_digits_of_a_hash_of_the_text(corpus):
    for split in SPLITS:
        for row in read(corpus, split).itertuples():
            assert row.id == hashlib.sha256(f"{corpus}: {row.sentence.strip()}".encode()).hexdigest()[:25]


@corpora
def test_no_text_occurs_twice(corpus):
    texts = [" ".join(words(text)) for split in SPLITS for text in read(corpus, split)["sentence"]]
    assert len(texts) == len(set(texts))


@corpora
def test_no_template_is_used_in_two_splits(corpus):
    used = {split: {frame_text(frame) for row in rows(corpus, split) for frame in row.frames} for split in SPLITS}
    for split in SPLITS:
        assert len(used[split]) > 50
    assert not used["train"] & used["dev"]
    assert not used["train"] & used["test"]
    assert not used["dev"] & used["test"]


@corpora
def test_no_noun_phrase_is_used_in_two_splits(corpus):
    banks = {
        split: {noun for section, noun in make_reviews.sections(SAMPLE / "banks" / f"nouns-{split}.txt")}
        for split in SPLITS
    }
    assert sum(map(len, banks.values())) == len(set().union(*banks.values()))


@corpora
def test_at_most_half_of_the_five_grams_of_an_example_occur_in_another_split(corpus):
    texts = {split: list(read(corpus, split)["sentence"]) for split in SPLITS}
    grams = {split: set().union(*map(five_grams, texts[split])) for split in SPLITS}
    for split in ("dev", "test"):
        elsewhere = set().union(*(grams[other] for other in SPLITS if other != split))
        for text in texts[split]:
            own = five_grams(text)
            assert len(own & elsewhere) <= len(own) / 2, text


def test_long_reviews_have_60_to_130_words_and_several_sentences():
    for split in SPLITS:
        for text in read("cfimdb", split)["sentence"]:
            assert 60 <= len(text.split()) <= 130
            assert len(re.findall(r"[.!?]", text)) >= 4


def test_five_level_texts_are_spaced_as_in_the_treebank():
    for split in SPLITS:
        for text in read("sst", split)["sentence"]:
            assert not re.search(r"\w[,;:!?]|\w(?:n't|'s)\b|\bcannot\b", text), text
            assert re.search(r"(?: [.!?]|'')$", text), text


@pytest.mark.parametrize(
    ("plain", "spaced"),
    [
        ("It isn't Mr. Pell's.", "It is n't Mr. Pell 's ."),
        ("``Dull,'' I said; I cannot go.", "`` Dull , '' I said ; I can not go ."),
    ],
)
def test_treebank_spacing(plain, spaced):
    assert make_reviews.treebank_spacing(plain) == spaced


def test_filling_sets_articles_and_capitals_and_never_repeats_a_word():
    bank = {"adj.3": ["engaging", "engagingly made", "good"], "kind": ["uncle story"]}
    filler = make_reviews.Filler(bank, make_reviews.random.Random("test"))
    frame = make_reviews.Frame("plain", frozenset({3}), "a {kind}, a {adj}, {adj} one. a use.")
    text = filler.fill(frame, (3,))
    assert text.startswith("An uncle story, a")
    assert text.endswith("one. A use.")
    assert text.count("engaging") == text.count("good") == 1


@corpora
@pytest.mark.parametrize("strength", [1.0, 10.0])
def test_a_bag_of_words_gets_half_to_four_fifths_of_the_way(corpus, strength):
    """From chance, whether that is 1/k or the largest class, to perfect on dev."""
    train, dev = read(corpus, "train"), read(corpus, "dev")
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(C=strength, max_iter=2000),
    ).fit(train["sentence"], train["sentiment"])
    accuracy = model.score(dev["sentence"], dev["sentiment"])
    for chance in (1 / CLASSES[corpus], dev["sentiment"].value_counts(normalize=True).max()):
        assert 0.5 <= (accuracy - chance) / (1 - chance) <= 0.8
