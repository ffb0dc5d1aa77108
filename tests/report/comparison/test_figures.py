from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from knotwork.report.comparison import figures, scales, tables
from knotwork.report.comparison.answers import answers
from knotwork.report.comparison.contrasts import ACCURACY, CHRF, EXTRAPOLATION
from knotwork.report.elements import Cell, Figure

from .study import Study, right_on


def alt(picture: Markup) -> str:
    return ElementTree.fromstring(picture).attrib["aria-label"]


def texts(picture: Markup) -> set[str]:
    return {"".join(element.itertext()) for element in ElementTree.fromstring(picture).iter("text")}


@pytest.fixture(scope="module")
def all_figures(three: Study) -> list[Figure]:
    comparison = three.compare("lora", "full", "head")
    return [
        *(figures.scores(comparison, group, measure) for group in comparison.groups for measure in group.measures),
        *(figures.curves(comparison, group) for group in comparison.groups),
        *figures.costs(comparison),
    ]


def test_every_figure_has_a_caption_and_every_picture_alternative_text(all_figures: list[Figure]) -> None:
    assert len(all_figures) == 4 + 3 + 2
    for figure in all_figures:
        assert len(figure.caption) > 60
        for picture in figure.pictures:
            assert len(alt(picture)) > 40


def test_ids_are_unique_over_all_pictures(all_figures: list[Figure]) -> None:
    found = [
        element.attrib["id"]
        for figure in all_figures
        for picture in figure.pictures
        for element in ElementTree.fromstring(picture).iter()
        if "id" in element.attrib
    ]
    assert len(found) == len(set(found)) > 0


def test_scores_stand_beside_marks_and_differences(three: Study) -> None:
    comparison = three.compare("lora", "full", "head")
    scores, differences = figures.scores(comparison, comparison.tasks["sst"][0], ACCURACY).pictures
    assert "Full: 88.3, interval 83.3 to 93.3." in alt(scores)
    assert "Lines: largest class 26.5, bag of words, same rows 40.5, the paper’s 55.2." in alt(scores)
    assert "Full: +38.3, interval" in alt(differences)
    assert {"Significant", "May be chance"} <= texts(differences)
    assert "lora" not in {text for text in texts(differences) if not text.startswith("Difference")}


def test_extrapolation_is_drawn_as_dev_is(study: Study) -> None:
    for run in ("old", "a", "b"):
        study.classes(run, "sst", right_on(1))
        if run != "old":
            study.deeper(run, "sst", right_on(*range(10 if run == "b" else 0), examples=20))
    comparison = study.compare("old", "a", "b")
    figure = figures.scores(comparison, comparison.groups[0], EXTRAPOLATION)
    scores, differences = figure.pictures
    assert "A: 100.0, interval 95.0 to 105.0. B: 50.0" in alt(scores)
    assert "Extrapolation accuracy, %" in texts(scores)
    assert "B: −50.0, interval" in alt(differences)
    assert "Difference from a, points" in texts(differences)
    assert "how far each run is from a on the same examples" in figure.caption


def test_a_baseline_that_differs_is_no_line(study: Study) -> None:
    for run, words in (("a", 0.4), ("b", 0.5)):
        study.classes(run, "quora", right_on(1))
        study.results(run).change("quora", "metrics.json", baseline_tfidf=words)
    comparison = study.compare("a", "b")
    scores = figures.scores(comparison, comparison.groups[0], ACCURACY).pictures[0]
    assert "bag of words" not in alt(scores)
    assert "largest class" in alt(scores)


def test_a_baseline_of_another_machine_is_a_line(study: Study) -> None:
    for run, words in (("a", 0.4), ("b", 0.400001)):
        study.classes(run, "quora", right_on(1))
        study.results(run).change("quora", "metrics.json", baseline_tfidf=words)
    comparison = study.compare("a", "b")
    assert "bag of words" in alt(figures.scores(comparison, comparison.groups[0], ACCURACY).pictures[0])
    table = tables.contrasts(comparison, comparison.groups[0], ACCURACY)
    named = [row[0] for row in table.rows if row[0].text == "Bag of words, same rows"]
    assert named == [Cell("Bag of words, same rows")]


