"""The report's pictures. Each function returns a figure: drawings, caption and alternative texts."""

import textwrap

import pandas as pd
from markupsafe import Markup
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from knotwork.report import data, forest, formats, labels, svg
from knotwork.report.elements import Figure
from knotwork.report.names import sentence_case
from knotwork.report.paper import PAPER
from knotwork.report.read import TaskResult
from knotwork.report.records import ClassificationPictures, ReliabilityBin

SONNET_MARKS = (
    (forest.RANDOM_SONNET, "random_sonnet"),
    (forest.COPIED_LINES, "copied_lines"),
    (forest.UNTRAINED, "zero_shot"),
)


def results(classification: list[TaskResult], sonnets: list[TaskResult], adapter: str) -> Figure:
    """Scores with intervals beside baselines and the paper's figures, one picture per kind of score."""
    pictures = []
    if classification:
        rows = [_accuracy_row(result) for result in classification]
        pictures.append(forest.draw("accuracy", "Accuracy on dev, %", rows, adapter, limits=(0, 100)))
    for result in sonnets:
        pictures.append(forest.draw(f"chrf-{result.key}", "chrF on dev", _chrf_rows(result), adapter))
    return Figure(
        f"Scores with their {formats.CONFIDENCE} intervals, and below each the marks to hold against it. A "
        "mark within the span of the interval is not told apart from the score, one to its left is beaten, "
        "one to its right is not reached.",
        pictures,
        (data.SCORES,),
    )


def _accuracy_row(result: TaskResult) -> forest.Row:
    metrics = result.metrics
    references = [
        (forest.LARGEST_CLASS, 100 * metrics.baseline_largest_class),
        (forest.BAG_OF_WORDS, 100 * metrics.baseline_tfidf),
    ]
    if metrics.baseline_tfidf_all_rows != metrics.baseline_tfidf:
        references.append((forest.BAG_ALL_ROWS, 100 * metrics.baseline_tfidf_all_rows))
    if metrics.baseline_zero_shot is not None:
        references.append((forest.UNTRAINED, 100 * metrics.baseline_zero_shot))
    if result.task in PAPER:
        references.append((forest.THE_PAPERS, 100 * PAPER[result.task].value))
    value, low, high = (100 * v for v in (metrics.accuracy, metrics.accuracy_low, metrics.accuracy_high))
    return forest.Row(textwrap.fill(result.name, 11), formats.decimal(value), value, low, high, references)


def _chrf_rows(result: TaskResult) -> list[forest.Row]:
    rows = []
    for key, label in (("chrf_generated", "generated\nlines"), ("chrf_whole", "whole\nsonnet")):
        score, low, high = (getattr(result.metrics, name) for name in (key, f"{key}_low", f"{key}_high"))
        baselines = ((mark, getattr(result.metrics, f"baseline_{kind}_{key}")) for mark, kind in SONNET_MARKS)
        references = [(mark, value) for mark, value in baselines if value is not None]
        if result.task in PAPER and PAPER[result.task].metric == key:
            references.append((forest.THE_PAPERS, PAPER[result.task].value))
        rows.append(forest.Row(label, formats.decimal(score), score, low, high, references))
    return rows


def curves(result: TaskResult) -> Figure:
    """Losses and the selection metric at every epoch end, a line per seed."""
    where = "dev" if result.selected_on_dev else "the selection rows"
    metric, scale = ("Accuracy", 100) if result.is_classification else ("Perplexity", 1)
    losses = _curve_picture(
        f"{result.key}-loss",
        "Loss, nats",
        result.history,
        {"train_loss": ("train", svg.BLUE, "-"), "selection_loss": ("selection", svg.VERMILION, "--")},
        f"{result.name}: loss by epoch",
    )
    choice = _curve_picture(
        f"{result.key}-metric",
        f"{metric} on {where}" + (", %" if result.is_classification else ""),
        result.history.assign(selection_metric=scale * result.history["selection_metric"]),
        {"selection_metric": ("", svg.VERMILION, "--")},
        f"{result.name}: {metric.lower()} on {where} by epoch",
        chosen={seed.seed: seed.best_epoch for seed in result.card.per_seed},
    )
    seeds = ", a line per seed" if result.history["seed"].nunique() > 1 else ""
    return Figure(
        f"Training on {result.name}{seeds}; a ring marks the epoch that was kept. {_course(result)}",
        [losses, choice],
        (data.CURVES,),
    )


