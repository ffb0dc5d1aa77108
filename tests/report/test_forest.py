from xml.etree import ElementTree

from knotwork.report import forest

ROWS = [forest.Row("a", "40.0", 40, 30, 50), forest.Row("b", "60.0", 60, 55, 65, hollow=True)]


def texts(picture: str) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(picture).iter("text")]


def test_the_legend_names_dots_and_marks_once() -> None:
    marks = [(forest.THE_PAPERS, 55.0), (forest.BAG_OF_WORDS, 45.0)]
    picture = forest.draw("x", "Scores", ROWS, "score", hollow="open", marks=marks)
    for label in ("Score", "Open", "the paper’s", "bag of words, same rows"):
        assert texts(picture).count(label) == 1
    assert "Lines: the paper’s 55.0, bag of words, same rows 45.0." in picture


def test_the_axis_stays_where_values_can_be() -> None:
    rows = [forest.Row("a", "high", 80, 60, 100), forest.Row("b", "low", 50, 45, 55)]

    def highest(**options: tuple[float, float]) -> float:
        return max(
            float(text) for text in texts(forest.draw("x", "Scores", rows, "score", **options)) if text.isdecimal()
        )

    assert highest() > 100
    assert highest(within=(0, 100)) <= 100


def test_values_without_any_spread_have_ticks_that_can_be_read() -> None:
    picture = forest.draw("x", "Difference", [forest.Row("a", "0.0", 0, 0, 0)], "score")
    assert max(map(len, set(texts(picture)) - {"Difference", "Score"})) <= len("−0.5")


def test_rows_with_marks_of_their_own_are_taller() -> None:
    own = [forest.Row("a", "40.0", 40, 30, 50, marks=[(forest.THE_PAPERS, 55.0)])]
    heights = [
        float(ElementTree.fromstring(forest.draw("x", "Scores", rows, "score")).attrib["viewBox"].split()[3])
        for rows in (own, ROWS[:1])
    ]
    assert heights[0] > heights[1]
