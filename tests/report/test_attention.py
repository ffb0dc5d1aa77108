import re
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from knotwork.errors import UserError
from knotwork.report import attention, svg
from knotwork.report.build import build
from knotwork.report.elements import Figure
from knotwork.report.read import read_task
from knotwork.report.records import AttentionPictures

from . import conftest
from .conftest import Results
from .test_build import Page
from .test_splines import alt, texts


def invented(layers: int = 4, causal: bool = False) -> dict:
    return conftest.attention(layers, causal)["attention"]


def draw(pictures: dict) -> list[Figure]:
    return attention.figures("sst", "SST", AttentionPictures.model_validate(pictures))


def two_tokens(weights: dict[str, float], tokens: tuple[str, str] = ("one", " two")) -> dict:
    """A text whose second token attends to the first and to itself."""
    edges = [
        {"source": 0, "target": 1, "kind": "head", "label": "amod", "weights": [weights["arc"]]},
        {"source": 1, "target": 1, "kind": "self", "label": None, "weights": [weights["self"]]},
    ]
    return {"id": "3", "tokens": list(tokens), "cut": False, "edges": edges}


def one_layer(text: dict) -> dict:
    return invented(layers=1) | {"examples": [text]}


def arcs(picture: Markup) -> list[tuple[float, str]]:
    """Widths and colours of the arcs."""
    found = re.findall(r'd="M [^"]*C[^"]*"[^>]*style="([^"]*)"', picture)
    widths = [float((re.search(r"stroke-width: ([\d.]+)", style) or [0, "1"])[1]) for style in found]
    colours = [re.search(r"stroke: var\(--(\w+)\)", style) for style in found]
    return [(width, colour[1]) for width, colour in zip(widths, colours, strict=True) if colour]


def test_a_picture_for_every_text_and_the_averages() -> None:
    drawn, averages = draw(invented())
    assert len(drawn.pictures) == len(averages.pictures) == 2
    assert "Text 7" in texts(drawn.pictures[0])
    assert {"film", "amod", "nsubj", "block 3", "dependency"} <= set(texts(drawn.pictures[0]).split("\n"))


def test_the_strongest_arcs_are_told() -> None:
    picture = draw(one_layer(two_tokens({"arc": 0.75, "self": 0.25})))[0].pictures[0]
    assert alt(picture).startswith("SST, text 3: one two. The strongest arcs")
    assert alt(picture).endswith("block 0: “two” to “one” (head amod) 0.75.")


def test_arcs_are_as_strong_as_their_weight() -> None:
    text = two_tokens({"arc": 0.8, "self": 0.1})
    text["edges"].append({"source": 0, "target": 1, "kind": "word", "label": None, "weights": [0.2]})
    drawn = arcs(draw(one_layer(text))[0].pictures[0])
    width = {colour: width for width, colour in drawn}
    assert width["blue"] > 2 * width["vermilion"]
    text["edges"][-1]["weights"] = [0.01]
    assert "vermilion" not in [colour for _, colour in arcs(draw(one_layer(text))[0].pictures[0])]


def test_a_text_without_arcs_is_drawn() -> None:
    text = two_tokens({"arc": 0.5, "self": 0.5})
    text["edges"] = text["edges"][1:]
    assert "There are no arcs" in alt(draw(one_layer(text))[0].pictures[0])


@pytest.mark.parametrize("layers, pictures", [(1, 1), (6, 1), (7, 2)])
def test_many_layers_are_shared_out_over_pictures(layers: int, pictures: int) -> None:
    drawn = draw(invented(layers))[0].pictures
    assert len(drawn) == 2 * pictures
    told = [int(layer) for picture in drawn[:pictures] for layer in re.findall(r"block (\d+): “", alt(picture))]
    assert told == list(range(layers))


def test_the_caption_fits_the_direction_of_the_edges() -> None:
    assert "on the left down to a later one" in draw(invented())[0].caption
    causal = draw(invented(causal=True))[0].caption
    assert "later one is known" in causal
    assert "on the left" not in causal


