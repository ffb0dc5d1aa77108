from knotwork.report.comparison import series


def test_long_names_keep_both_ends() -> None:
    assert series.cut("lora") == "lora"
    assert series.cut("exp-lora-faithful-2") == "exp-lor…thful-2"


def test_the_first_runs_differ_in_colour_and_marker_and_lie_below_the_first() -> None:
    first, *others = range(6)
    assert len({series.colour(each) for each in range(6)}) == len({series.marker(each) for each in range(6)}) == 6
    assert all(series.depth(first) > series.depth(each) for each in others)
    # Where colours come round again, dash and marker do not.
    assert (series.colour(6), series.marker(6), series.dash(6)) != (
        series.colour(0),
        series.marker(0),
        series.dash(0),
    )
