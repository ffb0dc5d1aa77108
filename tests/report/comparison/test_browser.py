"""The comparison in a real browser. Skipped where there is no Chromium."""

from pathlib import Path

import pytest

from knotwork.report.comparison.illustrated import illustrated_page
from knotwork.report.page import render

from ..chromium import BINARY, Browser
from .study import Study, right_on

pytestmark = pytest.mark.skipif(BINARY is None, reason="no chromium on the PATH: the page is not looked at")


@pytest.fixture(scope="module")
def page(three: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "comparison.html"
    text = render(
        illustrated_page(three.compare("lora", "full", "head"), {}, "knotwork compare lora full head", "data", {})
    )
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_comparison_fits_and_is_quiet(browser: Browser, page: Path, width: int, scheme: str) -> None:
    browser.open(page, width, scheme)
    browser.check(page, width)


@pytest.mark.parametrize("width", [400, 1280])
def test_labels_can_be_read_and_stay_within_the_page(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width)
    labels = "[...document.querySelectorAll('svg.plot text')]"
    size = "parseFloat(getComputedStyle(e).fontSize) * e.ownerSVGElement.getScreenCTM().a"
    assert browser.evaluate(f"Math.min(...{labels}.map(e => {size}))") >= 9
    assert browser.evaluate(f"Math.max(...{labels}.map(e => e.getBoundingClientRect().right))") <= width


def test_a_table_wider_than_the_column_is_not_cut(browser: Browser, study: Study, tmp_path: Path) -> None:
    for run in ("graph-random-tree", "graph-sequence"):
        study.classes(run, "sst", *(right_on(*range(seed, 30)) for seed in range(3)))
        study.results(run).change("sst", "metrics.json", train_seconds=704.0, trainable_parameters=13_989_888)
    page = tmp_path / "wide.html"
    compared = study.compare("graph-random-tree", "graph-sequence")
    page.write_text(render(illustrated_page(compared, {}, "knotwork compare", "data", {})), encoding="utf-8")
    browser.open(page, 1280)
    browser.check(page, 1280)
