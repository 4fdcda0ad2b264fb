import pytest

from melanet.data import InputError
from melanet.data.readers.csv import read_rows


def rows(tmp_path, text, *columns, encoding="utf-8"):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    return list(read_rows(path, columns))


def test_rows_hold_the_columns_asked_for_and_their_line(tmp_path):
    found = rows(tmp_path, 'id,note,label\na,"two\nlines", x \nb,,y\n', "id", "label")
    assert [row for _, row in found] == [{"id": "a", "label": "x"}, {"id": "b", "label": "y"}]
    assert [place.rpartition(": ")[2] for place, _ in found] == ["line 2", "line 4"]


def test_byte_order_marks_dos_line_ends_and_empty_lines_are_fine(tmp_path):
    found = rows(tmp_path, "\ufeffid,label\r\n\r\na,x\r\n", "id")
    assert [row for _, row in found] == [{"id": "a"}]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: the column 'id' is missing"),
        ("Id\n", "line 1: the column 'id' is missing"),
        ("id,x\na\n", "line 2: has 1 fields; the header has 2"),
        ("id;label\na;b\n", "line 1: fields are separated by ';'; save the table with commas"),
        ("id\tlabel\na\tb\n", "line 1: fields are separated by tabs; save the table"),
        ('id\n"a\n', "cannot be read as a table"),
    ],
)
def test_what_is_no_table_is_refused(text, reason, tmp_path):
    with pytest.raises(InputError, match=f"table.csv: {reason}"):
        rows(tmp_path, text, "id")


def test_other_encodings_and_missing_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="in UTF-8"):
        rows(tmp_path, "id\na\n", "id", encoding="utf-16")
    with pytest.raises(InputError, match=r"none\.csv: cannot be read"):
        list(read_rows(tmp_path / "none.csv", ("id",)))
