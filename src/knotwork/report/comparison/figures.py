"""The pictures of a comparison: scores and differences, training curves, cost against quality."""

import textwrap
from collections.abc import Callable

import pandas as pd
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from knotwork.report import data, forest, formats, labels, svg
from knotwork.report.comparison import scales
from knotwork.report.comparison.contrasts import (
    ACCURACIES,
    ACCURACY,
    CHRF,
    Comparison,
    Entry,
    Group,
    Measure,
    measures,
)
from knotwork.report.comparison.data import COSTS, DIFFERENCES
from knotwork.report.comparison.scales import NAMES
from knotwork.report.comparison.series import LETTERS, colour, cut, dash, depth, marker
from knotwork.report.comparison.summary import number, place
from knotwork.report.elements import Figure
from knotwork.report.figures import SONNET_MARKS
from knotwork.report.names import sentence_case
from knotwork.report.paper import PAPER

LABELS = 112  # px left of a dot-and-whisker picture, for the runs' names


def scores(comparison: Comparison, group: Group, measure: Measure) -> Figure:
    """A group's runs in one measure: scores, and beside them the paired differences from the first."""
    key = f"{group.task}-{number(comparison, group)}-{measure.key}"
    name = sentence_case(place(comparison, group))
    where = " on dev" if measure.split == "dev" else ""
    pictures = [_scores(key, f"{measure.title}{where}{_percent(measure)}", group, measure)]
    differences = _differences(key, group, measure)
    marks = "; dotted lines are marks to hold against it" if _marks(group, measure) else ""
    if differences is None:
        caption = f"{name}: {measure.name} with {formats.CONFIDENCE} intervals{marks}."
        return Figure(caption, pictures, (data.SCORES,))
    first = group.compared(measure)[0].run
    return Figure(
        f"{name}. First: {measure.name} with {formats.CONFIDENCE} intervals{marks}. Second: how far each run is "
        f"from {first} on the same examples; what a whisker across the line at zero shows may be chance, "
        "and a full dot is a difference that stands after Holm’s correction."
        + (" Less is better." if measure.sign < 0 else ""),
        [*pictures, differences],
        (data.SCORES, DIFFERENCES),
    )


def _scores(key: str, title: str, group: Group, measure: Measure) -> Markup:
    rows = []
    for entry in group.compared(measure):
        value, low, high = (measure.scale * part for part in entry.score(measure))
        rows.append(forest.Row(_label(entry.run), formats.decimal(value), value, low, high))
    within = (0, 100) if measure in ACCURACIES else None
    return forest.draw(
        f"{key}-scores", title, rows, "score", marks=_marks(group, measure), within=within, left=LABELS
    )


def _differences(key: str, group: Group, measure: Measure) -> Markup | None:
    rows = []
    for entry in group.compared(measure):
        contrast = group.contrast(entry.run, measure)
        if contrast is not None:
            value, low, high = (measure.scale * part for part in contrast.difference)
            text = formats.signed(value)
            hollow = contrast.verdict == "open"
            rows.append(forest.Row(_label(entry.run), text, value, low, high, hollow=hollow))
    if not rows:
        return None
    title = f"Difference from {cut(group.compared(measure)[0].run)}{measure.unit.replace(' ', ', ')}"
    return forest.draw(
        f"{key}-differences", title, rows, "significant", hollow="may be chance", left=LABELS, zero=True
    )


def _marks(group: Group, measure: Measure) -> list[tuple[forest.Mark, float]]:
    """Baselines and the paper's figure; a baseline only where all runs share its value.

    The untrained base's perplexity is so far off that the runs could not be told apart beside it.
    """
    keys = {
        ACCURACY: (
            (forest.LARGEST_CLASS, "largest_class"),
            (forest.BAG_OF_WORDS, "tfidf"),
            (forest.UNTRAINED, "zero_shot"),
        ),
        CHRF: tuple((mark, f"{kind}_chrf_generated") for mark, kind in SONNET_MARKS),
    }
    marks = []
    for mark, key in keys.get(measure, ()):
        values = [getattr(entry.result.metrics, f"baseline_{key}") for entry in group.entries]
        if None not in values and len(set(map(measure.value, values))) == 1:
            marks.append((mark, measure.scale * values[0]))
    published = PAPER.get(group.task)
    if published is not None and published.metric == measure.key:
        marks.append((forest.THE_PAPERS, measure.scale * published.value))
    return marks


