import pytest

from knotwork import UserError
from knotwork.adapters.budget import TOLERANCE, solve_ranks
from knotwork.adapters.kan.budget import ranks_for
from knotwork.params import Kan

from .conftest import HIDDEN, WIDTH, small_base

SETTINGS = {
    "learning_rate": 1e-3,
    "r": None,
    "alpha": 32,
    "dropout": 0.0,
    "spline": "latent",
    "spline_r": None,
    "basis": "bspline",
    "grid_size": 5,
    "order": 3,
    "range": "fitted",
    "fit_rows": 3,
    "activation": "pretrained",
    "blocks": "all",
    "l1": 0.0,
    "entropy": 0.0,
    "faithful": False,
    "faithful_frozen": False,
}


def settings(**changes):
    return Kan(**{**SETTINGS, **changes})


def spent(ranks, spline, spline_ranks=None):
    """Both matrices of each block: LoRA, and the splines."""
    matrices = [(WIDTH, HIDDEN), (HIDDEN, WIDTH)]
    splines = {
        "full": lambda i, o, r: i * o * 8,
        "factored": lambda i, o, r: r * (o + 8 * i),
        "latent": lambda i, o, r: r * (i + o + 8 * r),
    }[spline]
    pairs = zip(ranks, spline_ranks or ranks, strict=True)
    return sum(r * (i + o) + splines(i, o, s) for r, s in pairs for i, o in matrices)


@pytest.mark.parametrize(
    ("spline", "budget"), [("latent", 2000), ("latent", 9000), ("factored", 5000), ("full", 33500)]
)
def test_within_five_percent_and_nearly_even(spline, budget):
    ranks = ranks_for(budget, small_base(), settings(spline=spline))
    assert abs(spent(ranks["r"], spline, ranks.get("spline_r")) - budget) <= TOLERANCE * budget
    everything = [rank for of_kind in ranks.values() for rank in of_kind]
    assert max(everything) - min(everything) <= 1


def test_what_is_left_goes_to_splines_and_to_the_top():
    between = (spent([2] * 4, "latent") + spent([3] * 4, "latent")) // 2
    ranks = ranks_for(between, small_base(blocks=4), settings())
    assert ranks == {"r": [2, 2, 3, 3], "spline_r": [2, 2, 3, 3]}
    one_more = spent([2] * 4, "latent", [2, 2, 2, 3])
    assert ranks_for(one_more, small_base(blocks=4), settings()) == {"r": [2] * 4, "spline_r": [2, 2, 2, 3]}


def test_only_adapted_blocks_count():
    ranks = ranks_for(spent([5], "factored"), small_base(blocks=4), settings(spline="factored", blocks=1))
    assert ranks == {"r": [5], "spline_r": [5]}


def test_full_splines_have_no_rank():
    assert ranks_for(spent([7, 7], "full"), small_base(), settings(spline="full")) == {"r": [7, 7]}


def test_a_little_above_the_budget_is_as_good_as_a_little_below():
    assert solve_ranks(97, [lambda rank: 100 * rank], 4, "latent") == [1]
    assert solve_ranks(197, [lambda rank: 50 * rank] * 2, 4, "latent") == [2, 2]


@pytest.mark.parametrize(
    ("spline", "budget"),
    [("latent", 100), ("latent", 10**9), ("full", 20_000), ("factored", spent([1, 1], "factored") * 4 // 3)],
)
def test_budget_that_no_rank_meets_is_one_line_with_what_fits(spline, budget):
    with pytest.raises(UserError, match=rf"budget\.trainable_parameters: .* kan with {spline} splines") as caught:
        ranks_for(budget, small_base(), settings(spline=spline))
    message = str(caught.value)
    assert f"the smallest {spent([1, 1], spline):,}, the largest {spent([WIDTH] * 2, spline):,}" in message
