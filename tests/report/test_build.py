import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from knotwork.errors import UserError
from knotwork.report import paper
from knotwork.report.build import build

from .comparison.study import Study, right_on
from .conftest import GENERATED, OPENING, TRUTH, Results, pictures

TASKS = ["sst", "cfimdb", "quora", "sonnet"]


class Page(HTMLParser):
    """The elements, the links and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text = ""
        self._hidden = False
        self.feed(html)
        self.text = re.sub(r"[ \n]+", " ", self.text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        self._hidden = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False
        if tag in ("p", "td", "th", "h1", "h2", "h3", "dd", "dt", "span", "li", "figcaption"):
            self.text += " "

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += data


def page(results: Results, tasks: list[str] = TASKS, examples: int = 6) -> Page:
    build(results.reports, results.timings, tasks, results.page, examples)
    return Page(results.page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a run with four tasks."""
    results = Results(tmp_path_factory.mktemp("run"))
    results.add(*TASKS)
    results.time("train-sst-1", 41.3)
    page(results)
    return results.page.read_text(encoding="utf-8")


def test_the_page_tells_the_run(source: str) -> None:
    text = Page(source).text
    for part in (
        "LoRA on SST, CFIMDB, Quora and the sonnets",
        "knotwork-base, 14.2\u202fM parameters",
        "10\u202f% of train",
        "LoRA reaches 48.3\u202f% on SST",
        "The paper’s",
        "Failure signatures",
        "as last run on this machine",
        "git checkout 0f3a7c5d2b9e4861a7c5d2b9e48610f3a7c5d2b9 dvc repro # sst, cfimdb, quora, sonnet",
        "chrF2|nrefs:1",
        "2026-01-02T03:04:05+00:00",
        "weight_decay",
    ):
        assert part in text
    assert "do not belong to one run" not in text


def test_the_page_needs_nothing_but_itself(source: str) -> None:
    html = Page(source)
    assert not {tag for tag, _ in html.elements} & {"script", "link", "img", "iframe", "object", "embed"}
    for _, attributes in html.elements:
        for name in ("src", "srcset", "data", "action", "poster", "xlink:href"):
            assert name not in attributes
        if "href" in attributes:
            assert attributes["href"].startswith("#") or attributes["href"] == paper.SOURCE
    assert re.findall(r"(?:https?:)?//[^\s\"'<)]+", source) == [paper.SOURCE]
    assert "@import" not in source
    assert re.findall(r"url\((?!#)", source) == []


