"""The page of a group of runs, by ``knotwork compare``; what is missing is said on it."""

from collections.abc import Sequence
from pathlib import Path

from knotwork.compare import SONNETS, Output, write_comparison
from knotwork.files import write_text
from knotwork.report.elements import Prose, Section
from knotwork.report.names import enumerate_names
from knotwork.study.declaration import Cell, StudyGroup

FINISHED, OUTDATED, NOT_REACHED = "finished", "outdated", "not reached"


def write_pages(group: StudyGroup, states: Sequence[tuple[Cell, str]], kept: Path, sonnets: Path) -> None:
    """Write ``README.md``, ``page.html`` and ``figures/`` of a group.

    Args:
        group: the group.
        states: its cells, each with how it stands; anything but the three words is what went wrong.
        kept: the folder of all groups.
        sonnets: where the true sonnets of dev may lie, since the kept scores hold only their hashes.

    Raises:
        UserError: kept results are broken.
    """
    folder = kept / states[0][0].group
    missing = _missing(states)
    runs = dict.fromkeys(folder / cell.run for cell, _ in states if (kept / cell.name / "card.json").is_file())
    if len(runs) < 2:
        text = "\n\n".join([f"# {group.about}", *missing, "With fewer than two runs there is nothing to compare."])
        write_text(folder / "README.md", text + "\n")
        return
    more = [Section("study", group.about, [Prose(missing)])]
    output = Output(folder / "README.md", folder / "page.html", folder / "figures")
    write_comparison(list(map(str, runs)), output, sonnets if sonnets.is_file() else SONNETS, more)
    print(f"{folder}: README.md, page.html, figures/", flush=True)


def _missing(states: Sequence[tuple[Cell, str]]) -> list[str]:
    """What is finished and what is not, a paragraph each."""
    done = sum(state == FINISHED for _, state in states)
    told = [f"{done} of {len(states)} declared runs are finished."]
    for state, words in ((NOT_REACHED, "Not reached"), (OUTDATED, "Made by settings that have changed since")):
        cells = [f"{cell.run} on {cell.task}" for cell, found in states if found == state]
        if cells:
            told.append(f"{words}: {enumerate_names(cells)}.")
    for cell, found in states:
        if found not in (FINISHED, OUTDATED, NOT_REACHED):
            told.append(f"Failed: {cell.run} on {cell.task} ({found}).")
    return told
