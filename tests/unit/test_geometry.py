from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scripts import geometry
from scripts.geometry import (
    cell_centers,
    finest_level_for,
    level0_to_map,
    level_downsample,
    map_shape,
    map_to_level0,
    model_downsample,
)

STRIDES = [1, 2, 3, 4, 16, 64, 100]
SIDES = st.integers(1, 250_000)


@given(height=SIDES, width=SIDES, stride=st.sampled_from(STRIDES))
def test_map_shape_covers_the_slide_and_no_more(height: int, width: int, stride: int) -> None:
    rows, cols = map_shape((height, width), stride)
    assert (rows - 1) * stride < height <= rows * stride
    assert (cols - 1) * stride < width <= cols * stride


@pytest.mark.parametrize("stride", [0, -64, 1.5, float("nan")])
def test_map_shape_refuses_strides(stride: float) -> None:
    with pytest.raises(ValueError, match=r"stride must be a positive integer|NaN"):
        map_shape((301, 205), stride)  # type: ignore[arg-type]


def test_map_shape_takes_whole_floats() -> None:
    assert map_shape((301, 205), 64.0) == (5, 4)  # type: ignore[arg-type]


@given(
    locations=st.lists(st.tuples(st.integers(-50, 4000), st.integers(-50, 4000)), min_size=1, max_size=5),
    stride=st.sampled_from(STRIDES),
)
def test_map_and_level0_round_trip(locations: list[tuple[int, int]], stride: int) -> None:
    level0 = map_to_level0(locations, stride)
    assert level0.dtype == np.int64
    assert level0.shape == (len(locations), 2)
    np.testing.assert_array_equal(level0_to_map(level0, stride), locations)


@given(row=st.integers(0, 200_000), col=st.integers(0, 200_000), stride=st.sampled_from(STRIDES))
def test_each_point_lies_in_the_box_of_its_map_pixel(row: int, col: int, stride: int) -> None:
    map_row, map_col = level0_to_map((row, col), stride)
    assert map_row * stride <= row < (map_row + 1) * stride
    assert map_col * stride <= col < (map_col + 1) * stride


@given(height=SIDES, width=SIDES, stride=st.sampled_from(STRIDES), row=st.integers(0), col=st.integers(0))
def test_points_inside_the_slide_lie_on_the_map(height: int, width: int, stride: int, row: int, col: int) -> None:
    map_location = level0_to_map((row % height, col % width), stride)
    assert (map_location >= 0).all()
    assert (map_location < map_shape((height, width), stride)).all()


def test_map_to_level0_is_the_middle_of_the_box() -> None:
    np.testing.assert_array_equal(map_to_level0([[0, 0], [2, 5]], 64), [[32, 32], [160, 352]])
    np.testing.assert_array_equal(map_to_level0([2, 5], 3), [7, 16])
    np.testing.assert_array_equal(map_to_level0([2, 5], 1), [2, 5])


def test_cell_centers_are_256_apart_rows_first() -> None:
    centers = cell_centers((1000, 5000))
    assert centers.shape == (3, 3, 2)
    np.testing.assert_array_equal(centers[:, :, 0] - 1000, [[-256] * 3, [0] * 3, [256] * 3])
    np.testing.assert_array_equal(centers[:, :, 1] - 5000, [[-256, 0, 256]] * 3)


def test_cell_centers_of_many_regions_and_other_grids() -> None:
    centers = cell_centers([[1000, 5000], [30, 70]], grid_shape=(2, 5), cell_size=10)
    assert centers.shape == (2, 2, 5, 2)
    np.testing.assert_array_equal(centers[1, :, 0, 0], [25, 35])
    np.testing.assert_array_equal(centers[1, 0, :, 1], [50, 60, 70, 80, 90])


def test_cells_tile_the_region() -> None:
    assert geometry.GRID_SHAPE[0] * geometry.CELL_SIZE == geometry.REGION_SIZE
    corners = cell_centers((0, 0)) - geometry.CELL_SIZE / 2
    assert corners.min() == -geometry.REGION_SIZE / 2


