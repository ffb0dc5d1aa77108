"""Tokens against words: checked with the library's offsets, and with any text there is."""

from pathlib import Path

import numpy as np
import pytest
import spacy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer

from knotwork.errors import UserError
from knotwork.graphs.align import Pieces, last_tokens, locate, spans, words_of_tokens
from knotwork.graphs.tokens import open_tokenizer

from .conftest import BASE

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
ODD = [
    "",
    " ",
    "word",
    "😀👩‍👩‍👧 naïve café e\u0301 n\u0303",
    "שלום עולם مرحبا",
    "tab\tnul\x00bell\x07 line\nbreak\u2028para",
    "a<|endoftext|>b",
    "\u3000wide\u3000blank\u00a0hard",
]
# Without components a pipeline still cuts texts into words.
BLANK = spacy.blank("en")


@pytest.mark.parametrize("text", ODD)
def test_pieces_make_up_the_text(pieces, tokenizer, text):
    assert pieces.text(tokenizer(text)["input_ids"]) == text


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
@example(text=ODD[3])
@example(text=ODD[7])
def test_places_are_the_offsets_of_the_library(pieces, tokenizer, text):
    encoded = tokenizer(text, return_offsets_mapping=True)
    tokens = locate(pieces, [encoded["input_ids"]])
    for shown, (start, end) in zip(tokens.shown.tolist(), encoded["offset_mapping"], strict=True):
        covered = text[start:end]
        if covered.strip():
            assert shown == start + len(covered) - len(covered.lstrip())
        else:
            # Nothing to see: no place, or a blank that is broken into several tokens.
            assert shown < 0 or text[shown].isspace()


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=3))
@example(texts=ODD)
def test_every_token_belongs_to_one_word_or_none(pieces, tokenizer, texts):
    prompts = [tokenizer(text)["input_ids"] for text in texts]
    tokens = locate(pieces, prompts)
    assert np.diff(tokens.chars).tolist() == [len(text) for text in texts]
    bounds = [
        (first + word.idx, first + word.idx + len(word))
        for first, text in zip(tokens.chars[:-1].tolist(), texts, strict=True)
        for word in BLANK(text)
        if not word.is_space
    ]
    starts, ends = np.array(bounds, np.int64).reshape(-1, 2).T
    everything = "".join(texts)
    of_token = words_of_tokens(tokens, starts, ends)
    assert of_token.shape == tokens.shown.shape
    for token, word in enumerate(of_token.tolist()):
        place = int(tokens.shown[token])
        if word < 0:
            assert place < 0 or not any(start <= place < end for start, end in bounds)
        else:
            assert starts[word] <= place < ends[word]
            assert not everything[place].isspace()
    last = last_tokens(tokens.begins, ends)
    prompt_of_token = np.searchsorted(tokens.offsets, np.arange(len(tokens.begins)), side="right")
    for word, token in enumerate(last.tolist()):
        # The token with the word's last byte: it begins before the word's end, the next one at it or after it.
        assert tokens.begins[token] < ends[word]
        assert token + 1 == len(tokens.begins) or tokens.begins[token + 1] >= ends[word]
        assert tokens.chars[prompt_of_token[token] - 1] <= starts[word]


def test_a_character_in_several_tokens(pieces, tokenizer):
    """The last token of an emoji stands for its word, though the character begins in an earlier one."""
    ids = tokenizer("a 😀 b")["input_ids"]
    tokens = locate(pieces, [ids])
    of_token = words_of_tokens(tokens, np.array([0, 2, 4]), np.array([1, 3, 5]))
    parts = np.flatnonzero(of_token == 1)
    assert len(parts) > 1
    assert last_tokens(tokens.begins, np.array([3])).tolist() == [parts[-1]]


@pytest.mark.parametrize(
    "template, texts, prompt, expected",
    [
        ("{0} end", ("abc",), None, [(0, 3)]),
        ("{0} end", ("abc",), "ab end", [(0, 2)]),
        ("{0}", ("abc",), "a", [(0, 1)]),
        ("1 {0} 2 {1} 3", ("abc", "de"), None, [(2, 5), (8, 10)]),
        ("1 {0} 2 {1} 3", ("abc", "de"), "1 ab 2 d 3", [(2, 4), (7, 8)]),
        # The words between the texts stand in the first text too: only the split that leaves both whole is right.
        ("{0} 2 {1}", ("x 2 y", "z"), "x 2 y 2 z", [(0, 5), (8, 9)]),
        ("{0} 2 {1}", ("x 2 y", "y 2 z"), "x 2 y 2 z", [(0, 1), (4, 9)]),
    ],
)
def test_spans(template, texts, prompt, expected):
    length = len(template.format(*texts) if prompt is None else prompt)
    assert spans(template, texts, length, prompt) == expected


@pytest.mark.parametrize("prompt", [None, "abx end", "ab", "ab endx"])
def test_spans_of_another_prompt(prompt):
    with pytest.raises(UserError, match="the tokenizer changes texts"):
        spans("{0} end", ("abc",), 20, prompt)


def test_transformers_tokenizers_too(pieces):
    assert Pieces(AutoTokenizer.from_pretrained(BASE)).sha256 == pieces.sha256


def test_a_tokenizer_without_offsets():
    with pytest.raises(UserError, match=r"base\.path: the tokenizer cannot tell which characters"):
        Pieces(object())


def test_a_tokenizer_of_another_kind():
    other = Tokenizer(models.WordLevel({"wörd ": 0, "[UNK]": 1}, unk_token="[UNK]"))
    other.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(UserError, match="no byte-level BPE"):
        Pieces(other)


@settings(max_examples=50, deadline=None)
@given(text=TEXTS)
@example(text=ODD[6])
def test_the_plain_tokenizer_gives_the_librarys_ids(tokenizer, text):
    assert tokenizer(text)["input_ids"] == LIBRARY(text)["input_ids"]
    assert tokenizer.eos_token_id == LIBRARY.eos_token_id


LIBRARY = AutoTokenizer.from_pretrained(BASE)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("tokenizer.json", None, "has no tokenizer.json"),
        ("tokenizer.json", "{", "cannot be read"),
        ("tokenizer_config.json", "{}", "cannot be read"),
        ("tokenizer_config.json", '{"eos_token": "<none>"}', "does not know its own end-of-text token"),
    ],
)
def test_a_damaged_tokenizer(tmp_path: Path, name, content, message):
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).write_bytes((BASE / file).read_bytes())
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        open_tokenizer(tmp_path)
