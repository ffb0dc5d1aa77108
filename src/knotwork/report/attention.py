"""Pictures of what Graph-LoRA attended to: texts with their arcs, and the shares of edge kinds and labels."""

from itertools import groupby

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from knotwork.report import data, formats, svg
from knotwork.report.elements import Figure
from knotwork.report.names import sentence_case
from knotwork.report.records import AttendedEdge, AttendedText, AttentionPictures, KindShare, LabelWeight

DEPENDENCY = ("head", "dependent")
LAYERS = 6  # side by side in a picture
LABELS = 14
STEPS = 8  # strengths that are told apart
LINE = 17  # px a token
TOKENS, NAMES, LEFT = 80, 85, 138  # px: where tokens end, where labels begin and where the layers begin


def figures(task: str, name: str, pictures: AttentionPictures) -> list[Figure]:
    """Some texts with their arcs; what kinds and labels get on average.

    Args:
        task: keeps the ids of the drawings apart.
        name: of the task, in a sentence.
        pictures: what to draw.
    """
    texts = [
        _text(task, name, text, list(pictures.layers), part)
        for text in pictures.examples
        for part in _parts(len(pictures.layers))
    ]
    drawn, files = [_kinds(task, name, pictures)], [data.KINDS]
    caption = (
        f"{sentence_case(name)}: attention on average over dev texts. The share of a token’s attention that edges "
        "of each kind get, by block, and what they would get if attention did not choose (last column). "
        f"{_favourite(pictures.kinds)}"
    )
    if pictures.labels:
        drawn.append(_labels(task, name, pictures.labels))
        files.append(data.LABELS)
        caption += (
            " Second: attention to an edge by its dependency label (dot), the most common labels first, beside "
            "what the edge would get if attention did not choose (bar): a dot to the right of its bar is "
            f"preferred. {_preferred(pictures.labels)}"
        )
    averages = Figure(caption, drawn, tuple(files))
    return [Figure(_caption(name, pictures), texts, (data.EDGES,)), averages] if texts else [averages]


def _caption(name: str, pictures: AttentionPictures) -> str:
    cut = any(text.cut for text in pictures.examples)
    if any(edge.source > edge.target for text in pictures.examples for edge in text.edges):
        labels = "the label of a word’s dependency beside it"
        arcs = "on the right it looks up to an earlier token, on the left down to a later one"
    else:
        labels = "beside a token the label of the dependency that is known from there on"
        arcs = "it looks up to an earlier token, for no later one is known to it"
    return (
        f"{sentence_case(name)}: dev texts from top to bottom, {labels}, and the attention of every block. An arc "
        f"ends at the token that attends: {arcs}; a dot is attention to itself. The more attention an arc gets "
        "(mean over heads), the stronger it is, the strongest of a text in full."
        + (" Long texts are cut." if cut else "")
    )


