"""A sweep's grid as a heat map: chosen on the selection rows, with dev beside."""

import itertools
import math
from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup
from matplotlib.patches import Rectangle

from knotwork.report import formats, svg
from knotwork.report.comparison.contrasts import Measure, measures
from knotwork.report.elements import Figure
from knotwork.report.read import TaskResult
from knotwork.report.tables import plain
from knotwork.study.declaration import Sweep, grid_cells
from knotwork.study.figures import Drawing, Result


def grid_map(name: str, sweep: Sweep, grid: str, results: Sequence[Result]) -> Drawing | None:
    """The heat map of a grid, points without results left blank; None if no point has any.

    Args:
        name: the sweep's.
        sweep: the sweep.
        grid: the grid's name.
        results: the finished points, of other grids too.
    """
    found = {cell.run: result for cell, result in results}
    axes = list(sweep.grids[grid])
    measure = measures(results[0][1])[0]
    cells, rows = grid_cells(name, sweep, grid), []
    for cell in cells:
        result = found.get(cell.run)
        point = [cell.settings[key] for key in axes]
        rows.append([cell.run, *point, *(_figures(result, measure) if result else [None] * 4)])
    data = pd.DataFrame(rows, columns=["run", *axes, "selection", "dev", "dev_low", "dev_high"])
    if data["selection"].isna().all():
        return None
    # Accuracy: more is better; perplexity, which chooses the sonnets' epoch: less is.
    best = data["selection"].idxmax() if results[0][1].is_classification else data["selection"].idxmin()
    point = ", ".join(f"{key} {plain(cells[best].settings[key])}" for key in axes)
    picture = _picture(grid, sweep.grids[grid], data, best)
    figure = Figure(_caption(data, point, best, measure), [picture], (f"{grid}.csv",))
    return Drawing(grid, figure, [grid], data)


def _figures(result: TaskResult, measure: Measure) -> list[float]:
    """The selection metric, a mean over seeds, and dev with its interval, as shown."""
    scale = 100 if result.is_classification else 1
    chosen = [seed.selection_metric for seed in result.card.per_seed if seed.selection_metric is not None]
    dev = [getattr(result.metrics, f"{measure.key}{end}") for end in ("", "_low", "_high")]
    # Of a run without an epoch nothing was chosen: its point is left blank.
    selection = scale * sum(chosen) / len(chosen) if chosen else math.nan
    return [selection, *(measure.scale * value for value in dev)]


def _caption(data: pd.DataFrame, point: str, best: int, measure: Measure) -> str:
    row = data.loc[best]
    missing = data["selection"].isna().sum()
    blank = f" {missing} of {len(data)} points are not finished, and blank." if missing else ""
    spread = data["dev"].max() - data["dev"].min()
    interval = formats.interval(row["dev_low"], row["dev_high"])
    return (
        f"Each field: the score on the selection rows, which chooses, and below it {measure.name} on dev, which "
        f"does not. The stronger the colour, the better the choice. Chosen, in a frame: {point} "
        f"({row['selection']:.1f}); on dev it has {row['dev']:.1f} ({formats.CONFIDENCE} interval {interval}), "
        f"and all points on dev lie within {spread:.1f} of each other.{blank}"
    )


def _picture(grid: str, values: dict[str, list], data: pd.DataFrame, best: int) -> Markup:
    *outer, inner = values
    rows, columns = values[outer[0]] if outer else [None], values[inner]
    low, high = data["selection"].min(), data["selection"].max()
    flip = data["selection"][best] == low  # less is better
    left = 52 if outer else 16
    with svg.drawing(70 + 46 * len(rows), left=left, right=12) as (figure, axes):
        described = []
        for (row, column), point in zip(
            itertools.product(range(len(rows)), range(len(columns))), data.itertuples(), strict=True
        ):
            if pd.isna(point.selection):
                continue
            share = (point.selection - low) / (high - low) if high > low else 0.5
            # Never so strong that the numbers cannot be read, on a light or a dark page.
            alpha = 0.05 + 0.4 * (1 - share if flip else share)
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=svg.BLUE, alpha=alpha, linewidth=0))
            axes.text(column + 0.5, row + 0.42, f"{point.selection:.1f}", ha="center", va="bottom")
            axes.text(
                column + 0.5, row + 0.52, f"dev {point.dev:.1f}", ha="center", va="top", fontsize=9, color=svg.QUIET
            )
            described.append(f"{point.run}: selection {point.selection:.1f}, dev {point.dev:.1f}")
            if point.Index == best:
                frame = Rectangle((column, row), 1, 1, fill=False, edgecolor=svg.VERMILION, linewidth=2, zorder=3)
                axes.add_patch(frame)
        axes.set_xlim(-0.02, len(columns) + 0.02)
        axes.set_ylim(len(rows) + 0.02, -0.02)
        axes.set_xticks([index + 0.5 for index in range(len(columns))], list(map(plain, columns)))
        axes.set_yticks(
            [index + 0.5 for index in range(len(rows))], [plain(value) if outer else "" for value in rows]
        )
        axes.tick_params(length=0)
        axes.set_xlabel(inner)
        axes.set_title(f"Selection and dev by {' and '.join(values)}", x=-left / (svg.WIDTH - left - 12))
        if outer:
            axes.set_ylabel(outer[0])
        for spine in axes.spines.values():
            spine.set_visible(False)
        return svg.to_svg(figure, f"sweep-{grid}", f"Heat map over {' and '.join(values)}. {'; '.join(described)}.")
