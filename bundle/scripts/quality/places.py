"""A few places of a slide's tissue, spread over it, whose pixels are read to judge the slide."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..slides.slide import Slide


class Place(NamedTuple):
    """A square on the mask, judged by one place in it.

    Attributes:
        rows: of the mask.
        cols: of the mask.
        center: (row, col) of the mask pixel around which pixels are read.
    """

    rows: slice
    cols: slice
    center: tuple[int, int]


def choose_places(tissue: npt.NDArray[np.bool_], at_most: int) -> list[Place]:
    """Cut tissue into squares, as small as that many allow, each with the pixel that has most tissue around it.

    Args:
        tissue: (rows, cols) bool.
        at_most: squares.

    Returns:
        The squares that hold tissue.
    """
    from scipy import ndimage

    if not tissue.any():
        return []
    side = max(1, int(np.sqrt(tissue.sum() / at_most)))
    while True:
        rows, cols = (-(-axis // side) for axis in tissue.shape)
        missing = (rows * side - tissue.shape[0], cols * side - tissue.shape[1])
        padded = np.pad(tissue, [(0, missing[0]), (0, missing[1])])
        counts = padded.reshape(rows, side, cols, side).sum(axis=(1, 3))
        # squares that hold next to nothing would cost as much as full ones
        is_full = counts >= 0.05 * side**2
        if is_full.sum() <= at_most:
            break
        side += max(1, side // 8)
    places = []
    for row, col in np.argwhere(is_full):
        part = slice(int(row) * side, (int(row) + 1) * side), slice(int(col) * side, (int(col) + 1) * side)
        inside = tissue[part]
        density = ndimage.uniform_filter(inside.astype(np.float32), max(1, side // 4), mode="constant")
        top, left = np.unravel_index(int(np.argmax(density * inside)), inside.shape)
        places.append(Place(*part, (part[0].start + int(top), part[1].start + int(left))))
    return places


def read_place(
    slide: Slide, center: tuple[int, int], stride: int, side: int, downsample: float
) -> npt.NDArray[np.uint8]:
    """Read the pixels around a mask pixel, moved so that as few compressed tiles as possible are decoded.

    Args:
        slide: the slide.
        center: (row, col) of the mask pixel.
        stride: level-0 pixels per mask pixel.
        side: of what is read, in pixels of ``downsample``.
        downsample: level-0 pixels per pixel that is read.

    Returns:
        (side, side, 3) uint8 RGB.

    Raises:
        InputError: if a tile is damaged.
    """
    location = in_one_cell(slide, (center[0] * stride, center[1] * stride), side, downsample)
    return slide.read_region(location, (side, side), downsample)


def in_one_cell(slide: Slide, point: tuple[int, int], side: int, downsample: float) -> tuple[float, float]:
    """Where to read around a level-0 point so that as few compressed tiles as possible are decoded: (row, col)."""
    length = side * downsample
    region = slide.locate_region((0.0, 0.0), (side, side), downsample)
    scale = slide.downsamples[region.level]
    location = []
    for place, cell, full in zip(point, slide.cell_shapes[region.level], slide.shape, strict=True):
        cell_side = cell * scale
        start = place - length / 2
        first = np.floor(place / cell_side) * cell_side
        margin = 8 * scale  # of resampling
        if cell_side >= length + 2 * margin:
            start = min(max(start, first + margin), first + cell_side - length - margin)
        location.append(float(np.floor(min(max(start, 0.0), max(0.0, full - length)))))
    return location[0], location[1]