def test_a_class_that_dev_has_none_of_is_not_the_hardest(study: Study) -> None:
    study.classes("a", "quora", right_on(1))
    study.results("a").change("quora", "pictures.json", confusion=[[0, 0], [2, 6]])
    study.classes("b", "quora", right_on(2))
    study.results("b").change("quora", "pictures.json", confusion=[[0, 0], [4, 4]])
    comparison = study.compare("a", "b")
    assert "“same” is found least often" in answers(comparison, comparison.groups[0]).caption


def test_without_tests_there_are_scores_alone(study: Study) -> None:
    study.sonnets("a", 0.2, 3.0, hashed=True)
    study.sonnets("b", 0.6, 2.9, hashed=True)
    comparison = study.compare("a", "b")
    figure = figures.scores(comparison, comparison.groups[0], CHRF)
    assert len(figure.pictures) == 1
    assert "Second" not in figure.caption


def test_curves_have_a_line_per_run_that_was_trained(three: Study, study: Study) -> None:
    comparison = three.compare("lora", "full")
    figure = figures.curves(comparison, comparison.groups[0])
    assert "The loss is lowest with lora after epoch 4 (1.01)" in figure.caption
    loss, metric = figure.pictures
    assert "lora from 1.36 to 1.01; full from 1.36 to 1.01" in alt(loss)
    assert "Accuracy on the selection rows, %" in alt(metric)
    study.classes("a", "sst", right_on(1))
    history = study.root / "a" / "sst" / "history.csv"
    history.write_text(history.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    comparison = study.compare("a")
    assert figures.curves(comparison, comparison.groups[0]) is None


def test_curves_are_means_over_all_seeds(study: Study) -> None:
    """The second seed of b went on alone, with a loss that says nothing of the first."""
    for run in ("a", "b"):
        study.classes(run, "sst", right_on(1), right_on(2))
    history = study.root / "b" / "sst" / "history.csv"
    lines = ["seed,epoch,step,train_loss,selection_loss,selection_metric", "1,1,1,1,2.0,0.3", "1,2,2,1,1.8,0.4"]
    lines += ["2,1,1,1,2.2,0.3", "2,2,2,1,2.0,0.4", "2,3,3,1,0.1,0.9"]
    history.write_text("\n".join(lines) + "\n", encoding="utf-8")
    comparison = study.compare("a", "b")
    figure = figures.curves(comparison, comparison.groups[0])
    assert "b from 2.1 to 1.9." in alt(figure.pictures[0])
    assert "The loss is lowest with a " in figure.caption
    assert "as means over seeds, as far as all seeds of a run went." in figure.caption
    comparison = study.compare("a")
    assert "as means over seeds. " in figures.curves(comparison, comparison.groups[0]).caption


def test_costs_hold_a_picture_per_group_and_a_place_for_zero(study: Study) -> None:
    for run, seconds in (("a", 40.0), ("b", 0.0), ("c", 300.0)):
        study.classes(run, "sst", right_on(1))
        study.results(run).change("sst", "metrics.json", train_seconds=seconds)
    seconds, parameters = figures.costs(study.compare("a", "b", "c"))
    assert "a 98.3 at 40; b 98.3 at 0; c 98.3 at 300." in alt(seconds.pictures[0])
    assert {"0", "50", "100", "200"} <= texts(seconds.pictures[0])
    assert "a 98.3 at 5.911e+05" in alt(parameters.pictures[0])
    assert figures.costs(study.compare("a")) == []


@pytest.mark.parametrize(
    "prices, expected",
    [
        ([40.0, 300.0], [50, 100, 200]),
        ([0.0, 30.0], [0, 30]),
        ([0.0], [0]),
        ([1_280.0, 5_600_000.0], [1_000, 10_000, 100_000, 1_000_000]),
        ([1.0, 1e12], [1, 1e3, 1e6, 1e9, 1e12]),
    ],
)
def test_ticks_are_few_and_round(prices: list[float], expected: list[float]) -> None:
    assert scales.ticks(prices) == pytest.approx(expected)


def test_places_keep_the_order_and_set_zero_apart() -> None:
    zero, one, ten = scales.places([0.0, 1.0, 10.0])
    assert zero < one == 0 < ten == 1
