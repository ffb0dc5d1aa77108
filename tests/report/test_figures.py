from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from knotwork.report import figures, formats, svg
from knotwork.report.elements import Figure
from knotwork.report.read import TaskResult, read_task

from .conftest import Results, history


def read(results: Results, *tasks: str) -> list[TaskResult]:
    return [read_task(results.reports / task) for task in tasks]


def texts(picture: Markup) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(picture).iter("text")]


def alt(picture: Markup) -> str:
    return ElementTree.fromstring(picture).attrib["aria-label"]


@pytest.fixture(scope="module")
def all_figures(tmp_path_factory: pytest.TempPathFactory) -> list[Figure]:
    results = Results(tmp_path_factory.mktemp("run"))
    results.add("sst", "cfimdb", "quora", "sonnet", seeds=(1, 2))
    found = read(results, "sst", "cfimdb", "quora", "sonnet")
    return [
        figures.results(found[:3], found[3:], "LoRA"),
        *(figures.curves(result) for result in found),
        *(figures.predictions(result) for result in found[:3]),
    ]


def test_every_figure_has_a_caption_and_every_picture_alternative_text(all_figures: list[Figure]) -> None:
    for figure in all_figures:
        assert len(figure.caption) > 60
        for picture in figure.pictures:
            assert len(alt(picture)) > 40


def test_pictures_take_colours_and_font_from_the_page(all_figures: list[Figure]) -> None:
    for figure in all_figures:
        for picture in figure.pictures:
            assert "var(--ink)" in picture
            assert "#000000" not in picture
            assert "font-family" not in picture
            assert "http" not in picture
            for colour in svg.VARIABLES:
                assert colour not in picture


def test_ids_are_unique_over_all_pictures(all_figures: list[Figure]) -> None:
    found = [
        element.attrib["id"]
        for figure in all_figures
        for picture in figure.pictures
        for element in ElementTree.fromstring(picture).iter()
        if "id" in element.attrib
    ]
    assert found
    assert len(found) == len(set(found))


def test_the_forest_says_its_numbers(four_tasks: Results) -> None:
    accuracy, chrf = figures.results(*split(read(four_tasks, "sst", "quora", "sonnet")), "LoRA").pictures
    assert "SST: 48.3, interval 41.5 to 55.0; largest class 26.5, bag of words, same rows 40.5" in alt(accuracy)
    assert "the paper’s 55.2" in alt(accuracy)
    assert "Whole sonnet: 41.9, interval 40.6 to 43.1; random training sonnet 41.5, the paper’s 42.1" in alt(chrf)
    assert {"48.3", "SST", "bag of words, all rows"} <= set(texts(accuracy))


def split(results: list[TaskResult]) -> tuple[list[TaskResult], list[TaskResult]]:
    return [r for r in results if r.is_classification], [r for r in results if not r.is_classification]


def test_only_the_kinds_that_are_there_are_drawn(four_tasks: Results) -> None:
    assert len(figures.results(read(four_tasks, "sst"), [], "LoRA").pictures) == 1
    assert len(figures.results([], read(four_tasks, "sonnet"), "LoRA").pictures) == 1


def test_curves_have_a_line_per_seed_and_a_ring(results: Results) -> None:
    results.add("sst", seeds=(1, 2))
    figure = figures.curves(read(results, "sst")[0])
    losses, metric = figure.pictures
    assert "train seed 1 from" in alt(losses)
    assert "selection seed 2 from" in alt(losses)
    assert alt(metric).startswith("SST: accuracy on the selection rows by epoch: seed 1 from 34 to 49")
    assert "a line per seed" in figure.caption
    assert "no sign of overfitting" in figure.caption


