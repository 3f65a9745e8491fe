from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from scripts.errors import InputError
from scripts.report.pictures import slide_picture, strip_picture

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


# --- a strip, laid on its side --------------------------------------------------------------------------------------

STRIP = np.full((451, 50, 3), 235, dtype=np.uint8)
STRIP_MAP = np.zeros((29, 4), dtype=np.float32)  # 16 pixels of the strip per map pixel, so 464 x 64 of them
STRIP_MAP[2:9, 1] = 1.0
PARTS = (("metastasis", 0.0, 100.0), ("fat", 100.0, 225.0))


def draw_strip(path: Path, prob_map: npt.NDArray[np.float32] = STRIP_MAP, parts: Any = ()) -> Any:
    strip_picture(path, STRIP, prob_map, 0.5, 8.0, "Real tissue", parts)
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_strip_lies_on_its_side_with_its_upper_end_on_the_left(tmp_path: Path) -> None:
    picture = draw_strip(tmp_path / "a.png")
    without = draw_strip(tmp_path / "b.png", np.zeros_like(STRIP_MAP))
    height, width = picture.shape[:2]
    assert width == 1600
    rows, cols = np.nonzero(np.abs(picture - without).max(axis=-1) > 20)
    assert rows.min() > height / 2, "the map lies over the lower of the two"
    per_pixel = 1600 / 451
    assert (cols.min(), cols.max() + 1) == pytest.approx((32 * per_pixel, 144 * per_pixel), abs=1.5)
    # turned counterclockwise, so columns count upwards from the lower edge of the strip
    (strip_rows,) = np.nonzero((np.abs(without - 235) < 3).all(axis=-1).sum(axis=1) == 1600)
    lower = strip_rows.max() + 1
    assert (lower - rows.max() - 1, lower - rows.min()) == pytest.approx((16 * per_pixel, 32 * per_pixel), abs=1.5)


def test_strip_without_tissue_shows_no_color_and_a_low_probability_does(tmp_path: Path) -> None:
    without = draw_strip(tmp_path / "a.png", np.zeros_like(STRIP_MAP))
    low = draw_strip(tmp_path / "b.png", np.full_like(STRIP_MAP, 0.01))
    strips = (np.abs(without - 235) < 3).all(axis=-1)
    is_changed = np.abs(low - without).max(axis=-1) > 5
    assert is_changed.sum() == pytest.approx(strips[:, :1600].sum() / 2, rel=0.03)


def test_parts_are_named_above_the_strip(tmp_path: Path) -> None:
    plain, named = draw_strip(tmp_path / "a.png"), draw_strip(tmp_path / "b.png", parts=PARTS)
    added = len(named) - len(plain)
    assert added > 0, "they have room of their own"
    np.testing.assert_array_equal(named[-len(plain) + 70 :], plain[70:])
    lines = [row for row in (named.max(axis=-1) < 60) if row.sum() > 800]
    assert lines, "black lines, as long as the parts"
    (gap,) = np.nonzero(~lines[0][100:1500])
    assert 100 + gap.mean() == pytest.approx(1600 * 100 / 225.5, abs=4)
