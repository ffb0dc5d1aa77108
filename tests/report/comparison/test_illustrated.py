import re

import pytest

from knotwork.files import text_hash
from knotwork.report import paper
from knotwork.report.comparison.contrasts import Comparison
from knotwork.report.comparison.data import frames
from knotwork.report.comparison.illustrated import illustrated_page
from knotwork.report.page import render

from ..conftest import GENERATED, pictures
from ..test_build import Page
from .study import Study, right_on


def source(comparison: Comparison, texts: dict[str, str] | None = None) -> str:
    return render(illustrated_page(comparison, {}, "knotwork compare lora full head", "figures", texts or {}))


@pytest.fixture(scope="module")
def html(three: Study) -> str:
    return source(three.compare("lora", "full", "head"))


def test_the_page_tells_the_comparison(html: str) -> None:
    text = Page(html).text
    for part in (
        "lora against full and head",
        "Against lora, full is better on SST (+38.3 points)",
        "Cost against quality",
        "No run collapsed or stalled.",
        "They differ on 25 of 60 examples",
        "Parameters that set the runs apart",
        "knotwork compare lora full head",
        "dvc repro # lora, full, head",
        "The data of every figure lie in figures, in the file that its caption names.",
        "Data: confusion.csv, calibration.csv.",
        GENERATED[-1],
    ):
        assert part in text


def test_the_page_needs_nothing_but_itself(html: str) -> None:
    assert not {tag for tag, _ in Page(html).elements} & {"script", "link", "img", "iframe", "object", "embed"}
    assert re.findall(r"(?:https?:)?//[^\s\"'<)]+", html) == [paper.SOURCE]
    assert re.findall(r"url\((?!#)", html) == []


def test_links_ids_captions_and_alternative_texts(html: str) -> None:
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
    drawings = [attributes for tag, attributes in page.elements if tag == "svg"]
    least = {"plot": 40, "whisker": len("interval 0.0–0.0")}
    assert all(attributes["role"] == "img" for attributes in drawings)
    assert all(len(attributes["aria-label"]) > least[attributes["class"]] for attributes in drawings)
    tags = [tag for tag, _ in page.elements]
    assert tags.count("figure") == tags.count("figcaption")


def test_the_same_runs_give_the_same_bytes(three: Study, html: str) -> None:
    assert source(three.compare("lora", "full", "head")) == html


def test_names_are_text(study: Study) -> None:
    evil = "<script>alert('x')"
    for run in (evil, "b"):
        study.classes(run, "sst", right_on(ord(run[0]) - 50))
    page = Page(source(study.compare(evil, "b")))
    assert not [tag for tag, _ in page.elements if tag == "script"]
    assert page.text.count(evil) > 5


def test_one_group_each_is_a_page_too(study: Study) -> None:
    for run in ("a", "b"):
        study.classes(run, "sst", right_on(1))
        study.results(run).change("sst", "metrics.json", stalled=-1)
    study.change_card("b", "sst", base={"sha256": "other"})
    text = Page(source(study.compare("a", "b"))).text
    assert "Runs that do not match are kept apart" in text
    assert "Cost against quality" not in text
    assert "Too few epochs to tell: for a on SST, group 1; for b on SST, group 2." in text


def test_runs_that_answer_alike_are_said_to(study: Study) -> None:
    for run in ("a", "b"):
        study.classes(run, "sst", right_on(1))
    text = Page(source(study.compare("a", "b"))).text
    assert "The runs give the same answers on SST." in text
    assert "The runs have the same parameters." in text


def test_every_file_that_a_caption_names_is_written(three: Study) -> None:
    three_and_own = three.compare("lora", "full", "head")
    named = set(re.findall(r"<code>([a-z-]+\.csv)</code>", source(three_and_own)))
    assert named
    assert named <= set(frames(three_and_own))


def test_texts_that_are_known_stand_beside_the_answers(three: Study) -> None:
    comparison = three.compare("lora", "full", "head")
    assert "Their texts are no part of the results" in Page(source(comparison)).text
    text = Page(source(comparison, {text_hash(f"text {n}"): "a film that was told" for n in range(60)})).text
    assert "a film that was told" in text
    assert "Their texts are no part of the results" not in text


def test_the_adapters_own_pictures_are_shown_once_a_run(study: Study) -> None:
    for run, adapter in {"kan": "kan", "graph": "graph", "lora": "lora"}.items():
        for task in ("sst", "quora"):
            study.classes(run, task, right_on(len(run)), adapter=adapter)
    text = Page(source(study.compare("kan", "graph", "lora"))).text
    assert "What the adapters learned" in text
    for part in ("SST with kan: the strongest learned functions", "SST with graph: attention on average"):
        assert text.count(part) == 1
    assert "Quora with" not in text


def test_a_graph_without_edges_is_not_drawn(study: Study) -> None:
    for run in ("a", "b"):
        study.classes(run, "sst", right_on(ord(run)), adapter="graph")
        results = study.results(run)
        alone = [{"layer": 0, "kind": "self", "weight": 1.0, "even": 1.0}]
        empty = {"attention": {"layers": [0], "examples": [], "kinds": alone, "labels": []}}
        results.write("sst", "pictures.json", pictures("sst") | {"adapter": empty})
    assert "What the adapters learned" not in Page(source(study.compare("a", "b"))).text
