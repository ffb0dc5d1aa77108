"""The page in a real browser. Skipped where there is no Chromium."""

from pathlib import Path

import pytest

from knotwork.report.build import build

from .chromium import BINARY, Browser
from .comparison.study import Study, right_on
from .conftest import Results

pytestmark = pytest.mark.skipif(BINARY is None, reason="no chromium on the PATH: the page is not looked at")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = Results(tmp_path_factory.mktemp("run"))
    results.add("sst", seeds=(1, 2, 3))
    results.add("quora", adapter="kan")
    results.add("sonnet", adapter="graph")
    results.time("train-sst-1", 41.3)
    build(results.reports, results.timings, ["sst", "quora", "sonnet"], results.page)
    return results.page


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_is_quiet(browser: Browser, page: Path, width: int, scheme: str) -> None:
    browser.open(page, width, scheme)
    browser.check(page, width)


@pytest.mark.parametrize("width", [400, 1280])
def test_long_names_of_tasks_fit(browser: Browser, tmp_path: Path, width: int) -> None:
    study, task = Study(tmp_path), "symbolic_choice"
    study.classes("run", "quora", right_on(1), right_on(2))
    (tmp_path / "run/quora").rename(tmp_path / "run" / task)
    study.change_card("run", task, task=task, levels={"1": 20, "2": 20, "3": 20})
    study.deeper("run", task, right_on(1, examples=8), right_on(examples=8))
    levels = {f"accuracy_level_{level}": 0.9 for level in (1, 2, 3)}
    study.results("run").change(task, "metrics.json", **levels)
    study.together("run", task)
    results = study.results("run")
    build(results.reports, results.timings, ["multitask"], results.page)
    assert "Derivatives and values (multitask)" in results.page.read_text(encoding="utf-8")
    browser.open(results.page, width)
    browser.check(results.page, width)


@pytest.mark.parametrize("scheme, dark", [("light", False), ("dark", True)])
def test_the_page_and_its_pictures_follow_the_scheme(browser: Browser, page: Path, scheme: str, dark: bool) -> None:
    browser.open(page, 1280, scheme)
    brightness = "(e, p) => getComputedStyle(e)[p].match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0) / 3"
    assert (browser.evaluate(f"({brightness})(document.body, 'backgroundColor')") < 128) == dark
    label = "document.querySelector('svg.plot text')"
    assert (browser.evaluate(f"({brightness})({label}, 'fill')") > 128) == dark


@pytest.mark.parametrize("width, per_row", [(400, 1), (1280, 2)])
def test_pictures_stand_below_each_other_on_a_phone(browser: Browser, page: Path, width: int, per_row: int) -> None:
    browser.open(page, width)
    tops = browser.evaluate(
        "[...document.querySelector('.panels').children].map(e => Math.round(e.getBoundingClientRect().top))"
    )
    assert len(tops) / len(set(tops)) == per_row
    smallest = browser.evaluate(
        "Math.min(...[...document.querySelectorAll('svg.plot text')].map("
        "e => parseFloat(getComputedStyle(e).fontSize) * e.ownerSVGElement.getScreenCTM().a))"
    )
    assert smallest >= 9
