import pytest

from knotwork.adapters.budget import TOLERANCE, solve_ranks
from knotwork.errors import UserError


def solved(budget, units, largest=10_000):
    """Ranks where each costs as much as the one before."""
    return solve_ranks(budget, [unit.__mul__ for unit in units], largest, "lora")


def test_even_ranks_where_they_fit():
    assert solved(800, [100, 100]) == [4, 4]


def test_what_is_left_goes_to_the_top_blocks():
    assert solved(900, [100, 100]) == [4, 5]
    assert solved(1100, [100, 100, 100]) == [3, 4, 4]


@pytest.mark.parametrize("budget", [1000, 1999, 54321, 10**6])
def test_within_five_percent(budget):
    units = [31, 17, 40]
    ranks = solved(budget, units, largest=20_000)
    spent = sum(rank * unit for rank, unit in zip(ranks, units, strict=True))
    assert abs(spent - budget) <= TOLERANCE * budget
    assert max(ranks) - min(ranks) <= 1


def test_costs_may_grow_faster_than_the_rank():
    assert solve_ranks(2 * 5 * 5, [lambda rank: rank * rank] * 2, 100, "kan") == [5, 5]


def test_a_little_above_is_as_good_as_a_little_below():
    assert solved(396, [100, 100]) == [2, 2]


@pytest.mark.parametrize("budget, units, largest", [(150, [100, 100], 9), (270, [200, 50], 9), (900, [100], 8)])
def test_budget_that_no_rank_meets_is_one_line(budget, units, largest):
    message = rf"budget\.trainable_parameters: {budget} is not met by any ranks of lora .* nearest is \d+"
    with pytest.raises(UserError, match=message):
        solved(budget, units, largest)
