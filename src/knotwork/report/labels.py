"""Labels in the margin of a picture, at the height of what they name and apart from each other."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from knotwork.report import svg

LINE = 13.5  # px from one label to the next
LEADER = {
    "arrowstyle": "-",
    "color": svg.QUIET,
    "linewidth": 0.6,
    "shrinkA": 0,
    "shrinkB": 5,
    "relpos": (0, 0.5),  # from the middle of the label's left side
}


def in_margin(
    axes: Axes, labels: Sequence[tuple[str, float, float, str]], leaders: bool = False, place: float = 4
) -> None:
    """Write labels to the right of the axes; call it when the axes' limits and scales are final.

    Args:
        axes: the axes.
        labels: text, the point that it names in data coordinates, colour.
        leaders: draw a thin line from each label to its point.
        place: px from the axes.
    """
    if not labels:
        return
    axes.get_xlim(), axes.get_ylim()  # matplotlib settles limits when asked for them
    points = axes.transData.transform([(x, y) for _, x, y, _ in labels])
    heights = axes.transAxes.inverted().transform(points)[:, 1]
    tall = axes.get_position().height * axes.figure.get_figheight() * 72
    for (text, x, y, colour), height in zip(labels, spread(heights, LINE / tall), strict=True):
        axes.annotate(
            text,
            (x, y) if leaders else (1, height),
            (1 + place / (axes.get_position().width * svg.WIDTH), height),
            xycoords="data" if leaders else "axes fraction",
            textcoords="axes fraction",
            va="center",
            color=colour,
            arrowprops=LEADER if leaders else None,
            annotation_clip=False,
        )


def spread(heights: Sequence[float], gap: float, low: float = 0.0, high: float = 1.0) -> list[float]:
    """Heights as near as easily done to the given ones, at least ``gap`` apart and below ``high``.

    With more labels than fit, the lowest go below ``low``.
    """
    order = np.argsort(heights, kind="stable")
    placed = np.clip(np.asarray(heights, dtype=float)[order], low, high)
    for index in range(1, len(placed)):
        placed[index] = max(placed[index], placed[index - 1] + gap)
    if len(placed) and placed[-1] > high:
        placed[-1] = high
        for index in range(len(placed) - 2, -1, -1):
            placed[index] = min(placed[index], placed[index + 1] - gap)
    result = np.empty_like(placed)
    result[order] = placed
    return result.tolist()
