"""The embedded parser, its rebuilding from a tiny treebank, and the rewritings it is trained with."""

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import spacy
import yaml
from spacy.tokens import Doc, DocBin
from spacy.training import Example

ASSETS = Path(__file__).parents[2] / "assets"
OWN = Path(__file__).with_name("own_sentences.conllu")
sys.path.insert(0, str(ASSETS))

import augment  # noqa: E402
import treebank  # noqa: E402
import web_tokenizer  # noqa: E402
from parser import gold_examples, raw_examples, read_recipe, score, train  # noqa: E402
from parser_card import megabytes, publish  # noqa: E402
from settings import Mistake, Settings  # noqa: E402


@pytest.fixture(scope="module")
def own() -> list[Doc]:
    """Our sentences, one in each document."""
    return treebank.read_treebank(OWN, 1)


@pytest.fixture(scope="module")
def parser():
    return spacy.load(ASSETS / "parser")


def edges(doc: Doc) -> set[tuple[str, str, str]]:
    """The labelled edges as words, in lower case."""
    return {(token.text.lower(), token.head.text.lower(), token.dep_) for token in doc}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A parameter file beside a treebank whose splits are all our sentences, for a model of seconds."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "treebank").mkdir()
    text = OWN.read_text(encoding="utf-8")
    for split in treebank.SPLITS:
        # spaCy's parser drops labels seen fewer than 30 times.
        copies = 15 if split == "train" else 1
        (folder / "treebank" / f"{split}.conllu").write_text(text * copies, encoding="utf-8")
    params = yaml.safe_load((ASSETS / "params.yaml").read_text(encoding="utf-8"))
    params |= {"work": "work"}
    params["parser"] |= {"treebank": "treebank", "folder": "parser", "trials": "trials.json", "trial": "tiny"}
    params["parser"]["recipe"] |= {"width": 32, "depth": 2, "rows": [200, 50, 100, 50], "hidden_width": 32}
    params["parser"]["recipe"] |= {
        "dropout": 0.0,
        "learning_rate": 0.05,
        "max_steps": 80,
        "eval_frequency": 40,
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return folder / "params.yaml"


# the embedded model


def test_parses_our_sentences_from_raw_text(parser, own):
    scores = score(parser, raw_examples(parser, own))
    assert scores["words_f"] == 100
    assert scores["uas"] > 80
    assert scores["las"] > 75
    assert scores["tag"] > 85


def test_parses_lower_case_and_set_apart_words(parser, own):
    for rewritten in (
        [augment.lower_cased(doc) for doc in own],
        [augment.set_apart(d, penn=True) for d in own],
    ):
        assert score(parser, gold_examples(parser, rewritten))["las"] > 70


def test_is_small_and_leaves_no_trace_of_the_machine(parser):
    assert megabytes(ASSETS / "parser") <= 12
    assert set(parser.config["paths"].values()) == {None}


def test_card_and_readme_agree():
    card = json.loads((ASSETS / "parser" / "card.json").read_text(encoding="utf-8"))
    readme = (ASSETS / "parser" / "README.md").read_text(encoding="utf-8")
    assert str(card["test"]["raw"]["las"]) in readme
    assert "CC BY-SA 4.0" in readme
    assert max(row["dev"]["raw"]["las"] for row in card["trials"]) == card["dev"]["raw"]["las"]


# rebuilding


def test_rebuild_from_a_tiny_treebank(tiny, own):
    folder = tiny.parent
    train(Settings(tiny, []))
    publish(Settings(tiny, []))
    nlp = spacy.load(folder / "parser")
    assert nlp.pipe_names == ["tok2vec", "tagger", "parser"]
    # Trained on these very sentences: far above what chance gives.
    assert score(nlp, gold_examples(nlp, own))["uas"] > 60
    card = json.loads((folder / "parser" / "card.json").read_text(encoding="utf-8"))
    assert card["treebank"]["test"]["sentences"] == len(own)
    assert [row["trial"] for row in json.loads((folder / "trials.json").read_text())] == ["tiny"]


def test_a_model_that_is_too_large_is_not_installed(tiny):
    with pytest.raises(Mistake, match="max_megabytes"):
        publish(Settings(tiny, ["parser.max_megabytes=0.01", "parser.folder=other"]))
    assert not list(tiny.parent.glob("*other*"))


@pytest.mark.parametrize(
    "setting", ["parser.recipe.width=wide", "parser.recipe.dropout=2", "parser.recipe.rows=[9]"]
)
def test_a_wrong_recipe_is_named(tiny, setting):
    with pytest.raises(Mistake, match=setting.split("=")[0]):
        read_recipe(Settings(tiny, [setting]))


# bad treebanks


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("2\told\t_\tADJ", "2\told\tADJ", 4, "9 tab-separated columns"),
        ("2\told\t_\tADJ\tJJ\t_\t3", "2\told\t_\tADJ\tJJ\t_\t30", 4, "head 30"),
        ("2\told\t_\tADJ\tJJ\t_\t3", "2\told\t_\tADJ\tJJ\t_\tthree", 4, "head 'three'"),
        ("2\told\t_\tADJ\tJJ\t_\t3", "2\told\t_\tADJ\tJJ\t_\t0", 1, "exactly one"),
        ("3\tfilm\t_\tNOUN\tNN\t_\t6", "3\tfilm\t_\tNOUN\tNN\t_\t2", 5, "own ancestor"),
        ("3\tfilm", "4\tfilm", 5, "word id 4"),
        ("3\tfilm", "x\tfilm", 5, "'x'"),
    ],
)
def test_a_broken_line_is_named(tmp_path, old, new, line, said):
    path = tmp_path / "train.conllu"
    path.write_text(OWN.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(Mistake, match=f"train.conllu:{line}: .*{said}"):
        treebank.read_treebank(path, 1)


def test_a_missing_file_ends_the_script_with_one_line(tiny, tmp_path):
    command = [sys.executable, ASSETS / "parser.py", "--params", tiny, "--set", f"parser.treebank={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path}/train.conllu: cannot be read")
    assert len(done.stderr.splitlines()) == 1


def test_all_splits_are_checked_before_training(tiny, tmp_path):
    text = OWN.read_text(encoding="utf-8")
    for split in treebank.SPLITS:
        (tmp_path / f"{split}.conllu").write_text(text, encoding="utf-8")
    (tmp_path / "test.conllu").write_text(text + "1\tonly\n\n", encoding="utf-8")
    with pytest.raises(Mistake, match=rf"test.conllu:{len(text.splitlines()) + 1}: 2 tab"):
        train(Settings(tiny, [f"parser.treebank={tmp_path}", "parser.trial=other"]))
    assert not (tiny.parent / "work" / "parser" / "other").exists()


def test_a_treebank_without_sentences_or_utf8(tmp_path):
    path = tmp_path / "train.conllu"
    path.write_text("\n\n")
    with pytest.raises(Mistake, match="no sentence"):
        treebank.read_treebank(path, 1)
    path.write_bytes(b"1\tcaf\xe9\n")
    with pytest.raises(Mistake, match="cannot be read"):
        treebank.read_treebank(path, 1)


def test_contractions_keep_their_spacing_and_documents_their_length(own):
    assert own[2].text.strip() == "I don't think the plot makes any sense."
    assert [len(list(doc.sents)) for doc in treebank.read_treebank(OWN, 5)] == [5, 5, 3]


# rewritings


def test_lower_case_keeps_the_tree(own):
    for doc in own:
        rewritten = augment.lower_cased(doc)
        assert rewritten.text == doc.text.lower()
        assert edges(rewritten) == edges(doc)


def test_set_apart_keeps_the_tree_and_writes_penn_brackets(own):
    for doc in own:
        rewritten = augment.set_apart(doc, penn=False)
        assert rewritten.text.split() == [token.text for token in doc]
        assert edges(rewritten) == edges(doc)
    words = ["(", '"', "no", '"', ")"]
    heads = [2, 2, 2, 2, 2]
    doc = Doc(own[0].vocab, words=words, spaces=[False, False, False, False, False], heads=heads, deps=["x"] * 5)
    assert augment.set_apart(doc, penn=True).text.split()[0] == "-LRB-"
    assert [token.head.i for token in augment.set_apart(doc, penn=True)] == heads


def test_final_punctuation_goes_and_heads_follow(own):
    joined = treebank.read_treebank(OWN, len(own))[0]
    rewritten = augment.without_final_punctuation(joined, 1.0)
    gone = sum(sentence[-1].dep_ == "punct" for sentence in joined.sents)
    assert len(rewritten) == len(joined) - gone
    assert edges(rewritten) == {edge for edge in edges(joined) if edge[0] not in {".", "?"}}
    assert "good She" in rewritten.text
    assert augment.without_final_punctuation(joined, 0.0).text == joined.text


def test_a_disguise_keeps_first_letter_ending_and_shape():
    random.seed(0)
    vocab = spacy.blank("en").vocab
    for word in ("surprisingly", "Paris", "this", "CRITIC"):
        other = augment.disguise(word)
        assert other != word
        for attribute in ("prefix_", "suffix_", "shape_"):
            assert getattr(vocab[other], attribute) == getattr(vocab[word], attribute)


def test_rare_words_are_disguised_and_frequent_ones_are_not(own):
    random.seed(0)
    often = Counter({token.text.lower(): 10**9 for doc in own for token in doc})
    assert augment.with_unknown_words(own[0], often, 0.25).text == own[0].text
    rewritten = augment.with_unknown_words(own[0], Counter(), 0.25)
    assert rewritten[5].text != "good"
    assert rewritten[0].text == "The"
    assert [token.head.i for token in rewritten] == [token.head.i for token in own[0]]


def test_the_augmenter_counts_the_words_of_its_corpus(tmp_path, own):
    random.seed(0)
    nlp = spacy.blank("en")
    DocBin(docs=list(own) * 2000).to_disk(tmp_path / "train.spacy")
    augmenter = augment.create_augmenter(
        str(tmp_path / "train.spacy"), lower=1.0, spaced=1.0, unpunctuated=1.0, unknown=0.25
    )
    (variant,) = augmenter(nlp, Example(nlp.make_doc(own[0].text), own[0]))
    # Every word occurs 2,000 times: none is disguised, but all the other rewritings are certain.
    assert variant.reference.text.strip() == "the old film was surprisingly good"
    assert [token.dep_ for token in variant.reference] == [token.dep_ for token in own[0]][:-1]


# word boundaries


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Wow!!! Really?!", ["Wow", "!!!", "Really", "?!"]),
        ("an e-mail to co-workers", ["an", "e-mail", "to", "co-workers"]),
        (
            "a fully-written 15-year and/or",
            ["a", "fully", "-", "written", "15", "-", "year", "and", "/", "or"],
        ),
        ("call 555-010-9999 today", ["call", "555-010-9999", "today"]),
        ("-LRB- it 's not n't -RRB-", ["-LRB-", "it", "'s", "not", "n't", "-RRB-"]),
    ],
)
def test_word_boundaries_follow_the_treebank_and_are_saved(parser, text, words):
    nlp = spacy.blank("en")
    web_tokenizer.adapt_tokenizer(nlp)
    assert [token.text for token in nlp(text)] == words
    assert [token.text for token in parser.make_doc(text)] == words