def test_curves_say_when_the_selection_loss_turns(results: Results) -> None:
    results.add("sst")
    path = results.reports / "sst" / "history.csv"
    lines = ["seed,epoch,step,train_loss,selection_loss,selection_metric"]
    lines += ["1,1,10,2.0,1.9,0.3", "1,2,20,1.5,1.7,0.4", "1,3,30,1.0,1.8,0.4"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    caption = figures.curves(read(results, "sst")[0]).caption
    assert f"falls by 50{formats.SPACE}%" in caption
    assert "lowest at epoch 2 and higher after it" in caption


def test_curves_say_what_all_seeds_did_where_one_stopped_before_the_others(results: Results) -> None:
    """The second seed alone goes on and gets better: no course of the run."""
    results.add("sst", seeds=(1, 2))
    path = results.reports / "sst" / "history.csv"
    lines = ["seed,epoch,step,train_loss,selection_loss,selection_metric"]
    lines += ["1,1,10,2.0,1.7,0.4", "1,2,20,1.0,1.9,0.3"]
    lines += ["2,1,10,2.0,1.7,0.4", "2,2,20,1.0,1.8,0.4", "2,3,30,0.2,1.1,0.6"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    caption = figures.curves(read(results, "sst")[0]).caption
    assert f"falls by 50{formats.SPACE}%" in caption
    assert "lowest at epoch 1 and higher after it, a sign of overfitting" in caption


def test_curves_of_one_epoch_and_of_gaps_are_drawn(results: Results) -> None:
    results.add("sonnet")
    path = results.reports / "sonnet" / "history.csv"
    text = "seed,epoch,step,train_loss,selection_loss,selection_metric\n1,1,10,,1.9,40.0\n"
    path.write_text(text, encoding="utf-8")
    figure = figures.curves(read(results, "sonnet")[0])
    assert "selection seed 1 from 1.9 to 1.9" in alt(figure.pictures[0])
    assert "one epoch" in figure.caption


def test_curves_name_dev_where_it_selects(four_tasks: Results) -> None:
    four_tasks.change("sst", "card.json", selection="dev")
    assert "accuracy on dev" in alt(figures.curves(read(four_tasks, "sst")[0]).pictures[1])


def test_the_confusion_matrix_shows_counts_and_names_the_commonest_mistake(four_tasks: Results) -> None:
    pictures = {"classes": ["no", "yes"], "confusion": [[40, 7], [21, 30]], "reliability": []}
    four_tasks.write("quora", "pictures.json", pictures)
    figure = figures.predictions(read(four_tasks, "quora")[0])
    assert {"40", "7", "21", "30", "no", "yes"} <= set(texts(figure.pictures[0]))
    assert "The commonest mistake is “no” for “yes” (21 of 51)." in figure.caption
    assert f"yes: 59{formats.SPACE}% right of 51" in alt(figure.pictures[0])


def test_a_class_without_examples_and_no_mistakes_are_drawn(four_tasks: Results) -> None:
    pictures = {"classes": ["no", "yes"], "confusion": [[40, 0], [0, 0]], "reliability": []}
    four_tasks.write("quora", "pictures.json", pictures)
    assert "There was no mistake." in figures.predictions(read(four_tasks, "quora")[0]).caption


@pytest.mark.parametrize(
    "accuracy, expected",
    [
        (0.7, "20.0 points above"),
        (0.95, "5.0 points below"),
        (0.9, "On average the confidence is right"),
    ],
)
def test_the_caption_says_how_sure_the_model_is(four_tasks: Results, accuracy: float, expected: str) -> None:
    bins = [
        {"low": 0.5, "high": 1.0, "confidence": 0.9, "accuracy": accuracy, "count": 9},
        {"low": 0.0, "high": 0.5, "confidence": None, "accuracy": None, "count": 0},
    ]
    pictures = {"classes": ["no", "yes"], "confusion": [[4, 1], [1, 3]], "reliability": bins}
    four_tasks.write("quora", "pictures.json", pictures)
    assert expected in figures.predictions(read(four_tasks, "quora")[0]).caption


def test_class_names_are_text_and_never_markup_or_formulas(four_tasks: Results) -> None:
    classes = ["<script>", "$5 & $x_1"]
    pictures = {"classes": classes, "confusion": [[4, 1], [1, 3]], "reliability": []}
    four_tasks.write("quora", "pictures.json", pictures)
    picture = figures.predictions(read(four_tasks, "quora")[0]).pictures[0]
    assert set(classes) <= set(texts(picture))
    assert "<script" not in picture


def test_the_fixture_history_is_what_is_drawn(four_tasks: Results) -> None:
    last = history("sst", [1])[-1]["train_loss"]
    losses = figures.curves(read(four_tasks, "sst")[0]).pictures[0]
    assert f"to {last:.3g}" in alt(losses)
