import pytest

from knotwork.training.failures import collapse, stall


@pytest.mark.parametrize("losses", [[], [1.0], [1.0, 1.0]])
def test_stall_needs_three_epochs(losses):
    verdict, reason = stall(losses)
    assert verdict == "not assessed"
    assert str(len(losses)) in reason


@pytest.mark.parametrize(
    "losses, verdict",
    [
        ([1.6, 1.4, 1.2, 1.0], "no"),
        ([1.6, 1.6, 1.2], "no"),  # one slow epoch is no stall
        ([1.6, 1.59, 1.585], "yes"),
        ([1.0, 0.999, 0.9899], "no"),  # just over 1 %
        ([1.0, 0.999, 0.9901], "yes"),  # just under
        ([1.6, 1.2, 1.2, 1.2, 0.5], "yes"),  # it stalled before its end
        ([1.0, 1.5, 2.0], "yes"),  # growing is no improvement
    ],
)
def test_stall_is_under_one_percent_in_two_epochs(losses, verdict):
    found, reason = stall(losses)
    assert found == verdict
    assert bool(reason) == (verdict == "yes")


def test_stall_names_the_epochs():
    assert "1.2000 to 1.2000 between epochs 2 and 4" in stall([1.6, 1.2, 1.19, 1.2])[1]


@pytest.mark.parametrize(
    "accuracies, shares, verdict",
    [
        ([], [], "no"),
        ([0.4, 0.5], [0.7, 0.6], "no"),
        ([0.5, 0.5], [1.0, 0.6], "no"),  # it recovered
        ([0.5, 0.5], [0.6, 1.0], "yes"),
        ([0.3, 0.6, 0.51], [0.5] * 3, "no"),  # 9 points
        ([0.3, 0.6, 0.49], [0.5] * 3, "yes"),  # 11 points
        ([0.9], [0.99], "no"),
    ],
)
def test_collapse(accuracies, shares, verdict):
    found, reason = collapse(accuracies, shares)
    assert found == verdict
    assert bool(reason) == (verdict == "yes")
