from __future__ import annotations

from pathlib import Path

import pytest

from scripts.errors import InputError
from scripts.folders.tables import check_names, find_columns, read_table

COLUMNS = ("slide", "action", "reason")


def write(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "list.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_read_table_takes_columns_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path, '\ufeffaction, slide\r\nremove , a\r\n\r\nnormal,"b, c"\r\n')
    rows = read_table(path, COLUMNS, ["slide"])
    assert [row.cells for row in rows] == [
        {"slide": "a", "action": "remove", "reason": ""},
        {"slide": "b, c", "action": "normal", "reason": ""},
    ]
    assert [row.place for row in rows] == [f"{path}, line 2", f"{path}, line 4"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no slide; expected a CSV file with the columns slide, action, reason"),
        ("slide,action\n", "holds no slide"),
        ("slide,acton\na,remove\n", "line 1: unknown columns 'acton'; expected some of slide, action, reason"),
        ("slide;action\na;remove\n", "line 1: unknown columns 'slide;action'; .*separated by commas"),
        ("slide,slide\na,b\n", "line 1: the column slide is there twice; keep one"),
        ("action\nremove\n", "line 1: expected the column slide, found action; add it"),
        ("slide,action\na\n", "line 2: expected 2 cells as in the header, found 1; mend the line"),
        ("slide,action\na,remove,x\n", "line 2: expected 2 cells as in the header, found 3"),
        ("slide,action\na,remove\n,normal\n", "line 3: slide: is empty; fill it in, or remove the line"),
        ('slide,action\n"a,remove\n', "not a readable CSV file"),
        (b"slide,action\n\xff\xfe,remove\n", "not a readable CSV file .*in UTF-8"),
    ],
)
def test_read_table_refuses(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InputError, match=message) as caught:
        read_table(path, COLUMNS, ["slide"])
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_read_table_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; expected a CSV file"):
        read_table(tmp_path / "none.csv", COLUMNS, ["slide"])


def test_check_names_in_any_case() -> None:
    check_names(["a", "b"], ["x, line 2", "x, line 3"])
    with pytest.raises(InputError, match=r"^x, line 3: the slide 'A' is already in x, line 2 .*keep one"):
        check_names(["a", "A"], ["x, line 2", "x, line 3"])


def test_find_columns_takes_the_first_header_that_is_there() -> None:
    rows = [(1, ["x", " Slide", "CLASS "]), (2, ["1", "a", "b"])]
    assert find_columns("t.csv", rows, ("slide", "class"), ("x", "slide")) == (1, 2)
    assert find_columns("t.csv", rows, ("slide", "score"), ("x", "slide")) == (0, 1)
    assert find_columns("t.csv", rows, ("slide", "score")) is None
    with pytest.raises(InputError, match=r"^t\.csv, line 1: the column slide is there twice; keep one$"):
        find_columns("t.csv", [(1, ["slide", "x", "slide"])], ("slide", "x"))
