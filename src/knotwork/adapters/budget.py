"""Ranks for a budget of trainable parameters."""

from collections.abc import Callable, Sequence

from knotwork.errors import UserError

TOLERANCE = 0.05

Cost = Callable[[int], int]
"""Trainable parameters by rank."""


def solve_ranks(budget: int, costs: Sequence[Cost], largest: int, adapter: str) -> list[int]:
    """Even ranks as high as the budget pays for, and one more wherever, from the last, it pays for that too.

    Args:
        budget: trainable parameters to spend.
        costs: of each rank to choose.
        largest: rank that a matrix can have.
        adapter: what is solved for, for the error.

    Raises:
        UserError: no ranks come within 5 % of the budget.
    """

    def total(ranks: Sequence[int]) -> int:
        return sum(cost(rank) for cost, rank in zip(costs, ranks, strict=True))

    even = [[rank] * len(costs) for rank in range(1, largest + 1)]
    ranks = max((option for option in even if total(option) <= budget), default=even[0])
    options = [ranks]
    for place in reversed(range(len(costs) if ranks[0] < largest else 0)):
        options.append([rank + (index == place) for index, rank in enumerate(ranks)])
        if total(options[-1]) <= budget:
            ranks = options[-1]
    ranks = min(options, key=lambda option: abs(total(option) - budget))
    if abs(total(ranks) - budget) > TOLERANCE * budget:
        raise UserError(
            f"budget.trainable_parameters: {budget:,} is not met by any ranks of {adapter} within 5 %; "
            f"nearest is {total(ranks):,}, the smallest {total(even[0]):,}, the largest {total(even[-1]):,}"
        )
    return ranks
