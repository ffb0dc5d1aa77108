"""Pictures of what KAN-LoRA learned: its functions, how strong they are, and what is lost without the weakest."""

import math
import textwrap
from collections.abc import Callable
from itertools import groupby

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from knotwork.report import data, formats, svg
from knotwork.report.elements import Figure
from knotwork.report.names import sentence_case
from knotwork.report.records import DrawnFunction, SplinePictures, SplineStrength

COLUMNS = 2  # functions side by side in a picture
MARGIN = 36  # px: left of a function
LINE = 30  # characters of a formula below its function
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LEVELS = 20  # shades of the heat map
ROW = 14  # px


def draw(task: str, name: str, pictures: SplinePictures) -> dict[str, Markup]:
    """The drawings: ``block-<n>`` with its functions, ``strength``, ``pruning``.

    Args:
        task: keeps the ids of the drawings apart.
        name: of the task, in a sentence.
        pictures: what to draw.
    """
    blocks: dict[int, list[DrawnFunction]] = {}
    for function in sorted(pictures.functions, key=lambda function: function.block):
        blocks.setdefault(function.block, []).append(function)
    return {
        **{f"block-{block}": _block(task, name, block, of) for block, of in blocks.items()},
        "strength": _heat_map(task, name, pictures.strength),
        "pruning": _pruning(task, name, pictures),
    }


def figures(task: str, name: str, pictures: SplinePictures) -> list[Figure]:
    """What :func:`draw` draws, with captions."""
    *learned, strength, pruning = draw(task, name, pictures).values()
    overview = Figure(
        f"{sentence_case(name)}. First: the strength of the splines of each block’s two matrices, every matrix’s "
        "features sorted from the strongest to the weakest: the standard deviation over dev inputs of what a "
        "feature’s splines add to the output, as a share of the output’s own; where a field is empty, the splines "
        "hardly change over the inputs. "
        f"{_strongest(pictures.strength)} Second: {pictures.score_name} on {formats.count(pictures.examples)} dev "
        "examples when splines are held at their mean, the weakest first; while the curve stays level, nothing is "
        f"lost. {_cost(pictures)}",
        [strength, pruning],
        (data.STRENGTH, data.PRUNING),
    )
    if not learned:
        return [overview]
    return [Figure(_caption(name, pictures.functions), learned, (data.FUNCTIONS,)), overview]


def _caption(name: str, functions: list[DrawnFunction]) -> str:
    what = (
        "the solid line is the pretrained path with the spline, the dashed one without it"
        if any(function.base is not None for function in functions)
        else "the splines’ inputs are directions of their own, so there is no pretrained function beside them"
    )
    reading = (
        " Below: the closed formula that fits the spline alone best, and the part of its variance that it explains."
        if any(function.formula for function in functions)
        else ""
    )
    strongest = max(functions, key=lambda function: function.strength)
    return (
        f"{sentence_case(name)}: the strongest learned functions of every block, {_input(strongest)} → output, "
        f"each for the output that it moves most; {what}. The hill at the foot shows where the inputs of dev lie."
        f"{reading} The strongest is {_input(strongest)} {strongest.feature} of block {strongest.block}, "
        f"{strongest.matrix}: what its splines add varies {_share(strongest.strength)} as much as the output does."
    )


def _input(function: DrawnFunction) -> str:
    return "direction" if function.base is None else "feature"


def _block(task: str, name: str, block: int, functions: list[DrawnFunction]) -> Markup:
    """The functions of one block in rows of ``COLUMNS``."""
    notes = [_reading(function) for function in functions]
    rows = [range(start, min(start + COLUMNS, len(functions))) for start in range(0, len(functions), COLUMNS)]
    below = 22 + 13 * max(note.count("\n") + 1 if note else 0 for note in notes)
    height = 42 + (84 + below) * len(rows) + 30 * (len(rows) - 1)
    with svg.panels(
        height, COLUMNS, 44, rows=len(rows), between=30 + below, left=MARGIN, right=6, top=42, bottom=below
    ) as (figure, axes):
        for place, note, function in zip(axes, notes, functions, strict=False):
            _draw(place, function)
            place.annotate(
                note,
                (0, 0),
                (-MARGIN, -22),
                xycoords="axes fraction",
                textcoords="offset points",
                va="top",
                fontsize=9.5,
                color=svg.QUIET,
            )
        for place in axes[len(functions) :]:
            place.set_visible(False)
        figure.text(0, 1 - 10 / height, f"Block {block}", va="center", fontsize=11.5)
        described = " ".join(_describe(function) for function in functions)
        return svg.to_svg(figure, f"splines-{task}-{block}", f"{sentence_case(name)}, block {block}: {described}")


