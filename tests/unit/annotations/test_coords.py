"""Coordinate files: what is read, and what is refused with its line."""

from __future__ import annotations

import pytest

from helpers.annotation_forms import write
from helpers.refusals import refusal
from scripts.annotations.coords import read_coords
from scripts.errors import InputError


def test_read_coords(tmp_path):
    path = write(tmp_path / "c.txt", "\ufeff001,10,20\r\nTumor_1, 30.0 ,0\r\n\r\n  \r\n")
    assert read_coords(path) == [("001", 20, 10), ("Tumor_1", 0, 30)]
    assert all(type(item.row) is int for item in read_coords(path))


BAD_COORDS = {
    "underscore": ("a,1_000,2\n", 1, "1_000"),
    "arabic": ("a,\u0663,2\n", 1, "whole level-0 pixels"),
    "header": ("slide,x,y\na,1,2\n", 1, "remove the header"),
    "blank": ("a,1,2\n\nb,1,2\n", 2, "blank"),
    "spaces": ("a,1,2\n ,\nb,1,2\n", 2, "blank"),
    "first_blank": ("\na,1,2\n", 1, "blank"),
    "too_few": ("a,1,2\nb,1\n", 2, "expected 3 columns"),
    "too_many": ("a,1,2\nb,1,2,0\n", 2, "expected 3 columns"),
    "text": ("a,1,2\nb,one,2\n", 2, "b,one,2"),
    "float": ("a,1,2\na,1.5,2\n", 2, "whole"),
    "negative": ("a,1,2\na,1,-2\n", 2, "not negative"),
    "nan": ("a,nan,2\n", 1, "a,nan,2"),
    "infinite": ("a,1,inf\n", 1, "a,1,inf"),
    "huge": (f"a,1,{10**30}\n", 1, "whole"),
    "empty_number": ("a,1,\n", 1, "a,1,"),
    "no_name": ("a,1,2\n,1,2\n", 2, "name"),
}


@pytest.mark.parametrize("name", BAD_COORDS)
def test_read_coords_refuses(tmp_path, name):
    text, line, words = BAD_COORDS[name]
    assert words in refusal(read_coords, write(tmp_path / "c.txt", text), line)


def test_read_coords_refuses_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_coords(tmp_path / "none.txt")
    with pytest.raises(InputError, match="is empty"):
        read_coords(write(tmp_path / "c.txt", "\n\n"))
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00\x01" * 9)
    with pytest.raises(InputError, match="not a readable CSV"):
        read_coords(tmp_path / "b.txt")
    with pytest.raises(InputError, match="not a readable CSV"):
        read_coords(tmp_path)
