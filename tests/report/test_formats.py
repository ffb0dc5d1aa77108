import pytest

from knotwork.report import formats
from knotwork.report.names import enumerate_names, sentence_case

S = formats.SPACE


@pytest.mark.parametrize(
    "text, expected",
    [
        (formats.percent(0.4833), f"48.3{S}%"),
        (formats.percent(None), "–"),
        (formats.percent_interval(0.415, 0.55), "41.5–55.0"),
        (formats.interval(1.1, 1.23456, 3), "1.100–1.235"),
        (formats.decimal(1234.56), "1,234.6"),
        (formats.count(589824.0), "589,824"),
        (formats.parameters(14_200_000), f"14.2{S}M"),
        (formats.parameters(999_700), f"1.0{S}M"),
        (formats.parameters(589_824), f"590{S}k"),
        (formats.parameters(1_280), "1,280"),
        (formats.seconds(0.94), f"0.9{S}s"),
        (formats.seconds(59.96), f"1{S}min 00{S}s"),
        (formats.seconds(312.4), f"5{S}min 12{S}s"),
        (formats.seconds(3599.7), f"1{S}h 00{S}min"),
        (formats.seconds(7500), f"2{S}h 05{S}min"),
        (formats.megabytes(911.7), f"912{S}MB"),
        (formats.megabytes(999.9), f"1.0{S}GB"),
        (sentence_case("the sonnets"), "The sonnets"),
        (enumerate_names(["a"]), "a"),
        (enumerate_names(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_numbers_and_names_as_text(text: str, expected: str) -> None:
    assert text == expected
