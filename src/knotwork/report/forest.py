"""Dot-and-whisker pictures: values with their intervals, one below the other, and marks to hold against them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from knotwork.report import svg
from knotwork.report.names import sentence_case

Mark = tuple[str, dict[str, Any]]
"""A mark's name and how it is drawn: apart by shape and fill, not by colour alone."""

LARGEST_CLASS: Mark = ("largest class", {"marker": "|", "color": svg.QUIET, "markersize": 8, "mew": 1.6})
BAG_OF_WORDS: Mark = (
    "bag of words, same rows",
    {"marker": "s", "color": svg.INK, "markerfacecolor": svg.PAPER},
)
BAG_ALL_ROWS: Mark = ("bag of words, all rows", {"marker": "s", "color": svg.QUIET})
RANDOM_SONNET: Mark = (
    "random training sonnet",
    {"marker": "s", "color": svg.INK, "markerfacecolor": svg.PAPER},
)
COPIED_LINES: Mark = ("copied lines", {"marker": "v", "color": svg.QUIET})
UNTRAINED: Mark = ("untrained base", {"marker": "^", "color": svg.INK, "markerfacecolor": svg.PAPER})
THE_PAPERS: Mark = ("the paper’s", {"marker": "D", "color": svg.VERMILION, "markerfacecolor": svg.PAPER})

LANE = 0.27  # how far below its interval a row's marks stand, in rows
ROW_HEIGHT, TIGHT_ROW_HEIGHT = 50, 34  # px, with marks and without
RIGHT = 44  # px


@dataclass(frozen=True)
class Row:
    """A value with its interval, and the marks that belong to it alone; a hollow dot is one that is not shown."""

    label: str
    text: str
    value: float
    low: float
    high: float
    marks: Sequence[tuple[Mark, float]] = ()
    hollow: bool = False


def draw(
    name: str,
    title: str,
    rows: Sequence[Row],
    full: str,
    hollow: str | None = None,
    marks: Sequence[tuple[Mark, float]] = (),
    limits: tuple[float, float] | None = None,
    within: tuple[float, float] | None = None,
    left: int = 74,
    zero: bool = False,
) -> Markup:
    """Draw values with their intervals.

    Args:
        name: keeps the picture's ids apart from others'.
        title: stands above it.
        rows: from top to bottom.
        full: what a dot is.
        hollow: what a hollow dot is, where there are any.
        marks: lines through all rows, with a mark at their foot.
        limits: of the horizontal axis; by default what is drawn decides.
        within: values that the horizontal axis never leaves.
        left: px for the labels.
        zero: draw a line at zero.
    """
    # One entry per mark, in the order in which they first appear.
    legend = {mark[0]: mark for mark, _ in [*(pair for row in rows for pair in row.marks), *marks]}
    handles = [_handle(full, svg.BLUE)]
    if hollow is not None:
        handles.append(_handle(hollow, svg.PAPER))
    handles += [
        Line2D([], [], linestyle="", label=label, **{"markersize": 5.5} | style) for label, style in legend.values()
    ]
    legend_height = 18 * ((len(handles) + 1) // 2)
    row_height = ROW_HEIGHT if any(row.marks for row in rows) else TIGHT_ROW_HEIGHT
    height = 30 + row_height * len(rows) + 32 + legend_height
    with svg.drawing(height, left=left, right=RIGHT, bottom=32 + legend_height) as (figure, axes):
        if zero:
            axes.axvline(0, color=svg.INK, linewidth=1)
        for (_, style), value in marks:
            foot = len(rows) - 0.4
            axes.axvline(value, color=style["color"], linewidth=1, linestyle=(0, (2, 3)), zorder=1)
            axes.plot(value, foot, linestyle="", clip_on=False, **{"markersize": 5.5} | style)
        for position, row in enumerate(rows):
            _draw_row(axes, position, row)
        axes.set_title(title, x=-left / (svg.WIDTH - left - RIGHT))
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.tick_params(axis="y", length=0, pad=10, labelcolor=svg.INK)
        axes.set_ylim(len(rows) - 0.4, -0.5)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=svg.RULE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.tick_params(axis="x", length=0)
        if limits:
            axes.set_xlim(limits)
        elif axes.dataLim.width == 0:  # nothing differs: ticks of 0.025 would run into each other
            axes.set_xlim(axes.dataLim.x0 - 1, axes.dataLim.x0 + 1)
        else:
            axes.margins(x=0.12)
        if within:
            axes.set_xlim(np.clip(axes.get_xlim(), *within))
        _legend(figure, handles)
        return svg.to_svg(figure, f"forest-{name}", _describe(title, rows, marks))


def _handle(label: str, fill: str) -> Line2D:
    style = {"color": svg.BLUE, "marker": "o", "linewidth": 2, "markersize": 8, "markerfacecolor": fill}
    return Line2D([], [], label=sentence_case(label), **style)


def _draw_row(axes: Axes, position: int, row: Row) -> None:
    fill = svg.PAPER if row.hollow else svg.BLUE
    axes.plot([row.low, row.high], [position, position], color=svg.BLUE, linewidth=2)
    axes.plot(row.value, position, "o", color=svg.BLUE, markersize=8, markerfacecolor=fill)
    for (_, style), value in row.marks:
        axes.plot(value, position + LANE, linestyle="", clip_on=False, **{"markersize": 5.5} | style)
    axes.annotate(
        row.text,
        (1, position),
        (10, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        annotation_clip=False,
    )


def _legend(figure: Figure, handles: list[Line2D]) -> None:
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 0),
        ncols=2,
        frameon=False,
        fontsize=10,
        borderpad=0,
        labelcolor=svg.QUIET,
        columnspacing=1.5,
        handlelength=1.6,
    )


def _describe(title: str, rows: Sequence[Row], marks: Sequence[tuple[Mark, float]]) -> str:
    sentences = [f"{title}."]
    for row in rows:
        label = sentence_case(row.label.replace("\n", " "))
        own = f"; {_named(row.marks)}" if row.marks else ""
        sentences.append(f"{label}: {row.text}, interval {row.low:.1f} to {row.high:.1f}{own}.")
    return " ".join([*sentences, *([f"Lines: {_named(marks)}."] if marks else [])])


def _named(marks: Sequence[tuple[Mark, float]]) -> str:
    return ", ".join(f"{label} {value:.1f}" for (label, _), value in marks)
