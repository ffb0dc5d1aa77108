import pytest
from hypothesis import given
from hypothesis import strategies as st

from knotwork.corpora import Row
from knotwork.corpora.select import cap, hold_out
from knotwork.errors import UserError


def rows_of(*texts):
    return [Row(str(index), text if isinstance(text, tuple) else (text,), 0) for index, text in enumerate(texts)]


def test_cap_is_seeded_nested_and_ordered():
    rows = rows_of(*map(str, range(500)))
    small, large = cap(rows, 20, seed=3), cap(rows, 100, seed=3)
    assert small == cap(rows, 20, seed=3)
    assert len(small) == 20
    assert len(large) == 100
    assert set(small) < set(large)
    assert large == [row for row in rows if row in set(large)]
    assert small != cap(rows, 20, seed=4)
    assert small != rows[:20]


@pytest.mark.parametrize("limit", [None, 5, 6])
def test_cap_of_enough_keeps_all(limit):
    rows = rows_of(*"abcde")
    assert cap(rows, limit, seed=0) == rows


def test_hold_out_is_seeded_ordered_and_complete():
    rows = rows_of(*map(str, range(200)))
    train, selection = hold_out(rows, 0.1, seed=1)
    assert (train, selection) == hold_out(rows, 0.1, seed=1)
    assert len(selection) == 20
    assert sorted(train + selection, key=rows.index) == rows
    assert selection == sorted(selection, key=rows.index)
    assert selection != hold_out(rows, 0.1, seed=2)[1]


def test_rows_joined_by_texts_stay_together():
    # a-b, b-c, c-d hang together although a and d share nothing; so do rows that differ in capitals.
    rows = rows_of(("a", "b"), ("x", "y"), ("C", "b"), ("c", "d"), ("z", "Y"), ("u", "v"))
    for seed in range(20):
        _, selection = hold_out(rows, 0.5, seed)
        held = {row.id for row in selection}
        assert held & {"0", "2", "3"} in (set(), {"0", "2", "3"})
        assert held & {"1", "4"} in (set(), {"1", "4"})


def test_a_large_group_does_not_swallow_the_selection():
    rows = rows_of(*["same"] * 80, *map(str, range(20)))
    for seed in range(10):
        train, selection = hold_out(rows, 0.1, seed)
        assert len(selection) == 10
        assert len(train) == 90


@given(
    st.lists(st.tuples(*[st.sampled_from("abcdefghij")] * 2), min_size=2, max_size=30),
    st.floats(0.01, 0.99),
    st.integers(0, 99),
)
def test_both_sides_have_rows_and_share_no_text(pairs, part, seed):
    rows = rows_of(*pairs)
    try:
        train, selection = hold_out(rows, part, seed)
    except UserError:
        # One group: from any text all others are reached.
        reached = set(pairs[0])
        for _ in pairs:
            reached |= {text for pair in pairs if reached & set(pair) for text in pair}
        assert all(reached & set(pair) for pair in pairs)
        return
    assert train
    assert selection
    assert not {text for row in train for text in row.texts} & {text for row in selection for text in row.texts}


@pytest.mark.parametrize("rows", [[], rows_of("a"), rows_of("a", "a"), rows_of(("a", "b"), ("b", "c"))])
def test_one_group_cannot_be_split(rows):
    with pytest.raises(UserError, match=r"^train\.selection: "):
        hold_out(rows, 0.1, seed=0)
