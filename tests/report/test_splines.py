import re
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from knotwork.errors import UserError
from knotwork.report import splines, svg
from knotwork.report.build import build
from knotwork.report.elements import Figure
from knotwork.report.read import read_task
from knotwork.report.records import SplinePictures

from . import conftest
from .conftest import Results
from .test_build import Page


def invented(**changes: object) -> SplinePictures:
    return SplinePictures.model_validate(conftest.splines()["splines"] | changes)


def function(**changes: object) -> dict:
    return conftest.splines()["splines"]["functions"][0] | changes


def draw(**changes: object) -> list[Figure]:
    return splines.figures("sst", "SST", invented(**changes))


def texts(picture: Markup) -> str:
    return "\n".join("".join(element.itertext()) for element in ElementTree.fromstring(picture).iter("text"))


def alt(picture: Markup) -> str:
    return ElementTree.fromstring(picture).attrib["aria-label"]


def test_every_block_has_a_picture_and_the_rest_another_figure() -> None:
    learned, overview = draw()
    assert [alt(picture).split(":")[0] for picture in learned.pictures] == [f"SST, block {n}" for n in range(4)]
    assert len(overview.pictures) == 2
    names = list(splines.draw("sst", "SST", invented()))
    assert names == ["block-0", "block-1", "block-2", "block-3", "strength", "pruning"]


def test_functions_say_what_they_are() -> None:
    picture = draw(functions=[function(strength=0.0421)])[0].pictures[0]
    assert "c_fc, 17 → 203" in texts(picture)
    assert "R² 0.98" in texts(picture)
    assert (
        "feature 17 to output 203, strength 0.042: over inputs from -2 to 2 the values go from -0.673 to 0.673"
        in alt(picture)
    )
    assert "without the spline from -0.4 to 0.4; the spline is about 0.3 sin" in alt(picture)


def test_directions_have_no_function_beside_them() -> None:
    learned = draw(functions=[function(base=None)])[0]
    assert "direction 17 to output 203" in alt(learned.pictures[0])
    assert "without the spline" not in alt(learned.pictures[0])
    assert "no pretrained function beside them" in learned.caption
    assert "the dashed one without it" in draw()[0].caption


def test_a_function_without_a_formula_is_drawn() -> None:
    learned = draw(functions=[function(formula=None, r2=None)])[0]
    assert "R²" not in texts(learned.pictures[0])
    assert "Below" not in learned.caption


def test_a_long_formula_is_broken_between_its_terms() -> None:
    formula = "−0.183 exp(−(1.26 x + 0.308)²) + 0.0756 − 0.002 x"
    lines = texts(draw(functions=[function(formula=formula)])[0].pictures[0]).replace("\u00a0", " ")
    assert "−0.183 exp(−(1.26 x + 0.308)²)\n+ 0.0756 − 0.002 x\n" in lines


def test_small_values_have_a_unit() -> None:
    small = [value / 100 for value in function()["total"]]
    picture = draw(functions=[function(base=None, total=small)])[0].pictures[0]
    assert "×10⁻³" in texts(picture)
    assert "−5" in texts(picture).split()


def test_a_flat_function_is_a_line_with_one_tick() -> None:
    flat = [0.25 + 1e-9 * (n % 2) for n in range(49)]
    lines = texts(draw(functions=[function(base=None, total=flat, formula=None)])[0].pictures[0]).split("\n")
    assert lines.count("0.25") == 1
    assert not [line for line in lines if line.startswith("0.2500")]


def test_several_functions_of_a_block_stand_in_rows() -> None:
    pictures = draw(functions=[function(feature=n) for n in range(5)])[0].pictures
    assert len(pictures) == 1
    assert re.findall(r"c_fc, (\d) → 203", texts(pictures[0])) == list("01234")


def test_the_strongest_are_named() -> None:
    learned, overview = draw()
    assert (
        "The strongest is feature 20 of block 3, c_fc: what its splines add varies 10\u202f% as much"
        in learned.caption
    )
    assert "strongest in block 3, c_fc" in overview.caption