def _parts(layers: int) -> list[slice]:
    """Layers shared out over as few pictures as possible, evenly."""
    pictures = -(-layers // LAYERS)
    size = -(-layers // pictures)
    return [slice(start, start + size) for start in range(0, layers, size)]


def _text(task: str, name: str, text: AttendedText, layers: list[int], part: slice) -> Markup:
    shown = layers[part]
    tokens, edges = [_token(token) for token in text.tokens], text.edges
    both_ways = any(edge.source > edge.target for edge in edges)
    top, foot = 46, 30
    height = top + LINE * len(tokens) + foot
    column = (svg.WIDTH - LEFT) / len(shown)
    with svg.drawing(height, left=0, right=0, top=0, bottom=0) as (figure, axes):
        axes.set_xlim(0, svg.WIDTH)
        axes.set_ylim(height, 0)
        axes.set_axis_off()
        axes.text(0, 10, f"Text {_short(text.id, 12)}", va="center", fontsize=11.5)
        heights = [top + LINE * (row + 0.5) for row in range(len(tokens))]
        names = {edge.target: edge.label for edge in edges if edge.kind == "head" and edge.label}
        for row, token in enumerate(tokens):
            axes.text(TOKENS, heights[row], token, ha="right", va="center", fontsize=10.5)
            axes.text(NAMES, heights[row], _short(names.get(row, ""), 10), va="center", fontsize=9, color=svg.QUIET)
        for place, layer in enumerate(shown):
            middle = LEFT + column * (place + (0.5 if both_ways else 0.15))
            room = column * (0.46 if both_ways else 0.8)
            axes.text(
                middle if both_ways else middle - 3,
                34,
                f"block {layer}" if len(shown) < 5 else str(layer),
                ha="center" if both_ways else "left",
                va="center",
                fontsize=9.5,
                color=svg.QUIET,
            )
            axes.plot([middle, middle], [heights[0], heights[-1]], color=svg.RULE, linewidth=0.8)
            _arcs(axes, edges, part.start + place, middle, room, heights)
        handles = [
            Line2D([], [], color=svg.BLUE, linewidth=2, label="dependency"),
            Line2D([], [], color=svg.VERMILION, linewidth=2, label="other kinds"),
            Line2D([], [], color=svg.INK, marker="o", markersize=4, linestyle="", label="itself"),
        ]
        figure.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(0, 0),
            ncols=3,
            frameon=False,
            fontsize=9.5,
            borderpad=0,
            labelcolor=svg.QUIET,
            columnspacing=1.5,
            handlelength=1.4,
        )
        alt = f"{sentence_case(name)}, text {text.id}: {' '.join(tokens)}. {_strongest(edges, tokens, shown, part)}"
        return svg.to_svg(figure, f"attention-{task}-{text.id}-{part.start}", alt)


def _token(token: str) -> str:
    """A token as it can be seen."""
    shown = token.strip() or ("⏎" if "\n" in token else "␣")
    return _short(shown, 13)


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _arcs(
    axes: Axes, edges: list[AttendedEdge], layer: int, middle: float, room: float, heights: list[float]
) -> None:
    """A layer's arcs, those of one strength and colour as one path, the strongest on top."""
    arcs = [edge for edge in edges if edge.source != edge.target]
    farthest = max((abs(edge.source - edge.target) for edge in arcs), default=1)
    most = max((weight for edge in arcs for weight in edge.weights), default=0) or 1
    strengths: dict[tuple[int, str], list[AttendedEdge]] = {}
    for edge in edges:
        own = edge.source == edge.target
        step = round(STEPS * edge.weights[layer] / (1 if own else most))
        colour = svg.INK if own else svg.BLUE if edge.kind in DEPENDENCY else svg.VERMILION
        if step:
            strengths.setdefault((step, colour), []).append(edge)
    for (step, colour), group in sorted(strengths.items()):
        strength = step / STEPS
        if colour == svg.INK:
            rows = [heights[edge.target] for edge in group]
            size = 1.5 + 4.5 * strength
            axes.plot([middle] * len(rows), rows, "o", color=colour, markersize=size, markeredgewidth=0, alpha=0.75)
            continue
        # Dependencies go farther out, so that other edges between the same tokens can be told from them.
        width = room / 0.75 * (1 if colour == svg.BLUE else 0.7)
        corners, codes = [], []
        for edge in group:
            distance = edge.target - edge.source
            # A Bezier curve reaches three quarters of the way to its handles.
            reach = middle + width * (abs(distance) / farthest) ** 0.6 * (1 if distance > 0 else -1)
            start, end = heights[edge.source], heights[edge.target]
            corners += [(middle, start), (reach, start), (reach, end), (middle, end)]
            codes += [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
        line, alpha = 0.5 + 3 * strength, 0.15 + 0.8 * strength
        axes.add_patch(
            PathPatch(Path(corners, codes), facecolor="none", edgecolor=colour, linewidth=line, alpha=alpha)
        )


def _strongest(edges: list[AttendedEdge], tokens: list[str], layers: list[int], part: slice) -> str:
    """The strongest arc of every layer in words."""
    arcs = [edge for edge in edges if edge.source != edge.target]
    if not arcs:
        return "There are no arcs."
    said = []
    for place, layer in enumerate(layers):
        edge = max(arcs, key=lambda edge: edge.weights[part.start + place])
        kind = f"{edge.kind} {edge.label}" if edge.label else edge.kind
        said.append(
            f"block {layer}: “{tokens[edge.target]}” to “{tokens[edge.source]}” ({kind}) "
            f"{edge.weights[part.start + place]:.2f}"
        )
    return f"The strongest arcs, from the token that attends: {'; '.join(said)}."


def _favourite(kinds: list[KindShare]) -> str:
    """The kind that gets most beyond its even share."""
    gains = {}
    for kind, group in groupby(sorted(kinds, key=lambda share: share.kind), key=lambda share: share.kind):
        shares = list(group)
        gains[kind] = sum(share.weight - share.even for share in shares) / len(shares)
    if not gains:
        return ""
    best = max(gains, key=gains.__getitem__)
    if gains[best] < 0.005:
        return "No kind gets more than an even share."
    points = formats.decimal(100 * gains[best])
    return f"Beyond its even share “{best}” gets most, {points} points more over all blocks."


def _preferred(labels: list[LabelWeight]) -> str:
    """The label, of those that are drawn, that gets most beyond its even share."""
    best = max(_commonest(labels), key=lambda label: label.weight - label.even)
    if best.weight - best.even < 0.005:
        return "No label is preferred."
    return (
        f"The most preferred is “{best.label}”: {formats.percent(best.weight)} instead of "
        f"{formats.percent(best.even)}."
    )


def _kinds(task: str, name: str, pictures: AttentionPictures) -> Markup:
    shares = {(share.kind, share.layer): share for share in pictures.kinds}
    kinds = list(dict.fromkeys(share.kind for share in pictures.kinds))
    columns = [str(layer) for layer in pictures.layers]
    left, right, top, bottom = 74, 4, 30, 40
    size = 10 if len(columns) < 9 else 9
    width = len(columns) + 1
    with svg.drawing(top + 24 * len(kinds) + bottom, left=left, right=right, top=top, bottom=bottom) as (
        figure,
        axes,
    ):
        described = []
        for row, kind in enumerate(kinds):
            found = [shares.get((kind, layer)) for layer in pictures.layers]
            values = [share.weight if share else 0.0 for share in found]
            evens = [share.even for share in found if share]
            even = sum(evens) / len(evens) if evens else 0.0
            for column, value in enumerate([*values, even]):
                colour = svg.QUIET if column == len(columns) else svg.BLUE
                gap = 0.25 if column == len(columns) else 0
                axes.add_patch(
                    Rectangle((column + gap, row), 1, 1, facecolor=colour, alpha=0.65 * value, linewidth=0)
                )
                axes.text(
                    column + gap + 0.5, row + 0.5, f"{100 * value:.0f}", ha="center", va="center", fontsize=size
                )
            shown = ", ".join(f"{100 * value:.0f}" for value in values)
            described.append(f"{kind} {shown} (even: {100 * even:.0f})")
        axes.set_xlim(0, width + 0.25)
        axes.set_ylim(len(kinds), 0)
        axes.set_yticks([row + 0.5 for row in range(len(kinds))], kinds, fontsize=10)
        middles = [column + 0.5 for column in range(len(columns))]
        axes.set_xticks([*middles, width - 0.25], [*columns, "even"], fontsize=size)
        axes.tick_params(length=0)
        axes.set_title("Share of attention by kind of edge, %", x=-left / (svg.WIDTH - left - right))
        axes.set_xlabel("block")
        for line in range(len(kinds) + 1):
            axes.axhline(line, color=svg.RULE, linewidth=0.8)
        for spine in axes.spines.values():
            spine.set_visible(False)
        alt = (
            f"{sentence_case(name)}: share of attention by kind of edge, percent by block. {'; '.join(described)}."
        )
        return svg.to_svg(figure, f"kinds-{task}", alt)


def _commonest(labels: list[LabelWeight]) -> list[LabelWeight]:
    """Those labels that are drawn."""
    return sorted(labels, key=lambda label: (-label.count, label.label))[:LABELS]


def _labels(task: str, name: str, labels: list[LabelWeight]) -> Markup:
    shown = _commonest(labels)
    left, right, top, bottom = 74, 40, 30, 40
    with svg.drawing(top + 17 * len(shown) + bottom, left=left, right=right, top=top, bottom=bottom) as (
        figure,
        axes,
    ):
        for row, label in enumerate(shown):
            axes.plot([100 * label.even, 100 * label.weight], [row, row], color=svg.BLUE, linewidth=1.4, alpha=0.5)
            axes.plot(100 * label.even, row, "|", color=svg.QUIET, markersize=9, markeredgewidth=1.6)
            axes.plot(100 * label.weight, row, "o", color=svg.BLUE, markersize=6)
            axes.annotate(
                formats.count(label.count),
                (1, row),
                (38, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=9.5,
                color=svg.QUIET,
                annotation_clip=False,
            )
        axes.set_yticks(range(len(shown)), [label.label for label in shown], fontsize=10)
        axes.tick_params(length=0)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.margins(x=0.08)
        axes.grid(axis="x", color=svg.RULE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.set_title("Attention to an edge by label, %, and edges", x=-left / (svg.WIDTH - left - right))
        axes.set_xlabel("dot: attention; bar: even share, %")
        described = "; ".join(
            f"{label.label} {100 * label.weight:.0f} (even: {100 * label.even:.0f}, {label.count} edges)"
            for label in shown
        )
        alt = f"{sentence_case(name)}: mean attention to an edge by dependency label, percent. {described}."
        return svg.to_svg(figure, f"labels-{task}", alt)
