"""What a task is: its prompt, its labels, its files. Knows nothing of models."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from knotwork.corpora import Row, Table
from knotwork.corpora.read import read_sonnets, read_table
from knotwork.files import digest

Split = Literal["train", "dev", "test", "extrapolation"]


@dataclass(frozen=True)
class Task:
    """A task, the same for every split and every adapter.

    Attributes:
        name: as in params.yaml.
        title: as a reader of the report knows it.
        template: the prompt; ``{0}``, ``{1}`` ... stand for the texts of a row.
        texts: what they are: language, whose graph the parser gives, or formulas, whose graph is their own tree.
        scored: splits with labels beside train and dev; each is scored as dev is.
        graded: whether ids are level of difficulty, number of a group and letter within it, as ``2-0004b`` is.
    """

    name: str
    title: str
    template: str
    texts: Literal["language", "formula"] = field(default="language", kw_only=True)
    scored: tuple[Split, ...] = field(default=(), kw_only=True)
    graded: bool = field(default=False, kw_only=True)

    @property
    def prompt(self) -> dict[str, str]:
        """The prompt and its hash: runs with different prompts are never compared silently."""
        return {"template": self.template, "sha256": digest([self.template, *self.words], length=64)}

    @property
    def words(self) -> tuple[str, ...]:
        """Words that stand for the classes, where there are classes."""
        return ()

    def level(self, row: Row) -> int | None:
        """The difficulty of a row, from 1, the easiest; None where the task is not graded."""
        return int(row.id.partition("-")[0]) if self.graded else None

    def clusters(self, ids: Sequence[str]) -> list[str] | None:
        """For each row its group, in which answers depend on each other; None where every row stands alone."""
        return [name[:-1] for name in ids] if self.graded else None

    def read(self, folder: Path, split: Split) -> Table:
        """The rows of a split below ``data/raw/<task>/``."""
        raise NotImplementedError


@dataclass(frozen=True)
class Classification(Task):
    """A task with a label for each row.

    Attributes:
        text_columns: columns of the file that hold the texts.
        label_column: column that holds the label.
        classes: names of the classes, by label.
        label_words: for each class the word that a language model would say; each is one token or its first.
        submission: head of the column of predictions in the course's submission format.
    """

    text_columns: tuple[str, ...]
    label_column: str
    classes: tuple[str, ...]
    label_words: tuple[str, ...]
    submission: str

    @property
    def words(self) -> tuple[str, ...]:
        """Words that stand for the classes."""
        return self.label_words

    def read(self, folder: Path, split: Split) -> Table:
        """The rows of a split; test files carry no label."""
        label = None if split == "test" else self.label_column
        return read_table(folder / f"{split}.csv", self.text_columns, label, len(self.classes))


@dataclass(frozen=True)
class Sonnets(Task):
    """Language modelling on whole sonnets, generation from three given lines."""

    def read(self, folder: Path, split: Split) -> Table:
        """Whole sonnets for train and dev, openings of three lines for test."""
        return read_sonnets(folder / f"{split}.txt", openings=split == "test")
