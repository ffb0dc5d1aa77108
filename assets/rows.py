"""Rows of tokens for training, drawn from memory-mapped token files in a reproducible order."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from settings import Mistake
from transformers import AutoTokenizer, PreTrainedTokenizerBase


def read_index(folder: Path) -> dict[str, Any]:
    """The index of the token files: documents, bytes and tokens of every source's parts."""
    try:
        return json.loads((folder / "index.json").read_text())
    except (OSError, ValueError) as error:
        raise Mistake(f"{folder}: no token files ({error}); run tokenizer.py and tokens.py first") from error


def open_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in ``folder``."""
    if not (folder / "tokenizer.json").exists():
        raise Mistake(f"{folder}: no tokenizer there; run tokenizer.py first")
    return AutoTokenizer.from_pretrained(folder)


def open_tokens(folder: Path, source: str, part: str) -> np.ndarray:
    """The token ids of one part of a source, uint16, memory-mapped."""
    return np.memmap(folder / f"{source}.{part}.bin", dtype=np.uint16, mode="r")


def positions(inputs: np.ndarray, separator: int) -> np.ndarray:
    """Positions that start again at every document, shape of ``inputs``.

    The model reads the document boundaries off them: attention never crosses one.
    """
    index = np.arange(inputs.shape[1])
    return index - np.maximum.accumulate(np.where(inputs == separator, index, 0), axis=1)


class Mixture:
    """Rows in an order that depends on the seed and the row length alone.

    A row is a window of ``length + 1`` tokens, to predict each token from those before it. Every window of
    a source is used once before one is used again.
    """

    def __init__(self, files: dict[str, np.ndarray], weights: dict[str, float], length: int, seed: int) -> None:
        """Token ``files`` by source; ``weights``: the sources' shares of the rows, up to a common factor."""
        self.files, self.length, self.seed = files, length, seed
        self.sources = sorted(weights)
        self.cumulative = np.cumsum([weights[source] for source in self.sources], dtype=float)
        self.cumulative /= self.cumulative[-1]
        self.drawn = dict.fromkeys(self.sources, 0)
        self.orders: dict[str, tuple[int, np.ndarray]] = {}
        self.generator = np.random.default_rng([seed, length])

    def skip(self, count: int) -> None:
        """Pass over the ``count`` rows that an interrupted run has used."""
        for pick, number in zip(*np.unique(self._picks(count), return_counts=True), strict=True):
            self.drawn[self.sources[pick]] += int(number)

    def rows(self, count: int) -> np.ndarray:
        """The next rows, int64, shape ``(count, length + 1)``."""
        return np.stack([self._window(self.sources[pick]) for pick in self._picks(count)]).astype(np.int64)

    def _picks(self, count: int) -> np.ndarray:
        return np.searchsorted(self.cumulative, self.generator.random(count), side="right")

    def _window(self, source: str) -> np.ndarray:
        windows = (len(self.files[source]) - 1) // self.length
        epoch, place = divmod(self.drawn[source], windows)
        if source not in self.orders or self.orders[source][0] != epoch:
            generator = np.random.default_rng([self.seed, self.length, epoch, *source.encode()])
            self.orders[source] = epoch, generator.permutation(windows)
        self.drawn[source] += 1
        start = int(self.orders[source][1][place]) * self.length
        return self.files[source][start : start + self.length + 1]