def _draw(axes: Axes, function: DrawnFunction) -> None:
    values = function.total + (function.base or [])
    low, high = min(values), max(values)
    # What changes by less than this is flat, and is drawn so.
    room = max(high - low, 1e-3 * max(abs(low), abs(high))) or 1.0
    most = max(function.density) or 1.0
    bottom = low - 0.42 * room
    hill = [bottom + 0.3 * room * share / most for share in function.density]
    axes.fill_between(function.x, bottom, hill, color=svg.QUIET, alpha=0.25, linewidth=0)
    if function.base is not None:
        axes.fill_between(function.x, function.base, function.total, color=svg.BLUE, alpha=0.15, linewidth=0)
        axes.plot(function.x, function.base, color=svg.INK, linewidth=1.1, linestyle=(0, (3, 2)))
    axes.plot(function.x, function.total, color=svg.BLUE, linewidth=1.8)
    axes.set_xlim(function.x[0], function.x[-1])
    axes.set_ylim(bottom, low + 1.08 * room)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    ticks = [low] if room > high - low else MaxNLocator(3, min_n_ticks=2).tick_values(low, high)
    ticks = [tick for tick in ticks if low - 0.1 * room <= tick <= low + 1.1 * room]
    largest = max(map(abs, values))
    power = 3 * math.floor(math.log10(largest * 50) / 3) if 0 < largest < 0.02 else 0
    axes.set_yticks(ticks, [f"{tick / 10**power:.3g}".replace("-", "−") for tick in ticks])
    unit = f", ×10{str(power).translate(SUPERSCRIPT)}" if power else ""
    axes.tick_params(length=0, labelsize=9.5, pad=4)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", color=svg.RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.annotate(
        f"{function.matrix}, {function.feature} → {function.output}{unit}",
        (0, 1),
        (-MARGIN, 10),
        xycoords="axes fraction",
        textcoords="offset points",
        va="center",
        fontsize=9.5,
    )


def _reading(function: DrawnFunction) -> str:
    if not function.formula:
        return ""
    lines = textwrap.wrap(_unbroken(function.formula), LINE, break_long_words=False)
    if function.r2 is not None:
        lines.append(f"R² {formats.decimal(function.r2, 2)}")
    return "\n".join(lines)


def _unbroken(formula: str) -> str:
    """The formula with places to break it only before the signs between its terms."""
    depth, text = 0, ""
    for before, letter, after in zip(" " + formula, formula, formula[1:] + " ", strict=False):
        depth += (letter == "(") - (letter == ")")
        breakable = depth == 0 and after in "+−" and before not in "+−"
        text += "\u00a0" if letter == " " and not breakable else letter
    return text


def _share(value: float) -> str:
    """A small share with two digits that count."""
    return f"{100 * value:.2g}{formats.SPACE}%"


def _describe(function: DrawnFunction) -> str:
    base = f", without the spline {_ends(function.base)}" if function.base is not None else ""
    formula = f"; the spline is about {function.formula}" if function.formula else ""
    fit = f" (R² {function.r2:.2f})" if function.formula and function.r2 is not None else ""
    return (
        f"{function.matrix}, {_input(function)} {function.feature} to output {function.output}, "
        f"strength {function.strength:.3f}: over inputs {_ends(function.x)} the values "
        f"go {_ends(function.total)}{base}{formula}{fit}."
    )


def _ends(values: list[float]) -> str:
    return f"from {values[0]:.3g} to {values[-1]:.3g}"


def _strongest(strength: SplineStrength) -> str:
    means = [sum(values) / len(values) for values in strength.values]
    row = strength.rows[means.index(max(means))]
    return (
        f"On average they are strongest in block {row.block}, {row.matrix} ({_share(max(means))} of the "
        "output a feature)."
    )