def curves(comparison: Comparison, group: Group) -> Figure | None:
    """What the selection rows said after every epoch, a line per run; None if no run has a course."""
    courses = [(comparison.runs.index(entry.run), entry.run, entry.result.course) for entry in group.entries]
    courses = [course for course in courses if len(course[2])]
    if not courses:
        return None
    key = f"{group.task}-{number(comparison, group)}"
    name = place(comparison, group)
    metric = "accuracy" if group.first.result.is_classification else "perplexity"
    scale = 100 if metric == "accuracy" else 1
    where = "dev" if group.first.result.selected_on_dev else "the selection rows"
    pictures = [
        _curves(
            f"{key}-loss",
            "Selection loss, nats",
            [(position, run, course["selection_loss"]) for position, run, course in courses],
            name,
        ),
        _curves(
            f"{key}-metric",
            f"{sentence_case(metric)} on {where}{', %' if scale == 100 else ''}",
            [(position, run, scale * course["selection_metric"]) for position, run, course in courses],
            name,
        ),
    ]
    unequal = any(entry.result.history.groupby("seed").size().nunique() > 1 for entry in group.entries)
    seeds = "seeds, as far as all seeds of a run went" if unequal else "seeds"
    return Figure(
        f"{sentence_case(name)}: loss and {metric} on {where} at every epoch end, as means over {seeds}. The loss "
        f"is lowest with {_lowest(courses)}; a run whose lines still fall or rise at their end might gain from "
        "more epochs.",
        pictures,
        (data.CURVES,),
    )


def _lowest(courses: list[tuple[int, str, pd.DataFrame]]) -> str:
    """Which run's selection loss is lowest, and where."""
    _, run, course = min(courses, key=lambda each: each[2]["selection_loss"].min())
    return f"{run} after epoch {course['selection_loss'].idxmin():g} ({course['selection_loss'].min():.3g})"


def _curves(key: str, title: str, lines: list[tuple[int, str, pd.Series]], name: str) -> Markup:
    with svg.drawing(220, right=NAMES) as (figure, axes):
        ends, described = [], []
        for position, run, values in lines:
            style = {"color": colour(position), "linewidth": 1.6, "markersize": 4.5, "zorder": depth(position)}
            axes.plot(values.index, values, dash(position), marker=marker(position), **style)
            ends.append((cut(run), values.index[-1], values.iloc[-1], colour(position)))
            described.append(f"{run} from {values.iloc[0]:.3g} to {values.iloc[-1]:.3g}")
        scales.frame(axes, title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        labels.in_margin(axes, ends, leaders=True, place=10)
        return svg.to_svg(
            figure, f"curve-{key}", f"{sentence_case(name)}: {title} by epoch: {'; '.join(described)}."
        )


def costs(comparison: Comparison) -> list[Figure]:
    """Quality against training time and against trained parameters, a picture per task."""
    groups = [group for group in comparison.groups if len(group.entries) > 1]
    if not groups:
        return []
    better = (
        "Up is better, left is cheaper: a run with another one above and to its left is beaten at its own price. "
        "Whiskers are the scores’ intervals; the axis is logarithmic, with zero set apart."
    )
    return [
        Figure(
            f"Score against training time, a mean over seeds of one run. {better}",
            [_cost(comparison, group, "seconds", "training time, s", _seconds) for group in groups],
            (COSTS,),
        ),
        Figure(
            f"Score against the number of trained parameters, adapter and head together. {better}",
            [_cost(comparison, group, "parameters", "trained parameters", _parameters) for group in groups],
            (COSTS,),
        ),
    ]


def _seconds(entry: Entry) -> float:
    return entry.result.metrics.train_seconds


def _parameters(entry: Entry) -> float:
    return entry.result.metrics.trainable_parameters + entry.result.metrics.head_parameters


def _cost(comparison: Comparison, group: Group, key: str, what: str, cost: Callable[[Entry], float]) -> Markup:
    measure = measures(group.first.result)[0]
    name = sentence_case(place(comparison, group))
    prices = [cost(entry) for entry in group.entries]
    with svg.drawing(230, right=NAMES) as (figure, axes):
        points, described = [], []
        for entry, price, x in zip(group.entries, prices, scales.places(prices), strict=True):
            position = comparison.runs.index(entry.run)
            value, low, high = (measure.scale * part for part in entry.score(measure))
            style = {"color": colour(position), "zorder": depth(position)}
            axes.plot([x, x], [low, high], linewidth=1.2, **style)
            axes.plot(x, value, marker(position), markersize=6.5, **style)
            points.append((cut(entry.run), x, value, colour(position)))
            described.append(f"{entry.run} {value:.1f} at {price:,.4g}")
        scales.frame(axes, f"{name}: {measure.name}{_percent(measure)}")
        ticks = scales.ticks(prices)
        axes.set_xticks(scales.places(prices, ticks), [scales.short(tick) for tick in ticks])
        axes.margins(x=0.1)
        axes.set_xlabel(what)
        labels.in_margin(axes, points, leaders=True, place=10)
        alt = f"{name}: {measure.name} against {what}. {'; '.join(described)}."
        return svg.to_svg(figure, f"cost-{group.task}-{number(comparison, group)}-{key}", alt)


def _percent(measure: Measure) -> str:
    return ", %" if measure.scale == 100 else ""


def _label(run: str) -> str:
    return textwrap.fill(run, LETTERS, max_lines=2, placeholder="…")
