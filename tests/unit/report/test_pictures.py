from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from scripts.errors import InputError
from scripts.report.pictures import slide_picture

OVERVIEW = np.full((60, 101, 3), 235, dtype=np.uint8)
PROB_MAP = np.zeros((15, 26), dtype=np.float32)
PROB_MAP[3:5, 18:24] = 1.0
CYAN = (0x00, 0xE0, 0xFF)


def draw(path: Path, truth: npt.NDArray[np.bool_] | None, prob_map: npt.NDArray[np.float32] = PROB_MAP) -> Any:
    slide_picture(path, OVERVIEW, prob_map, truth, "test_001 (synthetic)")
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


def where_is(picture: npt.NDArray[np.int64], color: tuple[int, int, int]) -> npt.NDArray[np.int64]:
    return np.argwhere(np.abs(picture - color).max(axis=-1) < 40)


def test_picture_shows_slide_and_map_side_by_side(tmp_path: Path) -> None:
    picture = draw(tmp_path / "a.png", None)
    without = draw(tmp_path / "b.png", None, np.zeros_like(PROB_MAP))
    height, width = picture.shape[:2]
    assert width > height
    rows, cols = np.nonzero(np.abs(picture - without).max(axis=-1) > 20)
    assert cols.min() > width / 2, "the map lies on the right"
    assert rows.max() < height / 2, "its hot spot above the middle, as in the array"
    assert (cols.min() - width / 2) / (width / 2) > 0.5, "and to the right"


def test_truth_is_outlined_on_both(tmp_path: Path) -> None:
    truth = np.zeros((30, 52), dtype=bool)
    truth[4:12, 34:50] = True
    picture = draw(tmp_path / "a.png", truth)
    found = where_is(picture, CYAN)
    middle = picture.shape[1] / 2
    assert (found[:, 1] < middle).any()
    assert (found[:, 1] > middle).any()
    assert len(where_is(draw(tmp_path / "b.png", None), CYAN)) == 0


@pytest.mark.parametrize("value", [False, True])
def test_truth_without_an_outline_is_no_problem(tmp_path: Path, value: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as matplotlib's about a contour that is nowhere
        picture = draw(tmp_path / "a.png", np.full((30, 52), value))
    assert len(where_is(picture, CYAN)) == 0


def test_picture_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        slide_picture(tmp_path / "gone" / "a.png", OVERVIEW, PROB_MAP, None, "title")
    assert list(tmp_path.iterdir()) == []