def _course(result: TaskResult) -> str:
    """What the losses did, means over seeds."""
    losses = result.course
    if len(losses) < 2:
        return "There is one epoch, so no course to be seen."
    change = losses["train_loss"].iloc[-1] / losses["train_loss"].iloc[0] - 1
    text = f"The train loss {'falls' if change < 0 else 'rises'} by {formats.percent(abs(change), 0)}"
    best = losses["selection_loss"].idxmin()
    if best == losses.index[-1]:
        return f"{text}; the selection loss is lowest at the last epoch, so there is no sign of overfitting."
    return f"{text}; the selection loss is lowest at epoch {best:g} and higher after it, a sign of overfitting."


def _curve_picture(
    name: str,
    title: str,
    history: pd.DataFrame,
    lines: dict[str, tuple[str, str, str]],
    subject: str,
    chosen: dict[int, float | None] | None = None,
) -> Markup:
    with svg.drawing(220, right=66 if len(lines) > 1 else 16) as (figure, axes):
        ends, described = [], []
        for column, (label, colour, dash) in lines.items():
            finals = []
            for seed, rows in history.groupby("seed"):
                points = rows[["epoch", column]].dropna()
                axes.plot(points["epoch"], points[column], dash, color=colour, linewidth=1.6, alpha=0.9)
                axes.plot(points["epoch"], points[column], "o", color=colour, markersize=3.5)
                kept = points[points["epoch"] == (chosen or {}).get(seed)]
                axes.plot(kept["epoch"], kept[column], "o", markersize=10, markerfacecolor="none", color=svg.INK)
                if len(points):
                    finals.append(points[column].iloc[-1])
                    described.append(
                        f"{label + ' ' if label else ''}seed {seed} from {points[column].iloc[0]:.3g} "
                        f"to {points[column].iloc[-1]:.3g}"
                    )
            if label and finals:
                ends.append((label, 0, sum(finals) / len(finals), colour))
        axes.set_title(title, x=-40 / (svg.WIDTH - 40 - (66 if len(lines) > 1 else 16)))
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="y", color=svg.RULE, linewidth=0.8)
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.06, y=0.12)
        labels.in_margin(axes, ends)
        return svg.to_svg(figure, f"curve-{name}", f"{subject}: {'; '.join(described)}.")


def predictions(result: TaskResult) -> Figure:
    """The confusion matrix and the reliability diagram of a classification task."""
    seeds = len(result.card.seeds)
    summed = f", summed over {seeds} seeds" if seeds > 1 else ""
    return Figure(
        f"{sentence_case(result.name)}. First: how often each true class (row) was given each answer (column)"
        f"{summed}; the stronger a field’s colour, the larger its share of the row. "
        f"{_commonest_mistake(result.pictures)} Second: the share of right answers against the model’s "
        "confidence; dots below the diagonal are too sure of themselves, and the bars show how many answers "
        f"had that confidence. {_confidence(result.pictures.reliability)}",
        [
            _confusion(result.key, result.name, result.pictures),
            _reliability(result.key, result.name, result.pictures.reliability, result.metrics.ece),
        ],
        (data.CONFUSION, data.CALIBRATION),
    )


def _commonest_mistake(pictures: ClassificationPictures) -> str:
    count, true, answer = max(
        (number, row, column)
        for row, counts in enumerate(pictures.confusion)
        for column, number in enumerate(counts)
        if row != column
    )
    if count == 0:
        return "There was no mistake."
    of = formats.count(sum(pictures.confusion[true]))
    return (
        f"The commonest mistake is “{pictures.classes[answer]}” for “{pictures.classes[true]}” "
        f"({formats.count(count)} of {of})."
    )


