from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.errors import InputError
from scripts.review.tiles import (
    OVERVIEW_SIDE,
    ScreenTile,
    coarsest_downsample,
    cut_overview,
    cut_tile,
    encode_jpeg,
    locate_tile,
    overview_stride,
    shrink,
)
from scripts.slides.pyramid import downsample_image, write_pyramid
from scripts.slides.slide import open_slide

SHAPE = (1501, 2303)


@pytest.mark.parametrize(
    ("shape", "coarsest", "stride"),
    [((1, 1), 1, 1), ((100, 2), 128, 1), ((128, 3), 128, 1), ((2048, 2049), 4096, 2), ((90_001, 4_000), 131_072, 64)],
)
def test_levels_are_powers_of_two(shape: tuple[int, int], coarsest: int, stride: int) -> None:
    assert coarsest_downsample(shape) == coarsest
    assert overview_stride(shape) == stride
    assert max(-(-side // stride) for side in shape) <= OVERVIEW_SIDE


@pytest.mark.parametrize(
    ("downsample", "row", "col", "expected"),
    [(1, 0, 0, (256, 256)), (1, 5, 8, (221, 255)), (2, 2, 4, (239, 128)), (2048, 0, 0, (1, 2)), (4096, 0, 0, (1, 1))],
)
def test_tiles_end_with_the_slide(downsample: int, row: int, col: int, expected: tuple[int, int]) -> None:
    tile = locate_tile(SHAPE, downsample, row, col)
    assert tile.shape == expected
    assert tile.location == (row * 256 * downsample, col * 256 * downsample)


@pytest.mark.parametrize(
    ("downsample", "row", "col"),
    [(0, 0, 0), (-1, 0, 0), (3, 0, 0), (8192, 0, 0), (1, 6, 0), (1, 0, 9), (1, -1, 0), (1, 0, -1)],
)
def test_other_tiles_are_refused(downsample: int, row: int, col: int) -> None:
    with pytest.raises(InputError, match="no tile"):
        locate_tile(SHAPE, downsample, row, col)


@pytest.mark.parametrize("backend", ["openslide", pytest.param("cucim", marks=pytest.mark.cucim)])
def test_tiles_are_the_slides_pixels(tmp_path: Path, backend: str) -> None:
    """At levels that the file has, at the edges too, against the array that was written."""
    image = np.random.default_rng(0).integers(0, 255, (*SHAPE, 3), dtype=np.uint8)
    write_pyramid(tmp_path / "a.tif", image, 0.25, downsamples=(1, 4), compression="zlib")
    with open_slide(tmp_path / "a.tif", backend) as slide:
        for row, col in ((0, 0), (3, 7), (5, 8)):
            top, left = row * 256, col * 256
            found = cut_tile(slide, locate_tile(SHAPE, 1, row, col))
            assert np.array_equal(found, image[top : top + 256, left : left + 256])
        found = cut_tile(slide, locate_tile(SHAPE, 2, 2, 4))
        expected = downsample_image(image, 2)[512:, 1024:]
        assert found.shape == expected.shape
        assert np.abs(found[:-1, :-1].astype(int) - expected[:-1, :-1]).mean() < 16, "noise, resampled otherwise"


def test_coarse_tiles_are_means_of_the_overview() -> None:
    overview = np.random.default_rng(0).integers(0, 255, (751, 1152, 3), dtype=np.uint8)
    assert np.array_equal(cut_overview(overview, 2, ScreenTile(2, 2, 4, (239, 128))), overview[512:, 1024:])
    found = cut_overview(overview, 2, ScreenTile(8, 0, 1, (188, 32)))
    assert found.shape == (188, 32, 3)
    assert np.abs(found.astype(int) - downsample_image(overview, 4)[:, 256:]).max() <= 1


def test_thumbnails_keep_proportions() -> None:
    assert shrink(np.zeros((2000, 500, 3), dtype=np.uint8)).shape == (192, 48, 3)
    assert shrink(np.zeros((20, 5, 3), dtype=np.uint8)).shape == (20, 5, 3)


def test_jpeg_keeps_colors() -> None:
    """At full resolution: a red line of one pixel stays red."""
    pixels = np.full((31, 47, 3), 235, dtype=np.uint8)
    pixels[:, 20] = (200, 0, 60)
    with Image.open(io.BytesIO(encode_jpeg(pixels))) as picture:
        found = np.asarray(picture).astype(int)
    assert picture.format == "JPEG"
    assert found.shape == pixels.shape
    assert np.abs(found - pixels).mean() < 6
    assert found[15, 20, 0] - found[15, 20, 1] > 100
