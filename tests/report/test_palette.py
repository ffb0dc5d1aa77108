"""The colours of series stay apart for every kind of colour vision, and readable on either paper."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from knotwork.report import paper, svg

# Machado, Oliveira and Fernandes 2009, "A Physiologically-based Model for Simulation of Color Vision Deficiency":
# what is seen in place of linear RGB when a kind of cone is missing.
SEEN = {
    "all cones": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ.sum(axis=1)


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(colour: str, seen: np.ndarray) -> np.ndarray:
    """CIELAB, in which a distance of about 2.3 can just be seen."""
    x, y, z = np.cbrt(TO_XYZ @ np.clip(np.asarray(seen) @ linear(colour), 0, 1) / WHITE)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def schemes() -> dict[str, dict[str, str]]:
    """The style sheet's colours by name, light and dark."""
    style = (Path(paper.__file__).parent / "style.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", style, flags=re.S)
    return {
        name: dict(re.findall(r"--(\w+): (#\w{6});", text)) for name, text in (("light", light), ("dark", dark))
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("sight", SEEN)
def test_series_stay_apart(scheme: str, sight: str) -> None:
    colours = [schemes()[scheme][svg.VARIABLES[stand_in]] for stand_in in svg.SERIES]
    places = [lab(colour, SEEN[sight]) for colour in colours]
    assert min(np.linalg.norm(a - b) for a, b in combinations(places, 2)) > 11


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_series_can_be_seen_on_their_paper(scheme: str) -> None:
    colours = schemes()[scheme]
    ground = TO_XYZ[1] @ linear(colours["paper"]) + 0.05
    for stand_in in svg.SERIES:
        mark = TO_XYZ[1] @ linear(colours[svg.VARIABLES[stand_in]]) + 0.05
        assert max(mark, ground) / min(mark, ground) >= 3  # WCAG 2.1, 1.4.11


def test_the_light_schemes_colours_are_those_that_are_drawn_with() -> None:
    light = schemes()["light"]
    assert {name: light[name] for name in svg.VARIABLES.values()} == {v: k for k, v in svg.VARIABLES.items()}
