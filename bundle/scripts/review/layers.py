"""A probability map as tiles of color to lay over the slide. Arrays in, PNG files out."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import InputError
from ..maps.palette import heat_palette

MAP_TILE_SIDE = 512
"""Side of a tile of the map in pixels; large, so that few seams show."""

_STEPS = 256


def map_pyramid(prob_map: npt.NDArray[np.floating[Any]]) -> list[npt.NDArray[np.uint8]]:
    """A map in 256 steps, and smaller and smaller.

    Args:
        prob_map: (rows, cols) floating in [0, 1], 0 where nothing was evaluated.

    Returns:
        (rows, cols) uint8, finest first, each half as large as the one before, down to one pixel. A pixel is the
        highest of its four, so that nothing small gets lost; 0 is outside of the tissue alone.
    """
    levels = [np.ceil(prob_map * (_STEPS - 1)).astype(np.uint8)]
    while max(levels[-1].shape) > 1:
        levels.append(_halve(levels[-1]))
    return levels


def _halve(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    padded = np.pad(values, [(0, side % 2) for side in values.shape])
    rows, cols = (side // 2 for side in padded.shape)
    highest: npt.NDArray[np.uint8] = padded.reshape(rows, 2, cols, 2).max(axis=(1, 3))
    return highest


def map_tile(levels: list[npt.NDArray[np.uint8]], halvings: int, row: int, col: int, above: float) -> bytes:
    """A tile of the map.

    Args:
        levels: of `map_pyramid`.
        halvings: how often the map was halved.
        row: of the tile, from 0.
        col: likewise.
        above: from 0 to 1; lower probabilities are left out.

    Returns:
        A PNG file with a palette and transparency.

    Raises:
        InputError: if there is no such tile.
    """
    if not 0 <= halvings < len(levels) or min(row, col) < 0 or not 0 <= above <= 1:
        raise InputError(f"the map has no tile {row}, {col} at {halvings} halvings above {above}; reload the page")
    top, left = row * MAP_TILE_SIDE, col * MAP_TILE_SIDE
    part = levels[halvings][top : top + MAP_TILE_SIDE, left : left + MAP_TILE_SIDE]
    if part.size == 0:
        raise InputError(f"the map has no tile {row}, {col} at {halvings} halvings; reload the page")
    palette = limited_palette(above)
    picture = Image.fromarray(np.ascontiguousarray(part))
    picture.putpalette(palette[:, :3].tobytes(), "RGB")
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=3, transparency=palette[:, 3].tobytes())
    return file.getvalue()


def limited_palette(above: float) -> npt.NDArray[np.uint8]:
    """The colors of `maps.palette.heat_palette` with nothing below a probability: (256, 4) uint8 RGBA."""
    palette = heat_palette(_STEPS)
    palette[np.arange(_STEPS) < np.ceil(above * (_STEPS - 1)), 3] = 0
    return palette
