"""Frames and grids: level-0 pixels, probability maps and masks, label grids. Pure numpy, no files.

Every pair is (row, col). A *map* or *mask* of a slide has one pixel per ``stride`` x ``stride`` level-0 pixels;
its pixel (r, c) stands for the level-0 point ((r + 0.5) * stride, (c + 0.5) * stride).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError

REGION_SIZE = 768
"""Side of a training region in pixels at the model's resolution (NCRF: a 3 x 3 grid of 256 px cells)."""

CELL_SIZE = 256
"""Side of one label cell in pixels; a cell's label is that of its center (NCRF)."""

GRID_SHAPE = (3, 3)
"""(rows, cols) of label cells in a region."""

PATCH_SIZE = 224
"""Side of the patch that the network sees, in pixels at the model's resolution."""

MAX_PATCH_SIZE = 10_000
"""No patch has more pixels a side."""

COORDINATE_LIMIT = 1e9
"""Level-0 coordinates are below this, far beyond any slide; NaN and infinity are not."""

MPP_LIMITS = (0.01, 100.0)
"""µm per pixel that a microscope's picture may have; beyond lie slips of units, such as pixels per cm."""


def check_mpp(name: str, value: Any) -> float:
    """Return a resolution.

    Args:
        name: of the setting.
        value: what was given.

    Raises:
        InputError: if it is no number of µm per pixel within `MPP_LIMITS`.
    """
    low, high = MPP_LIMITS
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InputError(f"{name} must be a number of µm per pixel from {low:g} to {high:g}, but got {value!r:.40}")
    return float(value)


def map_shape(slide_shape: tuple[int, int], stride: int) -> tuple[int, int]:
    """Shape of a map or mask of a slide.

    Args:
        slide_shape: (height, width) of the slide in level-0 pixels.
        stride: level-0 pixels per map pixel, positive.

    Returns:
        (ceil(height / stride), ceil(width / stride)).

    Raises:
        ValueError: if ``stride`` is not a positive integer.
    """
    if int(stride) != stride or stride < 1:
        raise ValueError(f"stride must be a positive integer, but got {stride}")
    height, width = slide_shape
    return -(-height // int(stride)), -(-width // int(stride))


def map_to_level0(map_locations: npt.ArrayLike, stride: int) -> npt.NDArray[np.int64]:
    """Level-0 pixels at the centers of map pixels.

    Args:
        map_locations: (..., 2) integers, (row, col) on the map.
        stride: level-0 pixels per map pixel.

    Returns:
        (..., 2) int64, (row, col), level-0 frame: floor((location + 0.5) * stride).
    """
    return np.floor((np.asarray(map_locations, dtype=np.float64) + 0.5) * stride).astype(np.int64)


def level0_to_map(locations: npt.ArrayLike, stride: int) -> npt.NDArray[np.int64]:
    """Map pixels that hold level-0 points; the inverse of `map_to_level0`.

    Args:
        locations: (..., 2), (row, col), level-0 frame.
        stride: level-0 pixels per map pixel.

    Returns:
        (..., 2) int64, (row, col) on the map.
    """
    return np.floor(np.asarray(locations, dtype=np.float64) / stride).astype(np.int64)


def cell_centers(
    centers: npt.ArrayLike, grid_shape: tuple[int, int] = GRID_SHAPE, cell_size: float = CELL_SIZE
) -> npt.NDArray[np.float64]:
    """Centers of the label cells of regions.

    Args:
        centers: (..., 2), (row, col) of the region centers, level-0 frame.
        grid_shape: (rows, cols) of cells.
        cell_size: side of a cell in level-0 pixels.

    Returns:
        (..., rows, cols, 2) float64, (row, col), level-0 frame. For a 3 x 3 grid of 256 px cells the
        offsets from the region center are -256, 0 and 256.
    """
    rows, cols = grid_shape
    row_offsets = (np.arange(rows) - (rows - 1) / 2) * cell_size
    col_offsets = (np.arange(cols) - (cols - 1) / 2) * cell_size
    offsets = np.stack(np.meshgrid(row_offsets, col_offsets, indexing="ij"), axis=-1)
    found: npt.NDArray[np.float64] = np.asarray(centers, dtype=np.float64)[..., None, None, :] + offsets
    return found


def model_downsample(slide_mpp: float, model_mpp: float, tolerance: float = 0.1) -> float:
    """Level-0 pixels per pixel that the model sees.

    Args:
        slide_mpp: µm per level-0 pixel.
        model_mpp: µm per pixel that the model was trained at.
        tolerance: relative difference up to which level 0 is taken as it is.

    Returns:
        1.0 within the tolerance, else ``model_mpp / slide_mpp``.
    """
    downsample = model_mpp / slide_mpp
    return 1.0 if abs(slide_mpp / model_mpp - 1) <= tolerance + 1e-9 else downsample


def level_downsample(slide_shape: tuple[int, int], level_shape: tuple[int, int]) -> float | None:
    """Level-0 pixels per pixel of a level.

    Pyramids are made by whole factors and their shapes rounded, so the ratio of the shapes (what readers report)
    is off by a fraction: 3301 / 826 is 3.9964 where the factor is 4.

    Args:
        slide_shape: (height, width) of level 0.
        level_shape: (height, width) of the level.

    Returns:
        The whole factor that explains both sides, rounded up or down, else the mean of the two ratios. Where several
        do, as on small levels (401 / 26 is 15.4: 15 or 16), a power of two goes first. None where no factor explains
        both sides to within a pixel, or the level is larger than level 0.
    """
    ratio = (slide_shape[0] / level_shape[0] + slide_shape[1] / level_shape[1]) / 2
    for factor in (2 ** max(0, round(np.log2(ratio))), max(1, round(ratio))):
        if all(
            side in (full // factor, -(-full // factor)) for full, side in zip(slide_shape, level_shape, strict=True)
        ):
            return float(factor)
    sides = list(zip(slide_shape, level_shape, strict=True))
    least = max(full / (side + 1) for full, side in sides)
    most = min(full / (side - 1) if side > 1 else np.inf for full, side in sides)
    return ratio if least < most and ratio >= 1 else None


def finest_level_for(downsamples: tuple[float, ...], downsample: float) -> int:
    """The coarsest level that is still at least as fine as wanted.

    Args:
        downsamples: level-0 pixels per pixel, for each level, increasing.
        downsample: the wanted level-0 pixels per pixel.

    Returns:
        The level; 0 if even that is coarser.
    """
    fine_enough = [level for level, value in enumerate(downsamples) if value <= downsample * (1 + 1e-6)]
    return fine_enough[-1] if fine_enough else 0