def _heat_map(task: str, name: str, strength: SplineStrength) -> Markup:
    left, right, top, bottom = 62, 8, 30, 58
    most = max(max(values) for values in strength.values) or 1.0
    with svg.drawing(top + ROW * len(strength.rows) + bottom, left=left, right=right, top=top, bottom=bottom) as (
        figure,
        axes,
    ):
        for row, values in enumerate(strength.values):
            width = 1 / len(values)
            shades = [round(LEVELS * value / most) for value in values]
            # Neighbours of one shade are one field: a sorted row has few.
            for shade, fields in groupby(range(len(values)), key=shades.__getitem__):
                first, *_, last = [*fields] * 2
                place, size = (first * width, row), (1 + last - first) * width
                axes.add_patch(Rectangle(place, size, 0.9, facecolor=svg.BLUE, alpha=shade / LEVELS, linewidth=0))
        axes.set_xlim(0, 1)
        axes.set_ylim(len(strength.rows), 0)
        labels = [f"{row.block} {row.matrix}" for row in strength.rows]
        axes.set_yticks([row + 0.45 for row in range(len(labels))], labels, fontsize=9.5)
        axes.set_xticks([0, 0.5, 1], ["strongest", "features", "weakest"])
        for label, side in zip(axes.get_xticklabels(), ("left", "center", "right"), strict=True):
            label.set_horizontalalignment(side)
        axes.tick_params(length=0)
        axes.set_title("Strength of the splines, by matrix", x=-left / (svg.WIDTH - left - right))
        for spine in axes.spines.values():
            spine.set_visible(False)
        _legend(axes, most)
        described = "; ".join(
            f"{label} from {values[0]:.3f} to {values[-1]:.3f}"
            for label, values in zip(labels, strength.values, strict=True)
        )
        alt = f"{sentence_case(name)}: strength of splines by matrix, strongest to weakest feature. {described}."
        return svg.to_svg(figure, f"strength-{task}", alt)


def _legend(axes: Axes, most: float) -> None:
    """Shades from nothing to the most, below the map."""
    place = axes.inset_axes((0, 0, 1, 1), transform=axes.transAxes)
    place.set_axis_off()
    place.set_xlim(0, 1)
    place.set_ylim(axes.get_ylim())
    bottom = axes.get_ylim()[0] + 34 / ROW
    for step in range(10):
        place.add_patch(
            Rectangle(
                (0.3 + 0.04 * step, bottom),
                0.04,
                8 / ROW,
                facecolor=svg.BLUE,
                alpha=(step + 1) / 10,
                linewidth=0,
                clip_on=False,
            )
        )
    for x, side, text in ((0.28, "right", "0"), (0.72, "left", _share(most))):
        place.text(x, bottom + 4 / ROW, text, ha=side, va="center", fontsize=9.5, color=svg.QUIET, clip_on=False)


def _cost(pictures: SplinePictures) -> str:
    points = sorted(pictures.pruning, key=lambda point: point.removed)
    if len(points) < 2:
        return ""
    half = min(points, key=lambda point: abs(point.removed - 0.5))
    whole, none = points[0].score, points[-1].score
    score = _formatter(pictures.score_name)
    rest = "any" if points[-1].removed == 1 else f"the weakest {formats.percent(points[-1].removed, 0)}"
    return (
        f"It is {score(whole)} with all of them, {score(half.score)} without the weakest "
        f"{formats.percent(half.removed, 0)} and {score(none)} without {rest}."
    )


def _formatter(score_name: str) -> Callable[[float], str]:
    return formats.percent if score_name == "accuracy" else formats.decimal


def _pruning(task: str, name: str, pictures: SplinePictures) -> Markup:
    points = sorted(pictures.pruning, key=lambda point: point.removed)
    share = pictures.score_name == "accuracy"
    scores = [100 * point.score if share else point.score for point in points]
    # A few examples more or less must not look like a cliff.
    least = 1000 / max(pictures.examples, 1) if share else 0.02 * max(scores, default=0)
    with svg.drawing(220, right=16) as (figure, axes):
        for score in scores[:1]:
            axes.axhline(score, color=svg.QUIET, linewidth=1, linestyle=(0, (2, 3)))
        axes.plot(
            [100 * point.removed for point in points],
            scores,
            "-o",
            color=svg.BLUE,
            linewidth=1.6,
            markersize=4.5,
            clip_on=False,
        )
        axes.set_xlim(0, 100)
        axes.margins(y=0.15)
        low, high = axes.get_ylim()
        missing = max(least - (high - low), 0) / 2
        axes.set_ylim(low - missing, high + missing)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.tick_params(length=0)
        axes.grid(axis="y", color=svg.RULE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        title = sentence_case(pictures.score_name) + (", %" if share else "")
        axes.set_title(f"{title}, without the weakest splines", x=-40 / (svg.WIDTH - 40 - 16))
        axes.set_xlabel("splines held at their mean, %")
        described = "; ".join(f"{100 * p.removed:.0f} % removed {p.score:.3f}" for p in points)
        alt = f"{sentence_case(name)}: {pictures.score_name} without the weakest splines. {described}."
        return svg.to_svg(figure, f"pruning-{task}", alt)
