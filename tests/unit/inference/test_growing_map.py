"""Maps that fill up tile by tile."""

import json

import numpy as np
import pytest

from scripts.inference.growing_map import GrowingMap, GrowingScreen
from scripts.inference.screening import make_screen
from scripts.inference.tile_plan import SlidePlan, Tile

PLAN = SlidePlan("folder/a.tif", (700, 450), 0.25, 64, 1.0, (11, 8), "otsu", "openslide", 5, 3)


def tile(location: tuple[int, int], positions: np.ndarray) -> Tile:
    return Tile(PLAN.path, PLAN, location, positions)


def test_tiles_land_at_their_place_and_only_inside_the_foreground():
    growing = GrowingMap(PLAN)
    first = np.array([[True, False, True], [False, True, False]])
    areas = [growing.take(tile((8, 4), first), np.full((2, 3), 0.25, dtype=np.float32))]
    areas.append(growing.take(tile((0, 1), np.ones((1, 2), dtype=bool)), np.array([[0.5, 0.75]], dtype=np.float32)))
    expected = np.zeros((11, 8), dtype=np.float32)
    expected[8, 4] = expected[8, 6] = expected[9, 5] = 0.25
    expected[0, 1:3] = 0.5, 0.75
    np.testing.assert_array_equal(growing.values, expected)
    assert growing.values.dtype == np.float32
    assert growing.tiles_left == 1
    assert areas == pytest.approx([3 * 0.016**2, 2 * 0.016**2])


def test_a_tile_without_positions_changes_nothing_but_the_count():
    growing = GrowingMap(PLAN)
    assert growing.take(tile((10, 7), np.zeros((1, 1), dtype=bool)), None) == 0
    assert growing.tiles_left == 2
    assert not growing.values.any()


def test_description_is_of_the_slide_and_can_be_written():
    growing = GrowingMap(PLAN)
    growing.take(tile((3, 5), np.ones((1, 1), dtype=bool)), np.array([[0.875]], dtype=np.float32))
    about = json.loads(json.dumps(growing.describe()))
    assert about.pop("seconds") >= 0
    assert about == {
        "slide": "a.tif",
        "shape": [700, 450],
        "stride": 64,
        "mpp": 0.25,
        "bounds_origin": [0, 0],
        "bounds_shape": [700, 450],
        "model_downsample": 1.0,
        "mask": "otsu",
        "backend": "openslide",
        "cucim_fault": None,
        "num_positions": 5,
        "num_tiles": 3,
        "artifacts": None,
        "sharpness": None,
        "appearance": None,
        "notes": [],
        "max_probability": 0.875,
    }


def test_a_screen_says_where_the_network_looks_and_fills_the_rest():
    look = PLAN._replace(stride=64, map_shape=(5, 7), num_positions=34, num_tiles=0)
    plan = look._replace(stride=128, downsample=4.0, map_shape=(3, 4), num_positions=12, num_tiles=2, look=look)
    foreground = np.ones((5, 7), dtype=bool)
    foreground[4, 0] = False
    screen = GrowingScreen(plan)
    upper, lower = np.full((2, 4), 0.125, dtype=np.float32), np.full((1, 4), 0.25, dtype=np.float32)
    upper[0, 3] = 0.5
    for row, values in ((2, lower), (0, upper)):
        under = foreground[2 * row : 2 * (row + len(values))]
        screen.take(Tile(PLAN.path, plan, (row, 0), np.ones(values.shape, dtype=bool), foreground=under), values)
    assert screen.tiles_left == 0

    chosen, rest = screen.finish(make_screen(0.972, 0.243, 96, above=0.25, margin_um=31.0))
    expected = np.zeros((5, 7), dtype=bool)
    expected[0:4, 4:7] = True  # 128 pixels of 0.25 µm are 32 µm, so one position around the one in the corner
    np.testing.assert_array_equal(chosen, expected)
    values = np.where(expected, 0, np.float32(0.125))
    values[4] = np.nextafter(np.float32(0.25), np.float32(0))  # held below the limit
    values[4, 0] = 0
    np.testing.assert_array_equal(rest.values, values.astype(np.float32))
    assert rest.about == {
        "num_positions": 34,
        "screen_stride": 128,
        "screen_positions": 12,
        "looked_at": round(12 / 34, 6),
    }

    growing = GrowingMap(look._replace(num_positions=12, num_tiles=1), rest)
    growing.take(Tile(PLAN.path, look, (0, 4), np.ones((4, 3), dtype=bool)), np.full((4, 3), 0.75, dtype=np.float32))
    np.testing.assert_array_equal(growing.values, np.where(expected, np.float32(0.75), rest.values))
    assert growing.describe()["num_positions"] == 34
