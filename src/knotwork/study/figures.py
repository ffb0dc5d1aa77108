"""Scores of a group's runs against what they cost, or against the size of what they were given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from knotwork.report import formats, labels, svg
from knotwork.report.comparison import scales
from knotwork.report.comparison.contrasts import Measure, measures
from knotwork.report.comparison.scales import NAMES
from knotwork.report.comparison.series import colour, cut, dash, depth, marker
from knotwork.report.elements import Figure
from knotwork.report.names import sentence_case
from knotwork.report.read import TaskResult
from knotwork.study.declaration import Axis, Cell

APART = 0.015  # of the axis, between points that would lie on each other
NARROW = 3  # largest value per smallest, below which an axis is linear


@dataclass(frozen=True)
class Quantity:
    """What scores are drawn against: its name with a unit, how to read it off a result, whether it is a cost."""

    title: str
    of: Callable[[TaskResult], float]
    is_cost: bool


QUANTITIES: dict[Axis, Quantity] = {
    "rows": Quantity("training rows", lambda result: result.card.rows["train"] or 0, False),
    "base": Quantity("parameters of the base", lambda result: result.card.base.parameters or 0, False),
    "parameters": Quantity(
        "trained parameters, heads not counted", lambda result: result.metrics.trainable_parameters, True
    ),
    "seconds": Quantity("training time of one seed, s", lambda result: result.metrics.train_seconds, True),
    "memory": Quantity("peak memory in training, MB", lambda result: result.metrics.peak_memory_mb, True),
}

Result = tuple[Cell, TaskResult]


@dataclass(frozen=True)
class Drawing:
    """A figure for a page, the names of its pictures' files without ending, and its data as ``<name>.csv``."""

    name: str
    figure: Figure
    pictures: list[str]
    data: pd.DataFrame


def against(axis: Axis, results: Sequence[Result]) -> Drawing:
    """A picture per task, a line per variant, and their data.

    Args:
        axis: what scores are drawn against.
        results: the runs; the first variant stands out.
    """
    frame = _frame_of(axis, results)
    pictures, told = [], []
    for task, points in frame.groupby("task", sort=False):
        result = next(result for _, result in results if result.task == task)
        measure = measures(result)[0]
        pictures.append(_picture(axis, sentence_case(result.name), measure, points))
        told.append(f"{sentence_case(result.name)}: {_told(QUANTITIES[axis], measure, points)}.")
    reading = f"Whiskers are {formats.CONFIDENCE} intervals."
    quantity = QUANTITIES[axis]
    if quantity.is_cost:
        reading += " Up is better, left is cheaper."
    figure = Figure(
        f"Score on dev against {quantity.title}. {reading} {' '.join(told)}", pictures, (f"{axis}.csv",)
    )
    names = [f"{axis}-{task}" for task in dict.fromkeys(frame["task"])]
    return Drawing(axis, figure, names, frame.rename(columns={"x": axis}))


def _frame_of(axis: Axis, results: Sequence[Result]) -> pd.DataFrame:
    """A row per run: score in the measure's shown unit, and what it is drawn against."""
    rows = []
    for cell, result in results:
        measure = measures(result)[0]
        names = (measure.key, f"{measure.key}_low", f"{measure.key}_high")
        score = (measure.scale * getattr(result.metrics, name) for name in names)
        seeds = len(result.card.seeds)
        rows.append((result.task, cell.run, cell.variant, seeds, QUANTITIES[axis].of(result), measure.key, *score))
    return pd.DataFrame(
        rows, columns=["task", "run", "variant", "seeds", axis, "measure", "score", "low", "high"]
    ).rename(columns={axis: "x"})


def _told(quantity: Quantity, measure: Measure, points: pd.DataFrame) -> str:
    """What the picture shows, in words and numbers."""
    best = points.loc[(measure.sign * points["score"]).idxmax()]
    if points["x"].nunique() < 2:
        return f"all at {points['x'].iloc[0]:,.0f}"
    if quantity.is_cost:
        cheapest = points.loc[points["x"].idxmin()]
        told = [
            f"{name} is {what} ({row.score:.1f} at {row.x:,.0f})"
            for name, what, row in ((best["run"], "best", best), (cheapest["run"], "cheapest", cheapest))
        ]
        return " and ".join(told) if best["run"] != cheapest["run"] else f"{told[0]}, and cheapest too"
    ends = []
    for variant, own in points.groupby("variant", sort=False):
        if len(own) > 1:
            first, last = own.loc[own["x"].idxmin()], own.loc[own["x"].idxmax()]
            ends.append(f"{variant} {formats.signed(last['score'] - first['score'])}")
    low, high = points["x"].min(), points["x"].max()
    if not ends:
        return f"from {low:,.0f} to {high:,.0f}, no variant at two of them yet{_behind(points)}"
    told = f"from {low:,.0f} to {high:,.0f} the scores change by {', '.join(ends)}{measure.unit}"
    return f"{told}{_behind(points)}"


def _behind(points: pd.DataFrame) -> str:
    """How far the others are from full fine-tuning, where it was run too."""
    gaps = []
    for x, there in points.groupby("x"):
        full = there.loc[there["variant"] == "full", "score"]
        others = there[there["variant"] != "full"]
        if len(full) == 1 and len(others):
            apart = [f"{row.variant} {formats.signed(row.score - full.iloc[0])}" for row in others.itertuples()]
            gaps.append(f"at {x:,.0f} {', '.join(apart)}")
    return f"; from full they are apart {'; '.join(gaps)}" if gaps else ""


def _picture(axis: Axis, name: str, measure: Measure, points: pd.DataFrame) -> Markup:
    quantity = QUANTITIES[axis]
    variants = list(dict.fromkeys(points["variant"]))
    prices = points["x"].tolist()
    linear = 0 < max(prices) < NARROW * min(prices)
    points = points.assign(place=prices if linear else scales.places(prices)).sort_values("x")
    width = points["place"].max() - points["place"].min() or 1.0
    percent = ", %" if measure.scale == 100 else ""
    with svg.drawing(250, right=NAMES) as (figure, axes):
        ends, described = [], []
        for position, variant in enumerate(variants):
            own = points[points["variant"] == variant]
            shift = 0.0 if quantity.is_cost else APART * width * (position - (len(variants) - 1) / 2)
            places = own["place"] + shift
            style = {"color": colour(position), "zorder": depth(position)}
            axes.vlines(places, own["low"], own["high"], linewidth=1.0, alpha=0.7, **style)
            line = {"marker": marker(position), "markersize": 5.5, "linewidth": 1.4}
            axes.plot(places, own["score"], dash(position), **line, **style)
            ends.append((cut(variant), places.iloc[-1], own["score"].iloc[-1], colour(position)))
            told = ", ".join(f"{row.score:.1f} at {row.x:,.0f}" for row in own.itertuples())
            described.append(f"{variant} {told}")
        scales.frame(axes, f"{name}: {measure.name}{percent}")
        axes.margins(x=0.1)
        if linear:
            axes.xaxis.set_major_locator(MaxNLocator(4))
        else:
            ticks = scales.ticks(prices)
            axes.set_xticks(scales.places(prices, ticks), [scales.short(tick) for tick in ticks])
        axes.set_xlabel(f"{quantity.title}{'' if linear else ' (logarithmic)'}")
        labels.in_margin(axes, ends, leaders=True, place=10)
        alt = f"{name}: {measure.name}{percent} against {quantity.title}. {'; '.join(described)}."
        return svg.to_svg(figure, f"study-{axis}-{points['task'].iloc[0]}", alt)
