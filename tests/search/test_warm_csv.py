"""CSV files as spreadsheets and pandas write them: read, or refused with the line."""

import pytest

from evnas.arch.catalog import entry
from evnas.arch.paths import edit
from evnas.errors import SpecError
from evnas.search.strategies.warm_csv import rows_of_csv

M1 = entry("efficientvim_m1").arch
PLAIN = b"stages[*].depth,stages[2].dim\n2,384\n"


def read(tmp_path, raw):
    path = tmp_path / "x.csv"
    path.write_bytes(raw)
    return list(rows_of_csv(path, M1))


@pytest.mark.parametrize(
    "raw",
    [
        PLAIN,
        b"\xef\xbb\xbf" + PLAIN,
        PLAIN.replace(b"\n", b"\r\n"),
        b'"stages[*].depth", stages[2].dim\n" 2","384"\n',
    ],
    ids=["plain", "byte order mark", "windows", "quoted"],
)
def test_forms_of_one_table(tmp_path, raw):
    expected = edit(M1, {"stages[*].depth": 2, "stages[2].dim": 384})
    assert read(tmp_path, raw) == [("x.csv:2", expected)]


def test_empty_lines_are_none_and_empty_cells_change_nothing(tmp_path):
    found = read(tmp_path, b"\nstages[*].depth,stages[2].dim\n\n2,\n")
    assert found == [("x.csv:4", edit(M1, {"stages[*].depth": 2}))]


@pytest.mark.parametrize(
    ("raw", "want"),
    [
        (PLAIN.replace(b",", b";"), r"x\.csv:1: columns must be separated by commas, got ';'"),
        (PLAIN.replace(b",", b"\t"), r"x\.csv:1: columns must be separated by commas, got a tab"),
        (b",stages[*].depth\n0,2\n", r"x\.csv:1: .* the first column has no name; of pandas, wri"),
        (b"stages[*].depth,\n2,3\n", r"x\.csv:1: .* column 2 has no name"),
        (b"stages[*].depth,stages[*].depth\n1,2\n", r"x\.csv:1: .*'stages\[\*\]\.depth' appears"),
        (PLAIN + b"3\n", r"x\.csv:3: a row must have a value per column, got 1 for 2"),
        (PLAIN + b"3,4,5\n", r"x\.csv:3: a row must have a value per column, got 3 for 2"),
        (PLAIN + b"\n# an earlier run\n", r"x\.csv:4: .* CSV knows no comments: '# an earlier"),
        (b"", r"x\.csv: must hold a header .* and a row"),
        (b"stages[*].depth\n", r"x\.csv: must hold a header .* and a row"),
        (b"stages[*].depth\n010\n", r"x\.csv:2: stages\[\*\]\.depth: .* octal"),
        (b"stages[*].depth\n.inf\n", r"x\.csv:2: stages\[\*\]\.depth: must be a finite number"),
        (b"stages[*].depth\n\xff\n", r"x\.csv: must be UTF-8, got other bytes"),
        ("stages[*].depth\n1\n".encode("utf-16"), r"x\.csv: must be UTF-8"),
    ],
)
def test_what_is_no_such_table_is_refused_with_its_line(tmp_path, raw, want):
    with pytest.raises(SpecError, match=want):
        read(tmp_path, raw)
