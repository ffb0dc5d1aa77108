import logging
import os
from pathlib import Path

import pytest

from knotwork import tasks
from knotwork.corpora.download import fetch
from knotwork.corpora.manifest import load
from knotwork.corpora.read import normalise, read_sonnets, read_table
from knotwork.encoding import encode
from knotwork.inference import by_length, padding_waste
from knotwork.models import load_tokenizer
from knotwork.training.batches import LengthBatches

REPOSITORY = Path(__file__).parents[2]
MIRROR = os.environ.get("KNOTWORK_TEST_MIRROR") or os.environ.get("KNOTWORK_MIRROR")

pytestmark = pytest.mark.skipif(not MIRROR, reason="needs KNOTWORK_TEST_MIRROR, a folder with the CS224N files")


@pytest.fixture
def fetched(tmp_path):
    def fetched(task):
        fetch(load("cs224n-quora-mini"), task, tmp_path / task, Path(MIRROR))
        return tmp_path / task

    return fetched


@pytest.mark.parametrize(
    ("task", "columns", "label", "classes", "counts"),
    [
        ("sst", ("sentence",), "sentiment", 5, {"train": 8544, "dev": 1101, "test": 2210}),
        ("cfimdb", ("sentence",), "sentiment", 2, {"train": 1707, "dev": 245, "test": 488}),
        ("quora", ("sentence1", "sentence2"), "is_duplicate", 2, {"train": 24635, "dev": 3000, "test": 3000}),
    ],
)
def test_tables(fetched, caplog, task, columns, label, classes, counts):
    folder = fetched(task)
    with caplog.at_level(logging.WARNING):
        for split, count in counts.items():
            labelled = split != "test"
            table = read_table(folder / f"{split}.csv", columns, label if labelled else None, classes)
            assert len(table.rows) == count
            assert table.skipped == 0
            assert {row.label for row in table.rows} == (set(range(classes)) if labelled else {None})
            for row in table.rows[:500]:
                for text in row.texts:
                    assert normalise(text) == text
                    if task != "quora":
                        assert not any(mark in text for mark in ('""', "``", "''", "\\/", "-LRB-", "<br />"))
    assert not caplog.records


@pytest.mark.parametrize("task", ["sst", "cfimdb"])
def test_little_padding(fetched, task):
    """Tokens computed are at most 1.05 times the real ones, in training and in evaluation."""
    tokenizer = load_tokenizer(REPOSITORY / "assets/base")
    for split in ("train", "dev", "test"):
        rows = tasks.get(task).read(fetched(task), split).rows
        lengths = [len(example.ids) for example in encode(tasks.get(task), rows, tokenizer, 512)]
        sampler = LengthBatches(lengths, 16, seed=1)
        batches = sampler.batches(0) if split == "train" else list(by_length(lengths, 8192))
        assert sorted(index for batch in batches for index in batch) == list(range(len(rows)))
        assert padding_waste(batches, lengths) <= 1.05


def test_sonnets(fetched):
    folder = fetched("sonnet")
    train, dev = read_sonnets(folder / "train.txt").rows, read_sonnets(folder / "dev.txt").rows
    test = read_sonnets(folder / "test.txt", openings=True).rows
    assert (len(train), len(dev), len(test)) == (131, 12, 12)
    # Sonnet 99 has fifteen lines, 126 twelve.
    lines = {row.id: row.texts[0].count("\n") + 1 for row in train + dev}
    assert {number: count for number, count in lines.items() if count != 14} == {"99": 15, "126": 12}
    # Normalising takes nothing from the verse but its indentation.
    raw = (folder / "dev.txt").read_text(encoding="utf-8")
    assert all(line in raw for row in dev for line in row.texts[0].split("\n"))
