import logging

import pytest

from knotwork.corpora import Row
from knotwork.corpora.read import read_sonnets, read_table
from knotwork.errors import UserError

HEADER = "\tid\tsentence\tsentiment\n"


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "file.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def sentiments(path):
    return read_table(path, ("sentence",), "sentiment", 5)


def test_rows_are_normalised_and_typed(write):
    table = sentiments(write(HEADER + "0\ta1\t It 's good .\t3\n1\tb2\tBad\t0.0\n"))
    assert table.rows == [Row("a1", ("It's good.",), 3), Row("b2", ("Bad",), 0)]
    assert table.skipped == 0


def test_pairs_keep_the_order_asked_for(write):
    path = write("\tid\tsentence1\tsentence2\tis_duplicate\n7\tx\tA?\tB?\t1.0\n")
    assert read_table(path, ("sentence2", "sentence1"), "is_duplicate", 2).rows == [Row("x", ("B?", "A?"), 1)]


def test_header_of_the_unlabelled_files(write):
    path = write("0\t\tid\tsentence\n1\t0.0\tx\tGood\n")
    assert read_table(path, ("sentence",), None, 5).rows == [Row("x", ("Good",), None)]


def test_byte_order_mark_crlf_blank_lines_and_quoted_lines(write):
    text = '\tid\tsentence\tsentiment\r\n0\ta\t"Two\r\nlines, a ""quote"" and a\ttab"\t1\r\n\r\n1\tb\tx\t2\r\n'
    table = sentiments(write(b"\xef\xbb\xbf" + text.encode()))
    assert table.rows == [Row("a", ('Two lines, a "quote" and a tab',), 1), Row("b", ("x",), 2)]


def test_byte_order_mark_before_the_name_of_a_column(write):
    path = write(b"\xef\xbb\xbfid\tsentence\tsentiment\na\tx\t1\n")
    assert sentiments(path).rows == [Row("a", ("x",), 1)]


def test_rows_without_a_label_are_skipped_counted_and_reported_once(write, caplog):
    path = write(HEADER + "0\ta\tx\t1\n1\tb\ty\t\n2\t\t\t \n")
    with caplog.at_level(logging.WARNING):
        table = sentiments(path)
    assert [row.id for row in table.rows] == ["a"]
    assert table.skipped == 2
    assert [record.getMessage() for record in caplog.records] == [f"{path}:3: 2 rows without a label skipped"]


def test_very_long_fields(write):
    text = "word " * 40_000
    assert sentiments(write(f"{HEADER}0\ta\t{text}\t1\n")).rows[0].texts == (text.strip(),)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (HEADER + "0\ta\tx\t1\n1\tb\ty\n", 3, "3 columns where the header has 4"),
        (HEADER + "0\ta\tx\t1\textra\n", 2, "5 columns where the header has 4"),
        (HEADER + "0\ta\tx\t5\n", 2, "label '5' is not one of 0 to 4"),
        (HEADER + "0\ta\tx\t-1\n", 2, "label '-1' is not one of"),
        (HEADER + "0\ta\tx\t0.5\n", 2, "label '0.5' is not one of"),
        (HEADER + "0\ta\tx\tgood\n", 2, "label 'good' is not one of"),
        (HEADER + "0\ta\tx\tnan\n", 2, "label 'nan' is not one of"),
        (HEADER + "0\ta\tx\tinf\n", 2, "label 'inf' is not one of"),
        (HEADER + "0\ta\t  \t1\n", 2, "empty text in column 'sentence'"),
        (HEADER + "0\ta\t<br />\t1\n", 2, "empty text in column 'sentence'"),
        (HEADER + "0\t\tx\t1\n", 2, "empty id"),
        (HEADER + '0\ta\t"x\ny"\t1\n1\tb\tx\t1\n2\ta\tx\t1\n', 5, "id 'a' stands in line 2 already"),
        ("\tid\ttext\tsentiment\n0\ta\tx\t1\n", 1, "no column 'sentence' in the header"),
        ("\tsentence\tsentiment\n0\tx\t1\n", 1, "no column 'id' in the header"),
        (HEADER + '0\ta\tx\t1\n1\tb\t"never closed\t1\n2\tc\tx\t1\n', 3, "broken quotation"),
        (HEADER + '0\ta\t"x" y\t1\n', 2, "broken quotation"),
        (HEADER.encode() + b"0\ta\tx\t1\n1\tb\tcaf\xe9\t1\n", 3, "invalid UTF-8"),
        (b"\xef\xbb\xbf" + HEADER.encode() + b"\xe9\ta\tx\t1\n", 2, "invalid UTF-8"),
        (HEADER.encode() + b"0\ta\tx\0y\t1\n", 2, "NUL byte"),
    ],
)
def test_a_broken_row_is_one_line_with_file_and_line(write, content, line, message):
    path = write(content)
    with pytest.raises(UserError) as error:
        sentiments(path)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        (HEADER, "no row after the header"),
        (HEADER + "0\ta\tx\t\n", "no row with a label after the header"),
    ],
)
def test_files_without_rows(write, content, message):
    with pytest.raises(UserError, match=message):
        sentiments(write(content))


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.csv: not found"):
        sentiments(tmp_path / "nothing.csv")
    with pytest.raises(UserError, match="cannot be read"):
        sentiments(tmp_path)


POEMS = "A Title\r\nin 1999\r\n\r\n1\r\n\r\nOne ,\r\ntwo,\r\n  three,\r\n  four.\r\n\r\n\r\n2\r\nA\r\nB\r\nC\r\nD"


def test_sonnets_are_numbered_blocks(write):
    table = read_sonnets(write(POEMS))
    assert table.rows == [Row("1", ("One,\ntwo,\nthree,\nfour.",), None), Row("2", ("A\nB\nC\nD",), None)]
    assert table.skipped == 0


def test_openings_have_three_lines(write):
    assert read_sonnets(write("7\n\na\nb\nc\n"), openings=True).rows == [Row("7", ("a\nb\nc",), None)]


@pytest.mark.parametrize(
    ("content", "openings", "line", "message"),
    [
        ("a\nb\nc\nd\n", False, 1, "no numbered sonnet"),
        ("", False, 1, "no numbered sonnet"),
        ("1\n\n2\na\nb\nc\nd\n", False, 1, "sonnet 1 is empty"),
        ("1\na\nb\nc\nd\n2\n\n", False, 6, "sonnet 2 is empty"),
        ("1\na\nb\nc\n", False, 1, "sonnet 1 has 3 lines; more than 3"),
        ("\n1\na\nb\nc\nd\n", True, 2, "opening 1 has 4 lines, not 3"),
        ("1\na\nb\nc\nd\n1\na\nb\nc\nd\n", False, 6, "id '1' stands in line 1 already"),
        (b"1\na\nb\n\xff\nd\n", False, 4, "invalid UTF-8"),
        (b"1\na\n\0\n", False, 3, "NUL byte"),
    ],
)
def test_broken_sonnets(write, content, openings, line, message):
    path = write(content)
    with pytest.raises(UserError) as error:
        read_sonnets(path, openings)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert message in str(error.value)
