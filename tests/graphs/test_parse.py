"""Words as arrays: the same as spaCy's documents say; parsers that cannot be used are refused."""

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language

from knotwork.errors import UserError
from knotwork.graphs.parse import Parser, open_parser

from .conftest import PARSER

TEXTS = [
    "The baker sleeps. His oven was not burning, and the bakers wake.",
    "word",
    "",
    "   ",
    "two  blanks and a\nline break",
    "😀 naïve cafe\u0301 שלום\x07",
]


@pytest.fixture(scope="module")
def parser(nlp):
    return Parser(nlp)


def check(parser: Parser, texts: list[str]) -> None:
    """Compare with spaCy's own view of the documents."""
    words = parser.words(texts)
    assert len(words.offsets) == len(texts) + 1
    for index, (text, doc) in enumerate(zip(texts, parser.parse(texts), strict=True)):
        kept = [word for word in doc if not word.is_space]
        place = {word.i: number for number, word in enumerate(kept)}
        mine = words.text(index)
        assert mine.starts.tolist() == [word.idx for word in kept]
        assert mine.ends.tolist() == [word.idx + len(word) for word in kept]
        assert [text[start:end] for start, end in zip(mine.starts, mine.ends, strict=True)] == [
            word.text for word in kept
        ]
        assert mine.heads.tolist() == [place.get(word.head.i, -1) for word in kept]
        labels = [("", *parser.labels)[code] for code in mine.labels]
        assert labels == [word.dep_ for word in kept]
        # The number changes where spaCy's sentence does, though white space may be the sentence's first word.
        spacys = [word.sent.start for word in kept]
        assert (np.diff(mine.sentences) != 0).tolist() == (np.diff(spacys) != 0).tolist()


def test_words_are_spacys(parser):
    check(parser, TEXTS)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=4))
def test_words_of_any_text(parser, texts):
    texts = ["".join(" " if letter.isspace() else letter for letter in text) for text in texts]
    check(parser, texts)


def test_one_text_parses_as_in_a_batch(parser):
    together = parser.words(TEXTS)
    for index, text in enumerate(TEXTS):
        alone, within = parser.words([text]), together.text(index)
        assert alone.heads.tolist() == within.heads.tolist()
        assert alone.labels.tolist() == within.labels.tolist()


def test_line_breaks_are_blanks_to_the_parser(parser):
    broken, plain = parser.words(["The baker\nsleeps"]), parser.words(["The baker sleeps"])
    assert broken.heads.tolist() == plain.heads.tolist()
    assert broken.starts.tolist() == plain.starts.tolist()


def test_content_lemmas(parser):
    text = "The Baker sees the baker, who sees him."
    words = parser.words([text])
    places = zip(words.starts, words.ends, words.lemmas, strict=True)
    number = {text[start:end]: code for start, end, code in places}
    assert number["Baker"] == number["baker"] > 0
    assert number["sees"] not in (0, number["baker"])
    assert number["The"] == number["who"] == number[","] == number["him"] == 0


def test_lemmas_and_parts_of_speech_of_the_pipeline(nlp):
    """Where a pipeline has lemmas and parts of speech, they are used."""
    full = open_parser(PARSER)
    ruler = full.add_pipe("attribute_ruler", last=True)
    ruler.add(patterns=[[{"LOWER": {"IN": ["ran", "runs"]}}]], attrs={"LEMMA": "run", "POS": "VERB"})
    words = Parser(full).words(["He ran. She runs the table."])
    content = words.lemmas[words.lemmas > 0].tolist()
    assert len(content) == 2  # table has no part of speech here
    assert len(set(content)) == 1


def test_select_renumbers_heads(parser):
    words = parser.words(["The baker sleeps."])
    root = int(np.flatnonzero(words.heads == np.arange(len(words.heads)))[0])
    left = words.select(np.arange(len(words.heads)) != root)
    assert len(left.heads) == len(words.heads) - 1
    assert left.offsets.tolist() == [0, len(words.heads) - 1]
    assert -1 in left.heads.tolist()


@pytest.mark.parametrize(
    "components, lacking",
    [([], "no parser and no tagger"), (["tagger"], "no parser "), (["parser"], "no tagger ")],
)
def test_a_parser_without_components(tmp_path, components, lacking):
    nlp = spacy.blank("en")
    for name in components:
        nlp.add_pipe(name).add_label("X")
    nlp.initialize()
    nlp.to_disk(tmp_path / "pipeline")
    with pytest.raises(UserError, match=f"^graphs.parser: .*pipeline has {lacking}.*use assets/parser$"):
        open_parser(tmp_path / "pipeline")
    with pytest.raises(UserError, match=lacking):
        Parser(nlp)


def test_components_that_are_not_needed_go(tmp_path):
    nlp = open_parser(PARSER)
    nlp.add_pipe("sentencizer", first=True)
    nlp.to_disk(tmp_path / "pipeline")
    assert open_parser(tmp_path / "pipeline").pipe_names == ["tok2vec", "tagger", "parser"]


@pytest.mark.parametrize("broken", ["missing", "empty", "damaged"])
def test_a_pipeline_that_cannot_be_loaded(tmp_path, nlp: Language, broken):
    folder = tmp_path / "pipeline"
    if broken == "empty":
        folder.mkdir()
    if broken == "damaged":
        nlp.to_disk(folder)
        (folder / "parser/model").write_bytes(b"not a model")
    with pytest.raises(UserError, match=r"^graphs\.parser: .* cannot be loaded") as error:
        open_parser(folder)
    assert "\n" not in str(error.value)


def test_a_text_beyond_the_parsers_limit(nlp):
    with pytest.raises(UserError, match=r"a text of 1000001 characters; the parser takes 1000000"):
        Parser(nlp).words(["x" * 1_000_001])
