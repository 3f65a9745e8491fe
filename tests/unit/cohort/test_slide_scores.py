"""Scores of slides from a table: with and without header, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.cohort.slide_scores import read_slide_scores
from scripts.errors import InputError


class _Slide(NamedTuple):
    name: str
    slide: str = ""


SLIDES = [_Slide("b"), _Slide("a")]


@pytest.mark.parametrize(
    "text",
    [
        "a.tif,0.25\nB.svs,-3\n",
        "class,slide,score\nx,b,-3\nx,a.tif,.25\n,c,7\n",
        "\ufeffScore,Slide\n-3e0,b\n0.25,a\n\n",
    ],
    ids=["no header", "more", "byte order mark"],
)
def test_read_slide_scores(tmp_path: Path, text: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text, encoding="utf-8")
    assert read_slide_scores(path, SLIDES) == [-3.0, 0.25]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected rows slide,score, found none; write it again"),
        ("slide,score,score\na,1,2\nb,1,2\n", "line 1: the column score is there twice; keep one"),
        ("a,1\n", "1 of 2 slides has no score: b"),
        ("a,1\nb,high\n", "line 2: expected slide,score, found 'b,high'"),
        ("a,1\nb,nan\n", "line 2: expected slide,score"),
        ("a,1\nb\n", "line 2: expected slide,score"),
        ("a,1\na.tif,2\nb,1\n", "line 2: a.tif has two scores"),
    ],
)
def test_read_slide_scores_refuses(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_slide_scores(path, SLIDES)
    with pytest.raises(InputError, match="no such file"):
        read_slide_scores(tmp_path / "none.csv", SLIDES)
