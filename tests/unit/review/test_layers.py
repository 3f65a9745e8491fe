from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from scripts.errors import InputError
from scripts.review.layers import MAP_TILE_SIDE, limited_palette, map_pyramid, map_tile


def pixels(png: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGBA"))


def test_pyramid_loses_nothing_small() -> None:
    prob_map = np.zeros((37, 101), dtype=np.float32)
    prob_map[36, 100] = 1.0
    levels = map_pyramid(prob_map)
    assert [level.shape for level in levels] == [
        *((37, 101), (19, 51), (10, 26), (5, 13), (3, 7)),
        *((2, 4), (1, 2), (1, 1)),
    ]
    assert all(level[-1, -1] == 255 and level.astype(int).sum() == 255 for level in levels)


def test_only_zero_is_outside() -> None:
    levels = map_pyramid(np.array([[0.0, 1e-6, 0.5, 1.0]], dtype=np.float32))
    assert levels[0].tolist() == [[0, 1, 128, 255]]


def test_tile_shows_probabilities_from_the_limit_on() -> None:
    prob_map = np.tile(np.linspace(0, 1, MAP_TILE_SIDE + 90, dtype=np.float32), (700, 1))
    levels = map_pyramid(prob_map)
    left, right = (pixels(map_tile(levels, 0, 1, col, 0.3)) for col in (0, 1))
    assert left.shape == (700 - MAP_TILE_SIDE, MAP_TILE_SIDE, 4)
    assert right.shape == (700 - MAP_TILE_SIDE, 90, 4)
    shown = np.concatenate([left, right], axis=1)[0, :, 3] > 0
    assert np.array_equal(shown, np.ceil(prob_map[0] * 255) >= np.ceil(0.3 * 255))
    assert (shown[prob_map[0] >= 0.3]).all()


def test_palette_of_no_limit_is_that_of_all_pages() -> None:
    from scripts.maps.palette import heat_palette

    assert np.array_equal(limited_palette(0), heat_palette(256))
    assert not limited_palette(1)[:-1, 3].any()


@pytest.mark.parametrize(
    ("halvings", "row", "col", "above"),
    [(-1, 0, 0, 0.1), (7, 0, 0, 0.1), (0, 1, 0, 0.1), (0, 0, 1, 0.1), (0, -1, 0, 0.1), (0, 0, 0, 1.01)],
)
def test_other_tiles_are_refused(halvings: int, row: int, col: int, above: float) -> None:
    with pytest.raises(InputError, match="no tile"):
        map_tile(map_pyramid(np.zeros((30, 60), dtype=np.float32)), halvings, row, col, above)