def _confidence(bins: list[ReliabilityBin]) -> str:
    filled = [b for b in bins if b.count and b.confidence is not None and b.accuracy is not None]
    if not filled:
        return ""
    gap = sum(b.count * (b.confidence - b.accuracy) for b in filled) / sum(b.count for b in filled)
    if abs(gap) < 0.005:
        return "On average the confidence is right."
    direction = "above" if gap > 0 else "below"
    points = formats.decimal(100 * abs(gap))
    return f"On average the confidence lies {points} points {direction} the share of right answers."


def _confusion(task: str, name: str, pictures: ClassificationPictures) -> Markup:
    size = len(pictures.classes)
    wrapped = [textwrap.fill(label, 10) for label in pictures.classes]
    left, right, top = 84, 12, 30
    bottom = 34 + 12 * max(label.count("\n") + 1 for label in wrapped)
    cell = (svg.WIDTH - left - right) / size
    aspect = min(1.0, 44 / cell) if size > 2 else 0.5
    height = round(top + bottom + aspect * cell * size)
    with svg.drawing(height, left=left, right=right, top=top, bottom=bottom) as (figure, axes):
        described = []
        for row, counts in enumerate(pictures.confusion):
            total = sum(counts)
            for column, number in enumerate(counts):
                share = number / total if total else 0.0
                # Never so strong that the number in it cannot be read, on a light or a dark page.
                field = Rectangle((column, row), 1, 1, facecolor=svg.BLUE, alpha=0.55 * share, linewidth=0)
                axes.add_patch(field)
                axes.text(column + 0.5, row + 0.5, formats.count(number), ha="center", va="center")
            right_share = formats.percent(counts[row] / total if total else None, 0)
            described.append(f"{pictures.classes[row]}: {right_share} right of {total}")
        axes.set_xlim(0, size)
        axes.set_ylim(size, 0)
        middles = [index + 0.5 for index in range(size)]
        axes.set_xticks(middles, wrapped, fontsize=9)
        axes.set_yticks(middles, wrapped, fontsize=9)
        axes.tick_params(length=0)
        axes.set_title("True class, by answer", x=-left / (svg.WIDTH - left - right))
        axes.set_xlabel("answer")
        for line in range(size + 1):
            axes.axhline(line, color=svg.RULE, linewidth=0.8)
            axes.axvline(line, color=svg.RULE, linewidth=0.8)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return svg.to_svg(figure, f"confusion-{task}", f"{name}: confusion matrix. {'; '.join(described)}.")


def _reliability(task: str, name: str, bins: list[ReliabilityBin], ece: float) -> Markup:
    filled = [b for b in bins if b.count and b.confidence is not None and b.accuracy is not None]
    most = max((b.count for b in filled), default=1)
    with svg.drawing(286, right=16) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=svg.QUIET, linewidth=1, linestyle=(0, (2, 3)))
        for b in filled:
            width, height = b.high - b.low, 0.2 * b.count / most
            axes.add_patch(Rectangle((b.low, 0), width, height, facecolor=svg.BLUE, alpha=0.25, linewidth=0))
        axes.plot(
            [b.confidence for b in filled],
            [b.accuracy for b in filled],
            "-o",
            color=svg.BLUE,
            linewidth=1.4,
            markersize=6,
            clip_on=False,
        )
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        percent = FuncFormatter(lambda value, _: f"{100 * value:.0f}")
        axes.xaxis.set_major_formatter(percent)
        axes.yaxis.set_major_formatter(percent)
        axes.tick_params(length=0)
        axes.grid(color=svg.RULE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.set_title("Right answers, %, by confidence", x=-40 / (svg.WIDTH - 40 - 16))
        axes.set_xlabel("confidence, %")
        axes.annotate(f"ECE {formats.decimal(ece, 3)}", (0.04, 0.93), xycoords="axes fraction", color=svg.QUIET)
        described = "; ".join(
            f"confidence {b.confidence:.2f}, right {b.accuracy:.2f}, {b.count} answers" for b in filled
        )
        return svg.to_svg(figure, f"reliability-{task}", f"{name}: reliability diagram. {described}.")
