"""Axes of a comparison's pictures: the frame, and a logarithmic axis with a place for zero."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from knotwork.report import formats, svg

NAMES = 92  # px right of a curve or a point, likewise
MOST_TICKS = 5


def places(prices: Sequence[float], values: Sequence[float] | None = None) -> list[float]:
    """Where values stand on a logarithmic axis for these prices; zero has a place of its own at its left."""
    positive = [math.log10(price) for price in prices if price > 0] or [0.0]
    apart = max(0.3, 0.25 * (max(positive) - min(positive)))
    return [math.log10(v) if v > 0 else min(positive) - apart for v in (prices if values is None else values)]


def ticks(prices: Sequence[float]) -> list[float]:
    """At most six round numbers around the prices, and zero if it is one of them."""
    positive = [price for price in prices if price > 0]
    if not positive:
        return [0.0]
    low, high = min(positive) / 1.3, max(positive) * 1.3
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10**decade for decade in decades for step in steps if low <= step * 10**decade <= high]
        if len(ticks) <= MOST_TICKS:
            break
    return [*([0.0] if min(prices) <= 0 else []), *ticks[:: -(-len(ticks) // MOST_TICKS) or 1]]


def short(value: float) -> str:
    """A tick's number: ``1 k``, ``5 M``."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{formats.SPACE}{unit}"
    return f"{value:g}"


def frame(axes: Axes, title: str) -> None:
    """Title and grid of a picture with names at its right."""
    axes.set_title(title, x=-40 / (svg.WIDTH - 40 - NAMES))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y", color=svg.RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.06, y=0.12)
