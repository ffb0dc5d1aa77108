"""How the runs of a comparison are told apart in its pictures: by colour, marker, dash and name."""

from knotwork.report import svg

LETTERS = 15  # of a run's name before it is broken or cut
DASHES = ("-", "--", ":", "-.")
MARKERS = "osD^vPX*hp"


def colour(position: int) -> str:
    """The colour of the run at a position among all runs."""
    return svg.SERIES[position % len(svg.SERIES)]


def marker(position: int) -> str:
    """Its marker."""
    return MARKERS[position % len(MARKERS)]


def dash(position: int) -> str:
    """Its line."""
    return DASHES[position % len(DASHES)]


def depth(position: int) -> int:
    """The first run, which the others are held against, lies on top."""
    return 3 if position == 0 else 2


def cut(run: str) -> str:
    """A run's name that fits; what is left out is in its middle, since names often differ at their ends."""
    half = LETTERS // 2
    return run if len(run) <= LETTERS else f"{run[:half]}…{run[-half:]}"
