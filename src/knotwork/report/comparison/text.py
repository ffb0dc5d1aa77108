"""A page as text: for the terminal, and as Markdown. Figures and code are left out."""

from collections.abc import Iterator
from io import StringIO

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from knotwork.report.elements import Cell, Page, Prose, Table

WIDE = 200  # columns where the output is no terminal


def to_terminal(page: Page) -> None:
    """Print a page on standard output, as wide as the terminal allows."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDE)
    console.print(Text(page.title, style="bold"))
    for name, value in page.facts:
        console.print(Text(f"{name}: {value}", style="dim"))
    console.print()
    console.print(Text(" ".join(page.summary)))
    console.print()
    for paragraph in _notice(page):
        console.print(Text(paragraph, style="yellow"))
    for section in page.sections:
        console.print(Text(section.title, style="bold"))
        for block in section.blocks:
            if isinstance(block, Table):
                console.print(_rich(block, box.SIMPLE_HEAD, below="\n"))
                console.print(Padding(Text(block.caption, style="dim"), (0, 0, 1, 1)))
            elif isinstance(block, Prose):
                console.print(Padding(Text(" ".join(block.paragraphs), style="dim"), (0, 0, 1, 1)))
    for remark in [*page.points, *page.remarks]:
        console.print(Text(f"- {remark}"))


def to_markdown(page: Page) -> str:
    """A page as Markdown."""
    parts = [f"# {_escape(page.title)}", " ".join(page.summary), *_notice(page)]
    parts.append("\n".join(f"- {name}: {_escape(value)}" for name, value in page.facts))
    for section in page.sections:
        parts.append(f"## {_escape(section.title)}")
        for block in section.blocks:
            if isinstance(block, Table):
                parts += [_markdown_table(block), _escape(block.caption)]
            elif isinstance(block, Prose):
                parts += [_escape(paragraph) for paragraph in block.paragraphs]
    parts.append("\n".join(f"- {_escape(remark)}" for remark in [*page.points, *page.remarks]))
    return "\n\n".join(parts) + "\n"


def _notice(page: Page) -> Iterator[str]:
    if page.notice:
        yield f"{page.notice.title}. {' '.join(page.notice.points)} {page.notice.advice}"


def _rich(table: Table, style: box.Box, below: str) -> RichTable:
    """A table of rich; ``below`` stands between a cell's value and its second line."""
    shown = RichTable(box=style, show_edge=style is box.MARKDOWN)
    for column, name in enumerate(table.head):
        words = column == 0 or column in table.texts
        shown.add_column(Text(name), justify="left" if words else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*(_cell(cell, below) for cell in row))
    return shown


def _cell(cell: Cell, below: str) -> Text:
    if not cell.below:
        return Text(cell.text)
    return Text.assemble(cell.text, below, (cell.below if below == "\n" else f"({cell.below})", "dim"))


def _markdown_table(table: Table) -> str:
    escaped = Table(
        table.caption,
        tuple(map(_escape, table.head)),
        [tuple(Cell(_escape(cell.text), _escape(cell.below)) for cell in row) for row in table.rows],
        table.texts,
    )
    # Wide enough for any row: in Markdown a row is one line.
    console = Console(file=StringIO(), width=10_000, no_color=True, highlight=False)
    with console.capture() as captured:
        console.print(_rich(escaped, box.MARKDOWN, below=" "))
    return "\n".join(line.strip() for line in captured.get().splitlines() if line.strip())


def _escape(text: str) -> str:
    """Text that Markdown would read as markup, as it is."""
    for mark in "\\`*_|<>":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("\n", " ")
