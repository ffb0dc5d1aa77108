"""The page of a group of runs, by ``knotwork compare``; what is missing is said on it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

# Loaded before the runs are made, which takes hours in which the checkout may change.
import knotwork.report.comparison.illustrated  # noqa: F401
from knotwork.compare import SONNETS, Output, write_comparison
from knotwork.files import write_text
from knotwork.report.elements import Prose, Section
from knotwork.report.names import enumerate_names
from knotwork.report.read import read_results
from knotwork.report.svg import standalone
from knotwork.study.declaration import Cell
from knotwork.study.figures import Drawing, Result

FINISHED, OUTDATED, NOT_REACHED, FAILED = "finished", "outdated", "not reached", "failed"


def write_pages(
    about: str,
    states: Sequence[tuple[Cell, str]],
    draw: Sequence[Callable[[Sequence[Result]], Drawing | None]],
    kept: Path,
    sonnets: Path,
) -> None:
    """Write ``README.md``, ``page.html`` and ``figures/`` of a group.

    Args:
        about: what the group is to show.
        states: its cells, each with how it stands.
        draw: make the group's own figures of its results; None where there is nothing to show yet.
        kept: the folder of all groups.
        sonnets: where the true sonnets of dev may lie, since the kept scores hold only their hashes.

    Raises:
        UserError: kept results are broken.
    """
    folder = kept / states[0][0].group
    missing = _missing(states)
    runs = dict.fromkeys(folder / cell.run for cell, _ in states if (kept / cell.name / "card.json").is_file())
    if len(runs) < 2:
        text = "\n\n".join([f"# {about}", *missing, "With fewer than two runs there is nothing to compare."])
        write_text(folder / "README.md", text + "\n")
        return
    results = [
        (cell, result)
        for cell, _ in states
        if (kept / cell.name / "card.json").is_file()
        for result in read_results(kept / cell.name)
    ]
    drawn = [drawing for make in draw if (drawing := make(results)) is not None]
    more = [Section("study", about, [Prose(missing), *(drawing.figure for drawing in drawn)])]
    output = Output(folder / "README.md", folder / "page.html", folder / "figures")
    write_comparison(list(map(str, runs)), output, sonnets if sonnets.is_file() else SONNETS, more)
    lines = [line for drawing in drawn for line in _write_figure(folder, drawing)]
    if lines:
        readme = folder / "README.md"
        text = readme.read_text(encoding="utf-8")
        write_text(readme, "\n\n".join([text.rstrip("\n"), "## Figures", *lines]) + "\n")
    print(f"{folder}: README.md, page.html, figures/", flush=True)


def _write_figure(folder: Path, drawing: Drawing) -> list[str]:
    """Write a figure's pictures and data, and give the paragraphs of Markdown that show them."""
    data = f"figures/{drawing.name}.csv"
    write_text(folder / data, drawing.data.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    shown = []
    for name, picture in zip(drawing.pictures, drawing.figure.pictures, strict=True):
        write_text(folder / f"figures/{name}.svg", standalone(picture))
        shown.append(f"![{ElementTree.fromstring(picture).attrib['aria-label']}](figures/{name}.svg)")
    return [*shown, f"{drawing.figure.caption} Data: [{drawing.name}.csv]({data})."]


def _missing(states: Sequence[tuple[Cell, str]]) -> list[str]:
    """What is finished and what is not, a paragraph each."""
    done = sum(state == FINISHED for _, state in states)
    told = [f"{done} of {len(states)} declared runs are finished."]
    for state, words in (
        (NOT_REACHED, "Not reached"),
        (FAILED, "Failed"),
        (OUTDATED, "Made by settings that have changed since"),
    ):
        cells = [f"{cell.run} on {cell.task}" for cell, found in states if found == state]
        if cells:
            told.append(f"{words}: {enumerate_names(cells)}.")
    return told
