import csv

import numpy as np
import pytest

from knotwork.errors import UserError
from knotwork.files import text_hash
from knotwork.report.comparison.scores import read_scores
from knotwork.statistics import chrf, generated_lines

from .study import POEMS, Study, poem, right_on


def path(study: Study, task: str = "sst"):
    return study.root / "lora" / task / "scores.tsv"


def test_dev_rows_are_read_seed_by_seed(study: Study) -> None:
    study.classes("lora", "sst", right_on(0, 1), right_on(5))
    scores = read_scores(path(study))["dev"]
    assert scores.predictions.shape == scores.nll.shape == scores.tokens.shape == (2, 60)
    assert scores.ids[:2] == ["x0", "x1"]
    assert scores.hits.sum(axis=1).tolist() == [58, 59]
    assert scores.accuracy().value == pytest.approx(117 / 120)


def test_further_splits_with_true_classes_are_read_too(study: Study) -> None:
    study.classes("lora", "sst", right_on(), right_on(1))
    study.deeper("lora", "sst", right_on(3, examples=8), right_on(examples=8))
    found = read_scores(path(study))
    assert {split: scores.hits.sum(axis=1).tolist() for split, scores in found.items()} == {
        "dev": [60, 59],
        "extrapolation": [7, 8],
    }


def test_texts_with_line_ends_survive(study: Study) -> None:
    study.sonnets("lora", 0.5, 3.0)
    scores = read_scores(path(study, "sonnet"))["dev"]
    assert scores.gold == [poem(number, 1) for number in range(POEMS)]
    truth = [generated_lines(text) for text in scores.gold]
    written = [[generated_lines(poem(number, 0.5)) for number in range(POEMS)]]
    assert scores.chrf_generated().value == pytest.approx(chrf(written, truth).value)


def test_hashes_are_not_scored_until_their_texts_are_known(study: Study) -> None:
    study.sonnets("lora", 0.5, 3.0, hashed=True)
    scores = read_scores(path(study, "sonnet"))["dev"]
    assert scores.chrf_generated() is None
    texts = {text_hash(poem(number, 1)): poem(number, 1) for number in range(POEMS)}
    study.sonnets("full", 0.5, 3.0)
    published = study.entry("full", "sonnet").scores
    assert scores.with_texts(texts).chrf_generated().value == published.chrf_generated().value
    assert scores.with_texts({"another": "text"}).chrf_generated() is None


def test_a_run_without_test_rows_is_read(study: Study) -> None:
    study.classes("lora", "sst", right_on())
    lines = [line for line in path(study).read_text(encoding="utf-8").splitlines() if "\ttest\t" not in line]
    path(study).write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert len(read_scores(path(study))["dev"].ids) == 60


@pytest.mark.parametrize(
    "spoil, expected",
    [
        (lambda file: file.unlink(), "not found; a run without predictions cannot be compared"),
        (lambda file: file.write_text("", encoding="utf-8"), "not valid CSV"),
        (lambda file: keep(file, lambda row: False), "holds no dev rows"),
        (lambda file: keep(file, lambda row: row["split"] == "test"), "holds no dev rows"),
        (lambda file: keep(file, lambda row: (row["seed"], row["id"]) != ("2", "x3")), "seeds have different dev"),
        (lambda file: replace(file, "nll", "tiny"), "row 1, nll: 'tiny' is not a number"),
        (lambda file: replace(file, "nll", ""), "row 1, nll is empty"),
        (
            lambda file: file.write_text(file.read_text(encoding="utf-8").replace("prediction", "guess"), "utf-8"),
            "column 'prediction' is missing",
        ),
    ],
)
def test_broken_files_are_one_line(study: Study, spoil, expected: str) -> None:
    study.classes("lora", "sst", right_on(), right_on(1))
    spoil(path(study))
    with pytest.raises(UserError, match=expected) as error:
        read_scores(path(study))
    assert str(error.value).startswith(str(path(study)))
    assert "\n" not in str(error.value)


def test_a_members_rows_need_their_task(study: Study) -> None:
    study.classes("lora", "sst", right_on())
    with pytest.raises(UserError, match="column 'task' is missing"):
        read_scores(path(study), "sst")


def rows_of(file) -> list[dict]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened, delimiter="\t"))


def write(file, rows: list[dict], names: list[str]) -> None:
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, names, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def keep(file, wanted) -> None:
    rows = rows_of(file)
    write(file, [row for row in rows if wanted(row)], list(rows[0]))


def replace(file, name: str, value: str) -> None:
    rows = rows_of(file)
    rows[0][name] = value
    write(file, rows, list(rows[0]))


def test_labels_stay_texts(study: Study) -> None:
    study.classes("lora", "sst", right_on())
    scores = read_scores(path(study))["dev"]
    assert set(scores.gold) == {"0", "1", "2", "3", "4"}
    assert scores.predictions.dtype == np.object_
