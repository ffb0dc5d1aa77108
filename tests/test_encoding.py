from types import SimpleNamespace

import pytest

from knotwork import models, tasks
from knotwork.corpora import Row
from knotwork.encoding import encode
from knotwork.errors import UserError

LONG = "It rains on the quiet town , and nobody minds . " * 40


@pytest.fixture(scope="module")
def tokenizer(tiny_base):
    return models.load_tokenizer(tiny_base)


def only(task, texts, tokenizer, max_length):
    (example,) = encode(tasks.get(task), [Row("1", texts, None)], tokenizer, max_length)
    return example


def test_prompt_is_whole(tokenizer):
    example = only("quora", ("Why ?", "How so ?"), tokenizer, 64)
    assert tokenizer.decode(example.ids) == (
        'Question 1: "Why ?"\nQuestion 2: "How so ?"\nAre these questions asking the same thing?'
    )
    assert not example.truncated


@pytest.mark.parametrize("texts", [(LONG, "Why ?"), ("Why ?", LONG), (LONG, LONG)])
def test_cut_texts_leave_the_fixed_parts_whole(tokenizer, texts):
    example = only("quora", texts, tokenizer, 60)
    text = tokenizer.decode(example.ids)
    assert example.truncated
    assert 50 <= len(example.ids) <= 60
    assert text.startswith('Question 1: "')
    assert text.endswith('"\nAre these questions asking the same thing?')
    assert text.count('"\nQuestion 2: "') == 1
    for given in texts:
        if given != LONG:
            assert f'"{given}"' in text


def test_two_long_texts_share_the_room(tokenizer):
    text = tokenizer.decode(only("quora", (LONG, LONG + "And so on ."), tokenizer, 60).ids)
    first, second = (line.split('"')[1] for line in text.splitlines()[:2])
    assert abs(len(first) - len(second)) <= 12


def test_cut_text_loses_its_end(tokenizer):
    text = tokenizer.decode(only("sst", (LONG,), tokenizer, 30).ids)
    kept = text.removesuffix("\nOverall, this movie is")
    assert len(kept) < len(text)
    assert LONG.startswith(kept)


def test_text_that_just_fits_is_not_cut(tokenizer):
    length = len(only("sst", (LONG,), tokenizer, 4096).ids)
    assert not only("sst", (LONG,), tokenizer, length).truncated
    assert only("sst", (LONG,), tokenizer, length - 1).truncated


def test_characters_of_several_tokens_are_never_split(tokenizer):
    for max_length in range(20, 40):
        text = tokenizer.decode(only("sst", ("🌧️é漢" * 30,), tokenizer, max_length).ids)
        assert "\ufffd" not in text
        assert text.endswith("\nOverall, this movie is")


def test_no_room_for_the_text(tokenizer):
    with pytest.raises(UserError, match=r"base\.max_length: 8 tokens are too few for the prompt .*raise it"):
        only("quora", (LONG, LONG), tokenizer, 8)


def test_sonnets_end_with_the_end_of_text(tokenizer):
    example = only("sonnet", ("One line\nand another",), tokenizer, 64)
    assert example.ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(example.ids[:-1]) == "One line\nand another"


def test_long_sonnet_is_cut_and_counted(tokenizer):
    example = only("sonnet", (LONG,), tokenizer, 50)
    assert len(example.ids) == 50
    assert example.truncated
    assert tokenizer.eos_token_id not in example.ids


def test_all_splits_see_the_same_prompt(tokenizer, data):
    task = tasks.get("sst")
    for split in ("train", "dev", "test"):
        for example in encode(task, task.read(data / "raw/sst", split).rows, tokenizer, 128):
            assert tokenizer.decode(example.ids) == task.template.format(*example.row.texts)


def test_prompt_hash_follows_template_and_words():
    task = tasks.get("sst")
    changed = [
        SimpleNamespace(template=task.template + " ", words=task.words),
        SimpleNamespace(template=task.template, words=(*task.words[:-1], " fine")),
    ]
    hashes = {type(task).prompt.fget(variant)["sha256"] for variant in [task, *changed]}
    assert len(hashes) == 3
