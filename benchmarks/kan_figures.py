"""The figures of kan_questions.py and kan_tuning.py, each drawn from its table alone."""

import math
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from knotwork.report import labels, svg
from knotwork.report.formats import count, percent, percent_interval
from knotwork.report.names import ADAPTERS, TASKS

WIDTH = 700  # px
TOP, LEFT = 100, 40  # px: above the panels, and left of the first
PANEL, TALL = 150, 210  # px: height of a panel
CURVES = {"train_loss": "Training loss, nats", "selection_accuracy": "Selection accuracy, %"}
PERCENT = FuncFormatter(lambda value, _: f"{100 * value:.3g}")
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
POWER = FuncFormatter(lambda value, _: f"10{f'{math.log10(value):.0f}'.translate(SUPERSCRIPT)}")
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
TITLES = {
    "blocks": "KAN-LoRA on single MLPs, beside LoRA on the same matrices",
    "curves": "KAN-LoRA against LoRA, epoch by epoch",
    "grid": "What more knots do to capacity and smoothness",
    "memorise": "Memorising 64 training rows",
    "tuning": "LoRA and KAN-LoRA of equal size, each at its best learning rate",
}
KEPT = "of the epoch with the best selection accuracy"
Label = tuple[str, float, float, str]
IN_POINTS = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "annotation_clip": False}
LOOKS = {
    "LoRA": (svg.VERMILION, "--", "s"),
    "LoRA on the MLPs": (svg.VERMILION, ":", "D"),
    "KAN-LoRA": (svg.BLUE, "-", "o"),
    "KAN-LoRA, latent": (svg.BLUE, "-", "o"),
    "KAN-LoRA, factored": (svg.BLUE, ":", "D"),
    "the paper’s KAN": (svg.INK, "-.", "^"),
    "full fine-tuning": (svg.INK, "-.", "^"),
}
"""Colour, dash and marker of a variant: apart without colour too."""


