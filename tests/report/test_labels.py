import pytest

from knotwork.report import labels, svg


@pytest.mark.parametrize(
    "heights, expected",
    [
        ([0.2, 0.8], [0.2, 0.8]),
        ([0.5, 0.5, 0.5], [0.5, 0.6, 0.7]),
        ([0.8, 0.2, 0.25], [0.8, 0.2, 0.3]),
        ([0.95, 0.98, 1.0], [0.8, 0.9, 1.0]),
        ([1.4, -0.2], [1.0, 0.0]),
        ([], []),
    ],
)
def test_labels_are_spread_without_changing_their_order(heights: list[float], expected: list[float]) -> None:
    assert labels.spread(heights, gap=0.1) == pytest.approx(expected)


def test_labels_stand_in_the_margin_with_their_leaders() -> None:
    with svg.drawing(200, right=80) as (_, axes):
        axes.plot([0, 1], [0, 1])
        labels.in_margin(axes, [("one", 0, 0.5, svg.INK), ("two", 1, 0.5, svg.BLUE)], leaders=True)
        labels.in_margin(axes, [])
        first, second = axes.texts
    assert [text.get_text() for text in axes.texts] == ["one", "two"]
    assert first.xyann[0] == second.xyann[0] > 1
    assert second.xyann[1] - first.xyann[1] >= labels.LINE / 130 * 0.99
    assert first.arrow_patch is not None
