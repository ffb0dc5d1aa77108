"""The words of texts with their heads, as plain arrays: what a graph is made from, whoever read the texts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Words:
    """The words of parsed texts, one text after the other; white space is no word.

    Attributes:
        offsets: int64 (texts + 1,): the words of text i are those from ``offsets[i]`` to ``offsets[i + 1]``.
        starts, ends: int64 (words,): first character of the word in its text, and the one after its last.
        heads: int64 (words,): index of the word's head, of itself for a root, -1 if the head is no word.
        labels: uint8 (words,): 1 + index of its dependency label in the parser's sorted labels, 0 if unknown.
        sentences: int64 (words,): number of its sentence, different in every text.
        lemmas: int64 (words,): number of its lemma, for content words; 0 for others.
    """

    offsets: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    heads: NDArray[np.int64]
    labels: NDArray[np.uint8]
    sentences: NDArray[np.int64]
    lemmas: NDArray[np.int64]

    def text(self, index: int) -> "Words":
        """The words of one text."""
        first, last = self.offsets[index : index + 2]
        here = slice(first, last)
        return Words(
            np.array([0, last - first]),
            *(self.starts[here], self.ends[here], np.maximum(self.heads[here] - first, -1)),
            *(self.labels[here], self.sentences[here], self.lemmas[here]),
        )

    def select(self, kept: NDArray[np.bool_]) -> "Words":
        """The words that are kept, numbered anew; what hung on one that is not has no head."""
        place = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)
        return Words(
            np.append(0, np.cumsum(kept))[self.offsets],
            *(self.starts[kept], self.ends[kept], place[self.heads[kept]]),
            *(self.labels[kept], self.sentences[kept], self.lemmas[kept]),
        )
