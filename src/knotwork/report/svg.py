"""Matplotlib figures as inline SVG that takes its colours and font from the page."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 340  # px; two pictures fill the page's column, one fills a phone
RIM = 12  # px around a picture in a file of its own

# Stand-ins that become CSS variables, so that one drawing serves light and dark pages.
INK, QUIET, RULE, PAPER = "#1c1b1a", "#6b6862", "#d9d5cc", "#fffefc"
BLUE, VERMILION, GREEN, PURPLE, OCHRE = "#0b6aa8", "#c8500a", "#189a86", "#c648c0", "#654d10"
SERIES = (BLUE, VERMILION, GREEN, PURPLE, OCHRE, INK)  # apart for every kind of colour vision, on either paper
VARIABLES = {
    INK: "ink",
    QUIET: "quiet",
    RULE: "rule",
    PAPER: "paper",
    BLUE: "blue",
    VERMILION: "vermilion",
    GREEN: "green",
    PURPLE: "purple",
    OCHRE: "ochre",
}

STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar sign is a dollar sign
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same layout on every machine
    "font.size": 10.5,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.labelsize": 10.5,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.linewidth": 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "lines.solid_capstyle": "round",
}


@contextmanager
def drawing(height: float, **margins: float) -> Iterator[tuple[Figure, Axes]]:
    """A picture of ``WIDTH`` x ``height`` px in the page's style; margins are px from each side."""
    with panels(height, 1, 0, **margins) as (figure, [axes]):
        yield figure, axes


@contextmanager
def panels(
    height: float, columns: int, gap: float, rows: int = 1, between: float = 0, **margins: float
) -> Iterator[tuple[Figure, list[Axes]]]:
    """The same with several axes, row by row: ``gap`` px lie beside each and ``between`` px below it."""
    room = {"left": 40, "right": 12, "top": 30, "bottom": 40} | margins
    width = (WIDTH - room["left"] - room["right"] - gap * (columns - 1)) / columns
    tall = (height - room["top"] - room["bottom"] - between * (rows - 1)) / rows
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH / 72, height / 72))
        figure.subplots_adjust(
            left=room["left"] / WIDTH,
            right=1 - room["right"] / WIDTH,
            top=1 - room["top"] / height,
            bottom=room["bottom"] / height,
            wspace=gap / width,
            hspace=between / tall,
        )
        yield figure, [figure.add_subplot(rows, columns, 1 + place) for place in range(rows * columns)]


def to_svg(figure: Figure, name: str, alt: str) -> Markup:
    """The figure as an ``<svg>`` element with alternative text; ``name`` keeps its ids apart from others'."""
    buffer = io.BytesIO()
    # Without a fixed salt and without a date the same figure gives the same bytes.
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    root = ElementTree.fromstring(buffer.getvalue())
    _strip_namespaces(root)
    for parent in list(root.iter()):
        for child in list(parent):
            # Matplotlib's style sheet would apply to the whole page.
            if child.tag in ("metadata", "style"):
                parent.remove(child)
        if parent.tag == "g":
            parent.attrib.pop("id", None)
        if "style" in parent.attrib:
            parent.attrib["style"] = _page_style(parent.attrib["style"])
        if "d" in parent.attrib:
            parent.attrib["d"] = " ".join(parent.attrib["d"].split())
    root.attrib = {"viewBox": root.attrib["viewBox"], "class": "plot", "role": "img", "aria-label": alt}
    return Markup(ElementTree.tostring(root, encoding="unicode", short_empty_elements=False))


def standalone(picture: Markup) -> str:
    """A picture of :func:`to_svg` as a file of its own, in the light page's colours."""
    root = ElementTree.fromstring(picture)
    _, _, width, height = (float(number) for number in root.attrib["viewBox"].split())
    root.attrib |= {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"{-RIM} {-RIM} {width + 2 * RIM:g} {height + 2 * RIM:g}",
        "width": f"{2 * (width + 2 * RIM):g}",
        "style": f"background: {PAPER}; font-family: sans-serif",
    }
    text = ElementTree.tostring(root, encoding="unicode")
    for colour, variable in VARIABLES.items():
        text = text.replace(f"var(--{variable})", colour)
    return text + "\n"


def _strip_namespaces(root: ElementTree.Element) -> None:
    # SVG inside HTML needs none, and without them no address stands in the page.
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}


def _page_style(style: str) -> str:
    for colour, variable in VARIABLES.items():
        style = style.replace(colour, f"var(--{variable})")
    return re.sub(r"font-family: [^;]+;? ?", "", style).strip()