def test_a_cut_text_is_told() -> None:
    pictures = invented()
    assert "cut" not in draw(pictures)[0].caption
    pictures["examples"][1] = pictures["examples"][1] | {"cut": True}
    assert "Long texts are cut." in draw(pictures)[0].caption


@pytest.mark.parametrize(
    "token, shown",
    [("\n", "⏎"), ("   ", "␣"), ("", "␣"), (" antidisestablishment", "antidisestab…"), ("<b>&$x_1", "<b>&$x_1")],
)
def test_tokens_can_be_seen_and_are_never_markup(token: str, shown: str) -> None:
    picture = draw(one_layer(two_tokens({"arc": 0.5, "self": 0.5}, ("a", token))))[0].pictures[0]
    assert shown in texts(picture).split("\n")
    assert "<b>" not in picture


def test_kinds_stand_beside_an_even_share() -> None:
    pictures = invented(layers=2)
    pictures["kinds"] = [
        {"layer": layer, "kind": kind, "weight": weight, "even": even}
        for layer in (0, 1)
        for kind, weight, even in (("self", 0.3, 0.55), ("head", 0.7, 0.45))
    ]
    averages = draw(pictures)[1]
    assert "self 30, 30 (even: 55); head 70, 70 (even: 45)" in alt(averages.pictures[0])
    assert "Beyond its even share “head” gets most, 25.0 points more over all blocks." in averages.caption


def test_labels_stand_beside_an_even_share() -> None:
    pictures = invented()
    pictures["labels"] = [
        {"label": "amod", "weight": 0.2, "even": 0.25, "count": 7},
        {"label": "nsubj", "weight": 0.5, "even": 0.25, "count": 40},
    ]
    averages = draw(pictures)[1]
    assert "nsubj 50 (even: 25, 40 edges); amod 20 (even: 25, 7 edges)" in alt(averages.pictures[1])
    assert "The most preferred is “nsubj”: 50.0\u202f% instead of 25.0\u202f%." in averages.caption


def test_attention_that_does_not_choose_is_told() -> None:
    pictures = invented()
    for mean in pictures["kinds"] + pictures["labels"]:
        mean["weight"] = mean["even"]
    caption = draw(pictures)[1].caption
    assert "No kind gets more than an even share. " in caption
    assert "No label is preferred." in caption


def test_graphs_without_dependencies_have_no_labels_to_show() -> None:
    pictures = invented() | {"labels": []}
    assert len(draw(pictures)[1].pictures) == 1
    assert "dependency label" not in draw(pictures)[1].caption


def test_pictures_are_the_pages_own() -> None:
    for figure in draw(invented()):
        for picture in figure.pictures:
            assert len(alt(picture)) > 40
            assert "var(--ink)" in picture
            assert not [colour for colour in svg.VARIABLES if colour in picture]
            ElementTree.fromstring(picture)


def test_the_page_shows_them(results: Results) -> None:
    results.add("sst", "sonnet", adapter="graph")
    build(results.reports, results.timings, ["sst", "sonnet"], results.page)
    page = Page(results.page.read_text(encoding="utf-8"))
    assert page.text.count("dev texts from top to bottom") == 2
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_broken_pictures_are_named(results: Results) -> None:
    results.add("sst", adapter="graph")
    beyond, short = invented(), invented()
    beyond["examples"][0]["edges"][0]["source"] = 12
    short["examples"][0]["edges"][0]["weights"] = [0.5]
    for own, part in (
        (beyond, "example 7: an edge leaves its 12 tokens"),
        (short, "example 7: an edge has not 4 weights"),
        (invented() | {"layers": []}, "layers"),
    ):
        results.change("sst", "pictures.json", adapter={"attention": own})
        with pytest.raises(UserError) as error:
            read_task(results.reports / "sst")
        assert part in str(error.value)
        assert "\n" not in str(error.value)
