"""What a run answered, example by example: ``scores.tsv``."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from knotwork.errors import UserError
from knotwork.report.read import REMEDY, numbers, read_columns
from knotwork.statistics import CorpusScore, chrf, generated_lines, mean, perplexity

IDENTITY = ["id", "text_hash", "gold"]
COLUMNS = ("seed", "split", *IDENTITY, "prediction", "nll", "tokens")
UNSCORED = "test"  # the split without true classes or texts


@dataclass(frozen=True)
class Scores:
    """The examples of a split, with what each seed of a run made of them.

    Attributes:
        ids: of the examples.
        hashes: of their texts.
        gold: their true classes or texts, as text; a sonnet's hash where its text is not published.
        predictions: seeds x examples, as text.
        nll: of the true class or text in nats, seeds x examples.
        tokens: scored tokens, seeds x examples.
    """

    ids: list[str]
    hashes: list[str]
    gold: list[str]
    predictions: NDArray[np.object_]
    nll: NDArray[np.float64]
    tokens: NDArray[np.float64]

    @property
    def seeds(self) -> int:
        """How many seeds there are."""
        return len(self.predictions)

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Whether each answer is right, seeds x examples."""
        return self.predictions == np.array(self.gold, dtype=object)

    def accuracy(self) -> CorpusScore:
        """Share of right answers."""
        return mean(self.hits)

    def perplexity(self) -> CorpusScore:
        """Perplexity of the true texts."""
        return perplexity(self.nll, self.tokens)

    def chrf_generated(self) -> CorpusScore | None:
        """chrF of the generated lines; None where true texts are not published."""
        if any(gold == known for gold, known in zip(self.gold, self.hashes, strict=True)):
            return None
        written = [[generated_lines(text) for text in texts] for texts in self.predictions]
        return chrf(written, [generated_lines(text) for text in self.gold])

    def with_texts(self, texts: Mapping[str, str]) -> "Scores":
        """The same with texts in place of those hashes that ``texts`` knows."""
        return replace(self, gold=[texts.get(gold, gold) for gold in self.gold])


def read_scores(path: Path, member: str | None = None) -> dict[str, Scores]:
    """Read ``scores.tsv`` by split, all but test; of multitask the rows of one ``member``.

    Raises:
        UserError: the file is missing or broken, holds no dev rows, or its seeds have different examples.
    """
    if not path.is_file():
        raise UserError(f"{path}: not found; a run without predictions cannot be compared, run `dvc repro` first")
    columns = COLUMNS if member is None else ("task", *COLUMNS)
    table = read_columns(path, columns, sep="\t", dtype=str, keep_default_na=False)
    if member is not None:
        table = table[table["task"] == member]
    if not (table["split"] == "dev").any():
        raise UserError(f"{path}: holds no dev rows, so there is nothing to compare; {REMEDY}")
    scored = table[table["split"] != UNSCORED]
    return {split: _scores(path, split, rows) for split, rows in scored.groupby("split", sort=False)}


def _scores(path: Path, split: str, table: pd.DataFrame) -> Scores:
    """The rows of one split."""
    figures = {name: numbers(path, table[name]) for name in ("nll", "tokens")}
    for name, column in figures.items():
        if column.isna().any():
            raise UserError(f"{path}: row {int(column.isna().idxmax()) + 1}, {name} is empty; {REMEDY}")
    seeds = [rows for _, rows in table.groupby("seed", sort=False)]
    examples = seeds[0][IDENTITY].to_numpy()
    if any(not np.array_equal(rows[IDENTITY].to_numpy(), examples) for rows in seeds):
        raise UserError(f"{path}: its seeds have different {split} examples; {REMEDY}")
    ids, hashes, gold = examples.T.tolist()
    return Scores(
        ids,
        hashes,
        gold,
        predictions=np.stack([rows["prediction"].to_numpy(dtype=object) for rows in seeds]),
        nll=np.stack([figures["nll"][rows.index].to_numpy(dtype=float) for rows in seeds]),
        tokens=np.stack([figures["tokens"][rows.index].to_numpy(dtype=float) for rows in seeds]),
    )