@pytest.mark.parametrize("slide_mpp", [0.243, 0.22, 0.25, 0.2673, 0.2187])
def test_model_downsample_is_one_within_a_tenth(slide_mpp: float) -> None:
    assert model_downsample(slide_mpp, 0.243) == 1.0


@pytest.mark.parametrize(
    ("slide_mpp", "expected"), [(0.499, 0.243 / 0.499), (0.1215, 2.0), (0.27, 0.9), (0.2186, 1.1116)]
)
def test_model_downsample_outside_a_tenth(slide_mpp: float, expected: float) -> None:
    assert model_downsample(slide_mpp, 0.243) == pytest.approx(expected, rel=1e-4)


def test_model_downsample_tolerance() -> None:
    assert model_downsample(0.25, 0.243, tolerance=0.01) == pytest.approx(0.972)


@given(
    height=st.integers(400, 250_000),
    width=st.integers(400, 250_000),
    factor=st.sampled_from([2, 3, 4, 16]),
    rounding=st.sampled_from([math.ceil, math.floor]),
)
def test_level_downsample_recovers_whole_factors(height: int, width: int, factor: int, rounding: object) -> None:
    assert callable(rounding)
    level_shape = (rounding(height / factor), rounding(width / factor))
    assert level_downsample((height, width), level_shape) == factor


@pytest.mark.parametrize(
    ("slide_shape", "level_shape", "expected"),
    [
        ((3301, 2203), (826, 551), 4),
        ((3301, 2203), (825, 550), 4),
        ((3301, 2203), (207, 138), 16),
        ((3301, 2203), (206, 137), 16),
        ((3301, 2203), (826, 550), 4),
        ((401, 417), (26, 27), 16),
        ((97_793, 201_001), (192, 393), 512),
        ((3301, 2203), (1101, 735), 3),
        ((3301, 2203), (3301, 2203), 1),
    ],
)
def test_level_downsample_of_odd_slides(
    slide_shape: tuple[int, int], level_shape: tuple[int, int], expected: float
) -> None:
    assert level_downsample(slide_shape, level_shape) == expected


def test_level_downsample_that_is_no_whole_number() -> None:
    assert level_downsample((1000, 2000), (400, 800)) == 2.5
    assert level_downsample((1000, 2000), (300, 600)) == pytest.approx(10 / 3)
    assert level_downsample((3301, 1999), (733, 444)) == pytest.approx((3301 / 733 + 1999 / 444) / 2)


@pytest.mark.parametrize(
    "level_shape",
    [(250, 520), (1024, 1024), (512, 512), (333, 660), (1001, 2001), (2000, 4000), (998, 2000)],
)
def test_level_downsample_of_sides_that_disagree(level_shape: tuple[int, int]) -> None:
    assert level_downsample((1000, 2000), level_shape) is None


@given(
    rest=st.lists(st.floats(1.5, 4), max_size=6),
    downsample=st.floats(0.1, 300),
)
def test_finest_level_for_against_a_slow_search(rest: list[float], downsample: float) -> None:
    downsamples = tuple(np.cumprod([1.0, *rest]).tolist())
    assume(all(abs(value / downsample - 1) > 1e-5 for value in downsamples))
    level = 0
    while level + 1 < len(downsamples) and downsamples[level + 1] < downsample:
        level += 1
    assert finest_level_for(downsamples, downsample) == level


@pytest.mark.parametrize(("downsample", "level"), [(0.5, 0), (1, 0), (3.9, 0), (4, 1), (15.999, 1), (16, 2), (64, 2)])
def test_finest_level_for(downsample: float, level: int) -> None:
    assert finest_level_for((1.0, 4.0, 16.0), downsample) == level
    assert finest_level_for((1.0, 4.000002, 16.000008), downsample) == level