def test_links_and_ids_fit(source: str) -> None:
    html = Page(source)
    ids = [attributes["id"] for _, attributes in html.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in html.elements:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids


def test_every_figure_has_alternative_text_and_a_numbered_caption(source: str) -> None:
    html = Page(source)
    drawings = [attributes for tag, attributes in html.elements if tag == "svg"]
    assert len(drawings) == 2 + 2 * 4 + 2 * 3
    for attributes in drawings:
        assert attributes["role"] == "img"
        assert len(attributes["aria-label"]) > 40
    figures = [tag for tag, _ in html.elements if tag == "figure"]
    assert len(figures) == len([tag for tag, _ in html.elements if tag == "figcaption"])
    for kind, count in (("Figure", 8), ("Table", len(figures) - 8)):
        assert re.findall(rf"{kind} (\d+)\.", html.text) == [str(n + 1) for n in range(count)]


def test_every_figure_names_its_data_and_they_are_written(results: Results) -> None:
    results.add("sst", adapter="kan")
    results.add("quora", adapter="graph")
    results.add("sonnet")
    page(results)
    source = results.page.read_text(encoding="utf-8")
    captions = re.findall(r'<figcaption><span class="label">Figure.*?</figcaption>', source, flags=re.S)
    named = [re.findall(r"<code>([a-z-]+\.csv)</code>", caption) for caption in captions]
    assert captions
    assert all(named)
    written = results.page.with_suffix("")
    assert {name for names in named for name in names} == {path.name for path in written.iterdir()}
    assert all(len(path.read_text(encoding="utf-8").splitlines()) > 1 for path in written.iterdir())


def test_a_pages_old_data_are_gone(results: Results) -> None:
    results.add("sst", adapter="kan")
    page(results)
    own = results.page.with_suffix("") / "spline-functions.csv"
    assert own.is_file()
    results.write("sst", "pictures.json", pictures("sst"))
    page(results)
    assert not own.exists()


def test_multitask_is_shown_member_by_member_beside_the_tasks_alone(tmp_path: Path) -> None:
    study = Study(tmp_path)
    for task in ("sst", "quora"):
        study.classes("run", task, right_on(1, 2))
    study.together("run", "sst", "quora")
    study.classes("run", "sst", right_on(*range(30)))
    results = study.results("run")
    html = page(results, ["sst", "multitask"])
    assert "LoRA on SST, SST (multitask) and Quora (multitask)" in html.text
    ids = [attributes["id"] for _, attributes in html.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    scores = (results.page.with_suffix("") / "scores.csv").read_text(encoding="utf-8")
    assert "multitask-sst,accuracy,lora,0.966667" in scores
    assert "\nsst,accuracy,lora,0.5," in scores


def test_formulas_have_extrapolation_and_surface_baselines(results: Results) -> None:
    results.add("sst")
    assert "Accuracy by difficulty" not in page(results, ["sst"]).text
    deeper = {
        f"extrapolation_accuracy{end}": value for end, value in {"": 0.612, "_low": 0.57, "_high": 0.65}.items()
    }
    surface = {"baseline_lengths": 0.51, "baseline_tokens": 0.49, "baseline_char_ngrams": 0.503}
    results.change("sst", "metrics.json", **deeper, **surface)
    text = page(results, ["sst"]).text
    assert "61.2\u202f%57.0–65.0" in text
    assert "Accuracy by difficulty. Level: a part of dev" in text
    assert "Extrapolation: accuracy on deeper formulas" in text
    assert "50.3\u202f%" in text


def test_sonnets_stand_beside_the_true_ones_without_the_given_lines(results: Results) -> None:
    results.add("sonnet")
    text = page(results, ["sonnet"], examples=1).text
    assert text.count(OPENING.splitlines()[0]) == 1
    assert text.count(GENERATED[0]) == 1
    assert text.count(TRUTH[-1]) == 1
    assert "Sonnet 50" not in text
    assert "not published" in page(results, ["sonnet"], examples=6).text


def test_sonnets_without_any_true_one_leave_no_room_for_them(results: Results) -> None:
    results.add("sonnet")
    example = {"id": "49", "opening": OPENING, "generated": "\n".join(GENERATED), "truth": None}
    results.write("sonnet", "pictures.json", {"examples": [example]})
    html = page(results, ["sonnet"])
    assert "without the true ones, which are not published with the results" in html.text
    assert ("article", {"class": "sonnet alone"}) in html.elements


def test_no_examples_are_asked_for_and_none_are_shown(results: Results) -> None:
    results.add("sonnet")
    assert OPENING.splitlines()[0] not in page(results, ["sonnet"], examples=0).text


def test_texts_are_escaped(results: Results) -> None:
    results.add("sst", "sonnet")
    evil = "<script>alert('x')</script>"
    example = {"id": evil, "opening": evil, "generated": f'{evil} "><img src=x>', "truth": evil}
    results.write("sonnet", "pictures.json", {"examples": [example]})
    results.change(
        "sst",
        "card.json",
        title=evil,
        command=evil,
        prompt={"template": evil, "sha256": "aa"},
        machine={evil: evil},
    )
    html = page(results)
    assert not [tag for tag, _ in html.elements if tag in ("script", "img")]
    assert html.text.count(evil) >= 8


def test_a_stale_mix_is_said_first(results: Results) -> None:
    results.add("sst")
    results.add("quora", adapter="full")
    text = page(results, ["sst", "quora"]).text
    assert "Several adapters on SST and Quora" in text
    assert "Adapter: LoRA on SST; full fine-tuning on Quora." in text
    assert text.index("do not belong to one run") < text.index("LoRA reaches")


def test_missing_tasks_are_named(results: Results) -> None:
    results.add("sst")
    assert "No results are here for CFIMDB, Quora and the sonnets." in page(results).text


def test_nothing_to_train_is_said(results: Results) -> None:
    results.add("sonnet", adapter="head")
    path = results.reports / "sonnet" / "history.csv"
    path.write_text(path.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    assert "Nothing was trained on the sonnets" in page(results, ["sonnet"]).text


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"dirty": True}, "uncommitted changes: this commit alone may give other numbers"),
        ({"commit": None, "dirty": None}, "made outside git"),
    ],
)
def test_doubts_about_the_code_are_said(results: Results, changes: dict, expected: str) -> None:
    results.add("sst")
    results.change("sst", "card.json", **changes)
    assert expected in page(results, ["sst"]).text


def test_times_of_other_tasks_and_seeds_are_left_out(results: Results) -> None:
    results.add("sst")
    assert "as last run" not in page(results, ["sst"]).text
    for stage, seconds in (
        ("train-sst-1", 10),
        ("train-sst-2", 1000),
        ("train-quora-1", 2000),
        ("identify", 10),
    ):
        results.time(stage, seconds)
    text = page(results, ["sst"]).text
    assert "all 20.0\u202fs" in text


def test_the_same_input_gives_the_same_bytes(results: Results) -> None:
    results.add("sst", "sonnet")
    page(results)
    first = results.page.read_bytes()
    page(results)
    assert results.page.read_bytes() == first


def test_without_any_results_there_is_no_page(results: Results) -> None:
    with pytest.raises(UserError, match="no results of sst and quora; run `dvc repro`"):
        page(results, ["sst", "quora"])
    assert not results.page.exists()


def test_a_folder_without_metrics_is_an_error_and_leaves_the_old_page(results: Results) -> None:
    results.add("sst", "quora")
    results.page.write_text("the old page", encoding="utf-8")
    (results.reports / "quora" / "metrics.json").unlink()
    with pytest.raises(UserError, match=r"quora/metrics\.json: not found; run `dvc repro`"):
        page(results)
    assert results.page.read_text(encoding="utf-8") == "the old page"


def test_the_report_needs_no_heavy_library() -> None:
    heavy = {"torch", "transformers", "peft", "spacy", "dvc", "sklearn"}
    code = f"import sys, knotwork.report.build; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_style_and_template_lie_beside_the_code() -> None:
    folder = Path(paper.__file__).parent
    assert (folder / "style.css").is_file()
    assert (folder / "page.html.jinja").is_file()