def test_the_heat_map_says_its_numbers_and_merges_equal_fields() -> None:
    values = [[0.02] * 64, [0.01] * 32 + [0.0] * 32]
    rows = [{"block": 2, "matrix": "c_fc"}, {"block": 2, "matrix": "c_proj"}]
    picture = draw(strength={"rows": rows, "values": values})[1].pictures[0]
    assert "2 c_fc from 0.020 to 0.020; 2 c_proj from 0.010 to 0.000" in alt(picture)
    assert "2\u202f%" in texts(picture)
    assert picture.count("<path") < 30


def test_pruning_says_what_it_costs() -> None:
    caption, picture = draw()[1].caption, draw()[1].pictures[1]
    assert "accuracy on 200 dev examples" in caption
    assert (
        "It is 48.0\u202f% with all of them, 47.5\u202f% without the weakest 40\u202f% and 28.0\u202f% without any."
        in caption
    )
    assert "100 % removed 0.280" in alt(picture)
    assert "Accuracy, %, without the weakest splines" in texts(picture)


def test_pruning_of_a_language_model_is_told_in_perplexity() -> None:
    points = [{"removed": 0.0, "score": 48.2}, {"removed": 1.0, "score": 61.7}]
    overview = draw(pruning=points, score_name="perplexity")[1]
    assert "It is 48.2 with all of them" in overview.caption
    assert "61.7 without any" in overview.caption
    assert "Perplexity, without" in texts(overview.pictures[1])


def test_one_example_more_is_no_cliff() -> None:
    """The axis spans several examples, however little the score changes."""
    points = [{"removed": 0.0, "score": 0.50}, {"removed": 1.0, "score": 0.51}]
    labels = texts(draw(pruning=points, examples=100)[1].pictures[1]).split()
    assert {"46", "54"} <= set(labels)


def test_nothing_learned_at_all() -> None:
    zero = {"strength": 0.0, "formula": None, "r2": None, "total": [0.0] * 49, "base": None}
    rows = [{"block": 0, "matrix": "c_fc"}]
    figures = draw(
        functions=[function(**zero)], strength={"rows": rows, "values": [[0.0]]}, pruning=[], score_name="accuracy"
    )
    assert [len(figure.pictures) for figure in figures] == [1, 2]
    assert len(draw(functions=[])) == 1


def test_pictures_are_the_pages_own() -> None:
    for figure in draw():
        assert len(figure.caption) > 60
        for picture in figure.pictures:
            assert len(alt(picture)) > 40
            assert "var(--ink)" in picture or "var(--quiet)" in picture
            assert not [colour for colour in svg.VARIABLES if colour in picture]
            assert "font-family" not in picture


def test_a_picture_can_stand_alone(tmp_path) -> None:
    picture = draw()[0].pictures[0]
    alone = svg.standalone(picture)
    assert "var(" not in alone
    root = ElementTree.fromstring(alone)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.attrib["aria-label"] == alt(picture)


def test_the_page_shows_them(results: Results) -> None:
    results.add("sst", "quora", adapter="kan")
    build(results.reports, results.timings, ["sst", "quora"], results.page)
    page = Page(results.page.read_text(encoding="utf-8"))
    assert page.text.count("the strongest learned functions of every block") == 2
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    "changes, parts",
    [
        ({"functions": [function(base=[1.0])]}, ["functions.0", "base has 1 values for 49 inputs"]),
        ({"functions": [function(total=[float("nan")] * 49)]}, ["functions.0.total.0", "finite"]),
        ({"strength": {"rows": [], "values": []}}, ["strength.rows"]),
        ({"strength": {"rows": [{"block": 0, "matrix": "c_fc"}], "values": []}}, ["values has not 1 rows"]),
        ({"pruning": [{"removed": 1.5, "score": 0.1}]}, ["pruning.0.removed", "less than or equal to 1"]),
        ({"score_name": None}, ["score_name"]),
    ],
)
def test_broken_pictures_are_named(results: Results, changes: dict, parts: list[str]) -> None:
    results.add("sst", adapter="kan")
    own = conftest.splines()
    own["splines"] |= changes
    results.change("sst", "pictures.json", adapter=own)
    with pytest.raises(UserError) as error:
        read_task(results.reports / "sst")
    assert "\n" not in str(error.value)
    for part in ["pictures.json: adapter.splines", "dvc repro", *parts]:
        assert part in str(error.value)