def draw(question: str, table: pd.DataFrame) -> tuple[Figure, str]:
    """The figure of a question, and the same as the text of an SVG file."""
    with mpl.rc_context(svg.STYLE):
        figure, described = FIGURES[question](table)
    alt = f"{TITLES[question]}. {described}"
    return figure, svg.standalone(svg.to_svg(figure, f"kan-{question}", alt))


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as a bitmap of twice its size."""
    figure.savefig(path, format="png", dpi=144, facecolor=svg.PAPER)


def blocks(table: pd.DataFrame) -> tuple[Figure, str]:
    """A column of panels a place: training loss, selection accuracy, and dev accuracy of the kept epoch."""
    places = list(table["place"].unique())
    low, figure = 96, _page("blocks", table, 2 * PANEL + 266, "At each place both train equally many parameters")
    gap, described = 18, []
    width = (WIDTH - LEFT - 72 - gap * (len(places) - 1)) / len(places)
    for row, (column, title) in enumerate({**CURVES, "dev_accuracy": f"Dev accuracy, %, {KEPT}"}.items()):
        top, first = TOP + 20 + row * (PANEL + 66) + 14 * (row == 2), None
        _text(figure, 0, top - 34, title, fontsize=11.5)
        for place, name in enumerate(places):
            here = table[table["place"] == name]
            dev = column == "dev_accuracy"
            axes = _axes(figure, LEFT + place * (width + gap), top, width, low if dev else PANEL, first)
            first = first or axes
            draw_one = _whisker if dev else _line
            ends = [draw_one(axes, part, "epoch", column, adapter) for adapter, part in _adapters(here)]
            where = "all MLPs" if name == "all" else f"{name} (block {here['blocks'].iloc[0]})"
            axes.set_title(where, fontsize=10.5, color=svg.QUIET, pad=6)
            axes.tick_params(labelleft=place == 0)
            if not dev:
                _by_epoch(axes)
                axes.set_xlabel("epoch" if row else "")
            if column != "train_loss":
                axes.yaxis.set_major_formatter(PERCENT)
            if place == len(places) - 1:
                labels.in_margin(axes, ends)
        described.append(_courses(table, column, title))
    return figure, " ".join(described)


def curves(table: pd.DataFrame) -> tuple[Figure, str]:
    """Training loss and selection accuracy by epoch, a line a variant and seed; dev accuracy of the kept epoch."""
    figure = _page("curves", table, TALL, f"Dev accuracy is {KEPT}")
    room, rim, described = 116, 8, []
    width = (WIDTH - 2 * LEFT - room - rim - 44) / 3
    for place, (column, title) in enumerate(CURVES.items()):
        axes = _axes(figure, LEFT + place * (LEFT + width + 8), TOP, width, TALL)
        for name, part in _variants(table):
            _line(axes, part, "epoch", column, name)
        axes.set_title(title, x=-LEFT / width)
        _by_epoch(axes)
        if column != "train_loss":
            axes.yaxis.set_major_formatter(PERCENT)
        described.append(_courses(table, column, title))
    axes = _axes(figure, WIDTH - width - rim, TOP, width, TALL)
    for place, (name, part) in enumerate(_variants(table)):
        stall = ", ".join(part["stall"].unique())
        described.append(_forest_row(axes, place, name, part[part["kept"]], f"stall: {stall}", room))
    _close_forest(axes, "Dev accuracy, %", room)
    return figure, " ".join(described)


def grid(table: pd.DataFrame) -> tuple[Figure, str]:
    """By intervals of the grid: dev accuracy with its interval, training loss, roughness, waves."""
    note = "Ranks are fixed. Waves: periods of the sine that is as rough for its size; drawn: before training"
    figure = _page("grid", table, PANEL, note)
    sizes = sorted(table["grid_size"].unique())
    means = table.groupby("grid_size").mean(numeric_only=True)
    width = (WIDTH - 12) / 4 - LEFT
    titles = {
        "dev_accuracy": "Dev accuracy, %",
        "train_loss": "Training loss, nats",
        "roughness": "Roughness, mean ∫ f″²",
        "waves": "Waves in the range",
    }
    for place, (column, title) in enumerate(titles.items()):
        axes = _axes(figure, LEFT + place * (width + LEFT + 4), TOP, width, PANEL)
        axes.set_xscale("log")
        if column == "dev_accuracy":
            axes.vlines(sizes, means["dev_accuracy_low"], means["dev_accuracy_high"], color=svg.BLUE, linewidth=2)
            axes.yaxis.set_major_formatter(PERCENT)
        if column in ("roughness", "waves"):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if column == "waves" else (1,), numticks=8))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(PLAIN if column == "waves" else POWER)
        axes.plot(table["grid_size"], table[column], "o", color=svg.BLUE, markersize=4.5)
        axes.plot(sizes, means[column], "-", color=svg.BLUE, linewidth=1.6, label="learned")
        if column == "train_loss":
            _widen(axes, 0.05)
        if column == "waves":
            axes.plot(
                sizes, means["waves_drawn"], linestyle=(0, (1, 2)), color=svg.INK, linewidth=1.6, label="drawn"
            )
            axes.legend(loc="upper left", frameon=False, borderpad=0, handlelength=1.4, labelcolor="linecolor")
        axes.xaxis.set_major_locator(FixedLocator(sizes))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(PLAIN)
        axes.set_title(title, x=-LEFT / width)
        axes.set_xlabel("intervals of the grid")
    described = [
        f"{size} intervals: dev {percent(row['dev_accuracy'])}, training loss {row['train_loss']:.3f}, roughness "
        f"{row['roughness']:.3g}, {row['waves']:.2f} waves ({row['waves_drawn']:.2f} as drawn)."
        for size, row in means.iterrows()
    ]
    return figure, " ".join(described)


def memorise(table: pd.DataFrame) -> tuple[Figure, str]:
    """Training accuracy by step, and training and dev accuracy at the end."""
    figure = _page("memorise", table, TALL, "Until 99 % are right; LoRA and KAN-LoRA train equally many parameters")
    room, rim, described = 126, 14, []
    width = (WIDTH - LEFT - room - rim - 24) / 2
    axes = _axes(figure, LEFT, TOP, width, TALL)
    axes.axhline(0.99, color=svg.QUIET, linewidth=1, linestyle=(0, (2, 3)))
    for name, part in _variants(table):
        _line(axes, part, "step", "train_accuracy", name)
    axes.set_title("Training accuracy, %", x=-LEFT / width)
    axes.set_xlabel("optimiser step")
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_xlim(left=0)
    axes = _axes(figure, WIDTH - width - rim, TOP, width, TALL)
    for place, (name, part) in enumerate(_variants(table)):
        last = part[part["kept"]]
        ends = zip(last["step"], last["train_accuracy"], strict=True)
        steps = ", ".join(count(step) if right >= 0.99 else f"> {count(step)}" for step, right in ends)
        described.append(
            _forest_row(axes, place, name, last, f"{steps} steps", room, last["train_accuracy"].mean())
        )
    axes.set_xlim(0, 1)
    _close_forest(axes, "Dev, with interval, and train (hollow), %", room)
    return figure, " ".join(described)


def tuning(table: pd.DataFrame) -> tuple[Figure, str]:
    """A column a budget: selection accuracy by learning rate, and dev accuracy at the chosen rate."""
    low, gap, described = 96, 34, []
    figure = _page(
        "tuning", table, PANEL + low + 80, "The selection split chose epoch and rate (ringed), by one seed"
    )
    budgets = list(table["budget"].unique())
    width = (WIDTH - LEFT - 72 - gap * (len(budgets) - 1)) / len(budgets)
    seeds, first = table["seed"].unique(), table["seed"].iloc[0]
    titles = ("Selection accuracy, %, by learning rate", f"Dev accuracy, %, {len(seeds)} seeds, with interval")
    tops, like = (TOP + 20, TOP + 20 + PANEL + 80), [None, None]
    for title, top in zip(titles, tops, strict=True):
        _text(figure, 0, top - 34, title, fontsize=11.5)
    for place, budget in enumerate(budgets):
        here = table[(table["budget"] == budget) & table["kept"]]
        ends = []
        for row, (top, height) in enumerate(zip(tops, (PANEL, low), strict=True)):
            axes = _axes(figure, LEFT + place * (width + gap), top, width, height, like[row])
            like[row] = like[row] or axes
            axes.set_title(f"size of {budget}", fontsize=10.5, color=svg.QUIET, pad=6)
            axes.yaxis.set_major_formatter(PERCENT)
            axes.tick_params(labelleft=place == 0)
            if row == 0:
                axes.set_xscale("log")
                for name, part in _adapters(here[here["seed"] == first]):
                    ends.append(_line(axes, part, "learning_rate", "selection_accuracy", name))
                    best = part[part["chosen"]]
                    ring = {"markersize": 10, "markerfacecolor": "none", "color": LOOKS[name][0]}
                    axes.plot(best["learning_rate"], best["selection_accuracy"], "o", **ring)
                axes.xaxis.set_major_locator(FixedLocator(sorted(here["learning_rate"].unique())))
                axes.xaxis.set_minor_locator(NullLocator())
                axes.xaxis.set_major_formatter(PLAIN)
            else:
                scored = here[here["chosen"]]  # the other trials have no dev score
                ends = [_whisker(axes, part, "epoch", "dev_accuracy", name) for name, part in _adapters(scored)]
            if place == len(budgets) - 1:
                labels.in_margin(axes, ends)
        described += [_tuned(f"{name}, size of {budget}", part, first) for name, part in _adapters(here)]
    return figure, " ".join(described)


FIGURES: dict[str, Callable[[pd.DataFrame], tuple[Figure, str]]] = {
    "blocks": blocks,
    "curves": curves,
    "grid": grid,
    "memorise": memorise,
    "tuning": tuning,
}


def _page(question: str, table: pd.DataFrame, height: float, note: str) -> Figure:
    """An empty figure with its heading: the question, what it was asked on, and a note."""
    figure = Figure(figsize=(WIDTH / 72, (TOP + height + 40) / 72))
    rows, seeds = (table[name].unique() for name in ("rows", "seed"))
    on = f"{TASKS[table['task'].iloc[0]]}, {count(rows[0])} training rows, seed{'s' * (len(seeds) > 1)} "
    _text(figure, 0, 12, TITLES[question], fontsize=14)
    _text(figure, 0, 35, f"{on}{', '.join(map(str, seeds))}", color=svg.QUIET)
    _text(figure, 0, 51, note, color=svg.QUIET)
    return figure


def _text(figure: Figure, left: float, top: float, text: str, **style: float | str) -> None:
    """Text at a place in px from the upper left corner."""
    figure.text(left / WIDTH, 1 - top / (figure.get_figheight() * 72), text, va="center", **style)


def _axes(figure: Figure, left: float, top: float, width: float, height: float, like: Axes | None = None) -> Axes:
    """Axes at a place in px from the upper left corner."""
    whole = figure.get_figheight() * 72
    place = (left / WIDTH, 1 - (top + height) / whole, width / WIDTH, height / whole)
    axes = figure.add_axes(place, sharey=like)
    axes.tick_params(length=0, which="both")
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", color=svg.RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.08, y=0.1)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return axes


def _widen(axes: Axes, least: float) -> None:
    """Let the vertical axis span at least so much: small changes must not look like a cliff."""
    low, high = axes.get_ylim()
    missing = max(least - (high - low), 0) / 2
    axes.set_ylim(low - missing, high + missing)


def _by_epoch(axes: Axes) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _line(axes: Axes, rows: pd.DataFrame, x: str, y: str, name: str) -> Label:
    """Draw a line a seed; gives the label of their end."""
    colour, dash, marker = LOOKS[name]
    for _, seed in rows.groupby("seed"):
        axes.plot(seed[x], seed[y], dash, color=colour, linewidth=1.6)
        shown = seed.tail(1) if x == "step" else seed
        axes.plot(shown[x], shown[y], marker, color=colour, markersize=4.5)
    last = rows.groupby("seed").tail(1)
    return name, last[x].mean(), last[y].mean(), colour


def _whisker(axes: Axes, rows: pd.DataFrame, x: str, y: str, name: str) -> Label:
    """Draw the mean of the kept epochs with its interval; gives its label."""
    colour, _, marker = LOOKS[name]
    kept = rows[rows["kept"]]
    place, value = list(LOOKS).index(name), kept[y].mean()
    axes.vlines(place, kept[f"{y}_low"].iloc[0], kept[f"{y}_high"].iloc[0], color=colour, linewidth=2)
    axes.plot(place, value, marker, color=colour, markersize=6)
    axes.set_xticks([])
    axes.margins(x=0.6)
    return name, place, value, colour


def _forest_row(
    axes: Axes, place: int, name: str, kept: pd.DataFrame, note: str, room: float, train: float | None = None
) -> str:
    """Draw a row of a forest: dev accuracy with its interval, and where it is given training accuracy."""
    colour, _, marker = LOOKS[name]
    dev, low, high = (kept[f"dev_accuracy{end}"].mean() for end in ("", "_low", "_high"))
    if train is not None:
        axes.plot([dev, train], [place, place], color=svg.RULE, linewidth=1.6, zorder=1)
        axes.plot(train, place, marker, color=colour, markersize=6, markerfacecolor=svg.PAPER, clip_on=False)
    axes.plot([low, high], [place, place], color=colour, linewidth=2)
    axes.plot(dev, place, marker, color=colour, markersize=6)
    for text, shift, ink in ((name, 8, colour), (note, -6, svg.QUIET)):
        axes.annotate(text, (0, place), (-room, shift), color=ink, va="center", **IN_POINTS)
    both = "" if train is None else f"train {percent(train)}, "
    return f"{name}: {note}, {both}dev {percent(dev)} ({percent_interval(low, high)})."


def _close_forest(axes: Axes, title: str, room: float) -> None:
    axes.set_yticks([])
    axes.set_ylim(axes.dataLim.y1 + 0.5, axes.dataLim.y0 - 0.5)
    axes.grid(axis="x", color=svg.RULE, linewidth=0.8)
    axes.xaxis.set_major_formatter(PERCENT)
    axes.set_title(title, x=-room / (axes.get_position().width * WIDTH))


def _variants(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(name), part) for name, part in table.groupby("variant", sort=False)]


def _adapters(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(ADAPTERS[str(name)], part) for name, part in table.groupby("adapter", sort=False)]


def _tuned(name: str, kept: pd.DataFrame, first: int) -> str:
    """The trials of an adapter at a budget, and how the chosen rate did on dev."""
    trials = ", ".join(
        f"{row.learning_rate:g}: {percent(row.selection_accuracy)}"
        for row in kept[kept["seed"] == first].itertuples()
    )
    dev = kept[kept["chosen"]]
    interval = percent_interval(dev["dev_accuracy_low"].iloc[0], dev["dev_accuracy_high"].iloc[0])
    rate = dev["learning_rate"].iloc[0]
    return (
        f"{name}: selection by rate {trials}; dev at {rate:g} {percent(dev['dev_accuracy'].mean())} ({interval})."
    )


def _courses(table: pd.DataFrame, column: str, title: str) -> str:
    """Where each variant's line begins and ends."""
    ends = []
    for name, part in _variants(table):
        means = part.dropna(subset=column).groupby("epoch")[column].mean()
        values = [f"{value:.3f}" for value in (means.iloc[0], means.iloc[-1])]
        ends.append(f"{name} {values[0]}" if len(means) == 1 else f"{name} from {values[0]} to {values[1]}")
    return f"{title.partition(',')[0]}: {'; '.join(ends)}."
