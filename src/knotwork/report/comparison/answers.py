"""How the runs of a group answer: a small confusion matrix for each, and their calibration in one picture."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from knotwork.report import data, formats, labels, svg
from knotwork.report.comparison.contrasts import Comparison, Entry, Group
from knotwork.report.comparison.series import colour, cut, depth, marker
from knotwork.report.comparison.summary import number, place
from knotwork.report.elements import Figure
from knotwork.report.names import enumerate_names, sentence_case

COLUMNS = 3  # matrices side by side in a picture
NAMES = 92  # px right of the calibration curves, for the runs' names
FEW = 0.01  # bins with a smaller share of the answers are not drawn


def answers(comparison: Comparison, group: Group) -> Figure:
    """Confusion matrices as small multiples, and the share of right answers against confidence."""
    key = f"{group.task}-{number(comparison, group)}"
    name = sentence_case(place(comparison, group))
    classes = group.first.result.pictures.classes
    return Figure(
        f"{name}. First: of each true class (row), the percentage that got each answer (column), a matrix per run; "
        f"both in the order {enumerate_names([f'“{each}”' for each in classes])}. {_hardest(group)} Second: the "
        "share of right answers against confidence; below the diagonal a run is too sure of itself. "
        f"{_calibrated(group)}",
        [_matrices(key, name, group.entries), _calibration(key, name, comparison, group.entries)],
        (data.CONFUSION, data.CALIBRATION),
    )


def _hardest(group: Group) -> str:
    """The class that the runs find least often."""
    classes = group.first.result.pictures.classes
    matrices = [entry.result.pictures.confusion for entry in group.entries]
    found = {
        each: [_share(matrix[index])[index] for matrix in matrices]
        for index, each in enumerate(classes)
        if sum(matrices[0][index])  # dev has some of it
    }
    hardest = min(found, key=lambda each: sum(found[each]))
    low, high = (formats.percent(value, 0) for value in (min(found[hardest]), max(found[hardest])))
    return f"“{hardest}” is found least often ({low if low == high else f'{low} to {high}'} of it)."


def _calibrated(group: Group) -> str:
    errors = {entry.run: entry.result.metrics.ece for entry in group.entries}
    best, worst = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
    if best == worst:
        return f"Its expected calibration error is {formats.decimal(errors[best], 3)}."
    return (
        f"The expected calibration error is smallest with {best} ({formats.decimal(errors[best], 3)}) and largest "
        f"with {worst} ({formats.decimal(errors[worst], 3)})."
    )


def _share(counts: Sequence[int]) -> list[float]:
    return [count / (sum(counts) or 1) for count in counts]


def _matrices(key: str, name: str, entries: list[Entry]) -> Markup:
    rows = -(-len(entries) // COLUMNS)
    size = len(entries[0].result.pictures.classes)
    side, title, gap = 104 if size > 3 else 68, 30, 12
    height = rows * (side + title) + gap
    with svg.panels(height, COLUMNS, gap, rows=rows, between=title, left=0, right=0, top=title, bottom=gap) as (
        figure,
        axes,
    ):
        described = []
        for where, entry in zip(axes, entries, strict=False):
            shares = [_share(counts) for counts in entry.result.pictures.confusion]
            _matrix(where, cut(entry.run), shares)
            right = ", ".join(formats.percent(shares[index][index], 0) for index in range(size))
            described.append(f"{entry.run} finds {right}")
        for where in axes[len(entries) :]:
            where.set_visible(False)
        return svg.to_svg(figure, f"confusions-{key}", f"{name}: of each class in turn, {'; '.join(described)}.")


def _matrix(axes: Axes, title: str, shares: list[list[float]]) -> None:
    size = len(shares)
    for row, values in enumerate(shares):
        for column, share in enumerate(values):
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=svg.BLUE, alpha=0.6 * share, linewidth=0))
            axes.text(column + 0.5, row + 0.5, f"{100 * share:.0f}", ha="center", va="center", fontsize=9.5)
    for line in range(size + 1):
        axes.axhline(line, color=svg.RULE, linewidth=0.8)
        axes.axvline(line, color=svg.RULE, linewidth=0.8)
    axes.set_xlim(0, size)
    axes.set_ylim(size, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(title, pad=6, fontsize=10.5)


def _calibration(key: str, name: str, comparison: Comparison, entries: list[Entry]) -> Markup:
    with svg.drawing(286, right=NAMES) as (figure, axes):
        axes.plot([0, 100], [0, 100], color=svg.QUIET, linewidth=1, linestyle=(0, (2, 3)))
        ends, described = [], []
        for entry in entries:
            position = comparison.runs.index(entry.run)
            bins = entry.result.pictures.reliability
            enough = FEW * sum(each.count for each in bins)
            drawn = [(100 * b.confidence, 100 * b.accuracy) for b in bins if b.count and b.count >= enough]
            xs, ys = zip(*drawn, strict=True)
            style = {"color": colour(position), "linewidth": 1.4, "markersize": 4.5, "zorder": depth(position)}
            axes.plot(xs, ys, "-", marker=marker(position), clip_on=False, **style)
            ends.append((cut(entry.run), xs[-1], ys[-1], colour(position)))
            pairs = ", ".join(f"{x:.0f} to {y:.0f}" for x, y in drawn)
            described.append(f"{entry.run} {pairs}")
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        axes.tick_params(length=0)
        axes.grid(color=svg.RULE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.set_title("Right answers, %, by confidence", x=-40 / (svg.WIDTH - 40 - NAMES))
        axes.set_xlabel("confidence, %")
        labels.in_margin(axes, ends, leaders=True, place=10)
        alt = f"{name}: confidence and share of right answers, percent. {'; '.join(described)}."
        return svg.to_svg(figure, f"calibration-{key}", alt)
