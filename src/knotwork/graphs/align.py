"""Tokens of a prompt against the words of its texts, through the characters that both stand for.

Everything here is arrays over many prompts at once: their characters are numbered on from one prompt to the next.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from knotwork.errors import UserError

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]


class Pieces:
    """What each token id of a byte-level BPE tokenizer (Radford et al. 2019) stands for.

    A token is a run of bytes; it may begin or end inside a character. So characters are counted by the bytes that
    begin one, and a token lies where the character lies that its first byte belongs to.

    Attributes:
        bytes: by id, the bytes; those of a special token are its name.
        special: ids of special tokens.
        begun: int64 (ids,): characters that begin in the token.
        inside: bool (ids,): whether its first byte continues a character that an earlier token began.
        blank: int64 (ids,): white space at its beginning, in characters.
        sha256: a hash of ``bytes``, which is all that alignment depends on.

    Raises:
        UserError: it is no byte-level tokenizer of the `tokenizers` library, so that it has no offsets.
    """

    def __init__(self, tokenizer: Any) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
        if not isinstance(backend, Tokenizer):
            raise UserError(
                "base.path: the tokenizer cannot tell which characters a token stands for (it is not a fast one); "
                "use a base with a tokenizer.json"
            )
        byte_of = _alphabet()
        added = backend.get_added_tokens_decoder()
        vocabulary = backend.get_vocab(with_added_tokens=True)
        self.bytes = [b""] * (max(vocabulary.values(), default=-1) + 1)
        try:
            for piece, code in vocabulary.items():
                self.bytes[code] = piece.encode() if code in added else bytes(map(byte_of.__getitem__, piece))
        except KeyError as error:
            raise UserError(
                f"base.path: the tokenizer is no byte-level BPE as GPT-2's is (its vocabulary has {piece!r}); "
                "use a GPT-2 base"
            ) from error
        self.special = frozenset(code for code, token in added.items() if token.special)
        self.begun = np.array([_begun(piece) for piece in self.bytes], np.int64)
        self.inside = np.array([_continues(piece) for piece in self.bytes], bool)
        self.blank = np.array([_blank(piece) for piece in self.bytes], np.int64)
        lengths = b"".join(len(piece).to_bytes(4, "little") for piece in self.bytes)
        self.sha256 = hashlib.sha256(lengths + b"".join(self.bytes)).hexdigest()

    def text(self, ids: Sequence[int]) -> str:
        """The text that ids stand for; bytes that are no character are replaced."""
        return b"".join(self.bytes[code] for code in ids).decode("utf-8", "replace")


def _alphabet() -> dict[str, int]:
    """The byte behind each letter of a byte-level vocabulary: printable ones stand for themselves."""
    others = [byte for byte in range(256) if byte not in _PRINTABLE]
    return {chr(byte): byte for byte in _PRINTABLE} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


def _continues(piece: bytes) -> bool:
    return piece[:1] != b"" and piece[0] & 0xC0 == 0x80


def _begun(piece: bytes) -> int:
    return sum(byte & 0xC0 != 0x80 for byte in piece)


def _blank(piece: bytes) -> int:
    text = piece.decode("utf-8", "replace")
    return 0 if _continues(piece) else len(text) - len(text.lstrip())


@dataclass(frozen=True)
class Tokens:
    """The tokens of several prompts, one prompt after the other.

    Attributes:
        offsets: int64 (prompts + 1,): the tokens of prompt i are those from ``offsets[i]`` to ``offsets[i + 1]``.
        chars: int64 (prompts + 1,): first character of every prompt, and the end of the last.
        begins: int64 (tokens,): character in which the token begins.
        shown: int64 (tokens,): its first character that is no white space; -1 if it has none.
    """

    offsets: NDArray[np.int64]
    chars: NDArray[np.int64]
    begins: NDArray[np.int64]
    shown: NDArray[np.int64]


def locate(pieces: Pieces, prompts: Sequence[Sequence[int]]) -> Tokens:
    """The place of every token among the characters of its prompt."""
    offsets = np.cumsum([0, *map(len, prompts)])
    ids = np.concatenate([np.zeros(0, np.int64), *(np.asarray(ids, np.int64) for ids in prompts)])
    ends = np.concatenate([[0], np.cumsum(pieces.begun[ids])])
    begins = ends[:-1] - pieces.inside[ids]
    shown = np.where(pieces.blank[ids] < pieces.begun[ids] + pieces.inside[ids], begins + pieces.blank[ids], -1)
    return Tokens(offsets, ends[offsets], begins, shown)


def words_of_tokens(tokens: Tokens, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every token the word in which its first visible character lies, -1 for none; words are in order."""
    if not len(starts):
        return np.full(len(tokens.shown), -1)
    word = np.searchsorted(starts, tokens.shown, side="right") - 1
    return np.where((word >= 0) & (tokens.shown < ends[word]), word, -1)


def last_tokens(begins: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every word the last token that shares its last character: the one at which the word is complete."""
    return np.searchsorted(begins, ends - 1, side="right") - 1


def spans(template: str, texts: Sequence[str], length: int, prompt: str | None) -> list[tuple[int, int]]:
    """Where the texts of a row lie in its prompt: (first character, end).

    Args:
        template: the prompt's template, with ``{0}``, ``{1}`` ... in order.
        texts: the whole texts.
        length: characters of the prompt.
        prompt: the prompt itself if texts have been cut at their ends, otherwise None.

    Raises:
        UserError: the prompt is not what the template makes of the texts.
    """
    before, *between = literals = [literal for literal, *_ in Formatter().parse(template)]
    between += [""] * (len(texts) + 1 - len(literals))
    kept = [len(text) for text in texts] if prompt is None else _kept(literals[0], between, texts, prompt)
    if kept is None or len(before) + sum(kept) + sum(map(len, between)) != length:
        raise UserError(
            f"base.path: the tokenizer changes texts (a prompt with {texts[0][:30]!r} comes back different), so "
            "words cannot be found in its tokens; use one without normalisation and prefix space"
        )
    places, start = [], len(before)
    for count, after in zip(kept, between, strict=True):
        places.append((start, start + count))
        start += count + len(after)
    return places


def _kept(before: str, between: Sequence[str], texts: Sequence[str], prompt: str) -> list[int] | None:
    """How many characters of every text a cut prompt has kept; None if the prompt is not made of them."""
    if not prompt.startswith(before):
        return None
    rest, text, after = prompt[len(before) :], texts[0], between[0]
    if len(texts) == 1:
        kept = len(rest) - len(after)
        return [kept] if kept >= 0 and rest == text[:kept] + after else None
    end = rest.find(after)
    while 0 <= end <= len(text):
        others = _kept(after, between[1:], texts[1:], rest[end:]) if rest[:end] == text[:end] else None
        if others is not None:
            return [end, *others]
        end = rest.find(after, end + 1)
    return None
