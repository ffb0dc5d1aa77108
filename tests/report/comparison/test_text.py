import pytest

from knotwork.report.comparison.page import comparison_page
from knotwork.report.comparison.text import to_markdown, to_terminal
from knotwork.report.elements import Cell, Notice, Page, Prose, Section, Table

from .study import Study


def page(*cells: Cell) -> Page:
    table = Table("What it shows.", ("Run", "Score"), [cells])
    notice = Notice("Look out", ["One thing."], "Do this.")
    return Page("a against b", [("Base", "x")], ["All is well."], ["A point."], ["A remark."], notice, [
        Section("results", "Results", [table, Prose(["How to read it."])])
    ])  # fmt: skip


def test_a_page_as_markdown() -> None:
    assert to_markdown(page(Cell("a", "LoRA"), Cell("1.0"))).split("\n\n") == [
        "# a against b",
        "All is well.",
        "Look out. One thing. Do this.",
        "- Base: x",
        "## Results",
        "| Run      | Score |\n|----------|-------|\n| a (LoRA) |   1.0 |",
        "What it shows.",
        "How to read it.",
        "- A point.\n- A remark.\n",
    ]


def test_markup_in_names_is_text() -> None:
    text = to_markdown(page(Cell("a|b_c*d"), Cell("<script>")))
    assert r"| a\|b\_c\*d |" in text
    assert r"\<script\>" in text


def test_long_rows_stay_on_one_line() -> None:
    text = to_markdown(page(Cell("run " * 60), Cell("1")))
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 3


def test_a_page_on_the_terminal(capsys: pytest.CaptureFixture) -> None:
    to_terminal(page(Cell("[bold]a[/bold]", "LoRA"), Cell("1.0")))
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for line in ("a against b", "Base: x", "All is well.", "Look out. One thing. Do this.", "- A remark."):
        assert line in lines
    assert any(line.startswith("[bold]a[/bold]") and line.endswith("1.0") for line in lines)
    assert "\x1b" not in "".join(lines)


def test_the_tables_of_a_comparison_are_in_both(three: Study, capsys: pytest.CaptureFixture) -> None:
    brief = comparison_page(three.compare("lora", "full", "head"), {})
    to_terminal(brief)
    for text in (capsys.readouterr().out, to_markdown(brief)):
        assert "lora against full and head" in text
        assert "24 : 1" in text
        assert "The paper’s" in text
        assert "Perplexity" in text
