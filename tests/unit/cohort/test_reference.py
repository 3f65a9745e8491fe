"""Reference tables: their forms and orders of columns, what they say together, and what is refused."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import permutations

import pytest

from scripts.cohort.reference import Reference, read_references
from scripts.errors import InputError

ROWS = [
    ["Test_001", "Tumor", "IDC", "Macro"],
    ["test_002.tif", "Normal", "DCIS", "None"],
    ["images/Test_003.TIFF", "Tumor", "IDC with colloid, mixed", "Micro"],
    ["test_004", "normal", "IDC", "none"],
]
EXPECTED = {
    "test_001": (True, "IDC", "macro", None),
    "test_002": (False, "DCIS", "none", None),
    "test_003": (True, "IDC with colloid, mixed", "micro", None),
    "test_004": (False, "IDC", "none", None),
}
HEADER = ["slide", "class", "type", "metastasis"]


def write(tmp_path, rows, name="reference.csv", encoding="utf-8"):
    with open(tmp_path / name, "w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows(rows)
    return tmp_path / name


def said(references):
    return {key: row[1:] for key, row in references.items()}


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
@pytest.mark.parametrize("has_header", [False, True], ids=["plain", "header"])
def test_columns_in_any_order(tmp_path, order, has_header):
    rows = [[row[index] for index in order] for row in ([HEADER] if has_header else []) + ROWS]
    assert said(read_references(write(tmp_path, rows))) == EXPECTED


@pytest.mark.parametrize(
    "header",
    [
        ["image", "type", "histology", "size"],
        ["Image Name", "label", "Histological type", "Metastasis"],
        ["file-name", "what", "subtype", "how large"],
    ],
    ids=lambda names: names[0],
)
def test_headers_in_other_words(tmp_path, header):
    assert said(read_references([write(tmp_path, [header, *ROWS], encoding="utf-8-sig")])) == EXPECTED


def test_only_some_columns(tmp_path):
    assert said(read_references(write(tmp_path, [row[:2] for row in ROWS]))) == {
        key: (value[0], None, None, None) for key, value in EXPECTED.items()
    }
    rows = [["label", "hospital", "slide_name"], ["0", "Radboud", "test_002"], ["1", "", "test_001"]]
    assert said(read_references(write(tmp_path, rows))) == {
        "test_002": (False, None, None, "Radboud"),
        "test_001": (True, None, None, None),
    }


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_names_are_told_from_types_that_differ_too(tmp_path, order):
    rows = [["test_001", "Tumor", "IDC"], ["test_002", "Normal", "DCIS"], ["test_003", "Normal", "ILC"]]
    found = read_references(write(tmp_path, [[row[index] for index in order] for row in rows]))
    assert list(found) == ["test_001", "test_002", "test_003"]
    assert [row.histological_type for row in found.values()] == ["IDC", "DCIS", "ILC"]


def test_tables_add_to_each_other(tmp_path):
    centers = [["slide", "center"], ["TEST_001", "Utrecht"], ["test_009", "Radboud"]]
    found = read_references([write(tmp_path, ROWS), write(tmp_path, centers, "centers.csv")])
    assert found["test_001"][1:] == (True, "IDC", "macro", "Utrecht")
    assert found["test_001"].place == f"{tmp_path}/reference.csv, row 1 and {tmp_path}/centers.csv, row 2"
    assert found["test_009"][1:] == (None, None, None, "Radboud")
    assert read_references(()) == {}
    other = write(tmp_path, [["test_002", "Tumor"]], "other.csv")
    with pytest.raises(InputError, match=r"other\.csv, row 1: is_tumor differs from .*reference\.csv, row 2; mend one"):
        read_references([tmp_path / "reference.csv", other])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no slide"),
        ([HEADER], "expected columns slide, class"),
        (
            [["test_001", "Tumor"], ["test_002", "Normal", "IDC"]],
            "row 2: expected 2 cells as in the first row, found 3",
        ),
        ([["test_001", "Tumor"], ["Test_001.tif", "Tumor"]], "none; expected columns|already in .* row 1; keep one"),
        ([["test_001", "Tumor", "a"], ["test_002", "Tumor", "a"], ["TEST_001", "Normal", "b"]], "row 3: the slide"),
        ([["slide", "class", "notes"], ["a", "Tumor", "x"]], "row 1: unknown column 'notes'; expected some of slide,"),
        ([["slide", "class"], ["a", "Tumor"], ["b", "maybe"]], "row 3: class: expected Normal or Tumor, found 'maybe'"),
        ([["slide", "class"], ["a", "Tumor"], ["b", ""], ["c", "1"]], "row 3: class: expected Normal or Tumor, found"),
        ([["a", "Normal", "Macro"], ["b", "Normal", "None"]], "row 1: contradicts itself: Normal, and a metastasis"),
        ([["slide", "class", "size"], ["a", "Tumor", "huge"]], "row 2: metastasis: expected Macro, Micro, ITC or None"),
        ([["class", "center"], ["Tumor", "A"]], "expected one column of the slide, found none"),
        ([["slide", "image"], ["a", "b"]], "expected one column of the slide, found several"),
        ([["slide", "class"], ["", "Tumor"]], "row 2: expected the name of a slide, found none"),
        ([["a", "Tumor", "x", "y", "1"]], "name other columns in a header"),
        ([["a", "Tumor"], ["b", "Tumr"]], "row 2: class: expected Normal or Tumor, found 'Tumr'"),
        ([["a", "Tumor", "IDC", "Macro"], ["b", "Tumor", "IDC", "Makro"]], "row 2: metastasis: expected Macro, Micro"),
        ([["a;Tumor;IDC"], ["b;Normal;IDC"]], "row 1: expected columns slide, .* with commas between them, found one"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_tables_that_are_refused(tmp_path, rows, message):
    with pytest.raises(InputError, match=message) as caught:
        read_references(write(tmp_path, rows))
    assert str(tmp_path / "reference.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        read_references(tmp_path / "none.csv")
    (tmp_path / "image.csv").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(InputError, match=r"image\.csv: not a readable CSV file"):
        read_references(tmp_path / "image.csv")


def test_camelyon16s_table(shared_data):
    path = shared_data / "camelyon16_test" / "GT.csv"
    if not path.is_file():
        pytest.skip(f"no reference table: {path} is not there")
    found = read_references(path)
    assert len(found) == 130
    assert Counter(row.is_tumor for row in found.values()) == {False: 80, True: 50}
    assert Counter(row.metastasis for row in found.values()) == {"none": 80, "micro": 28, "macro": 22}
    assert found["test_114"] == Reference(f"{path}, row 114", True, "ILC", "macro")
    assert found["test_008"].histological_type == "Ductulolobular"
