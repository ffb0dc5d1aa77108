"""The comparison in a real browser. Skipped where there is no Chromium."""

from pathlib import Path

import pytest

from knotwork.report.comparison.illustrated import illustrated_page
from knotwork.report.page import render

from ..chromium import BINARY, Browser
from .study import Study

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
