"""Tiles of a slide for deep zoom: powers of two of level 0 in squares of 256 pixels. Arrays, no files.

A browser asks for the tile in row and column r, c at a downsample d: the level-0 pixels from (r, c) * 256 * d on. That
is the pyramid of Deep Zoom (Microsoft's DZI), whatever levels the file has.
"""

from __future__ import annotations

from typing import NamedTuple

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import InputError
from ..geometry import map_shape
from ..slides.slide import Slide

TILE_SIDE = 256
"""Side of a tile in pixels."""

OVERVIEW_SIDE = 2048
"""Longest side of the overview from which the coarse tiles are cut, in pixels."""

THUMBNAIL_SIDE = 192
"""Longest side of a slide in the worklist, in pixels."""

_QUALITY = 85


class ScreenTile(NamedTuple):
    """A place in the pyramid.

    Attributes:
        downsample: level-0 pixels per pixel, a power of two.
        row: of the tile, from 0.
        col: likewise.
        shape: (height, width) in pixels: 256, less at the lower and right edge.
    """

    downsample: int
    row: int
    col: int
    shape: tuple[int, int]

    @property
    def location(self) -> tuple[int, int]:
        """(row, col) of the first pixel, level-0 frame."""
        return self.row * TILE_SIDE * self.downsample, self.col * TILE_SIDE * self.downsample


def coarsest_downsample(slide_shape: tuple[int, int]) -> int:
    """The power of two at which a slide is one pixel."""
    return 1 << (max(slide_shape) - 1).bit_length()


def overview_stride(slide_shape: tuple[int, int]) -> int:
    """The finest power of two at which a slide is no longer than `OVERVIEW_SIDE`; coarser tiles are cut from there."""
    stride = 1
    while max(map_shape(slide_shape, stride)) > OVERVIEW_SIDE:
        stride *= 2
    return stride


def locate_tile(slide_shape: tuple[int, int], downsample: int, row: int, col: int) -> ScreenTile:
    """A tile of a slide.

    Args:
        slide_shape: (height, width) in level-0 pixels.
        downsample: level-0 pixels per pixel.
        row: of the tile.
        col: of the tile.

    Raises:
        InputError: if the pyramid has no such tile.
    """
    is_level = downsample >= 1 and downsample & (downsample - 1) == 0 and downsample <= coarsest_downsample(slide_shape)
    if is_level:
        height, width = map_shape(slide_shape, downsample)
        shape = min(TILE_SIDE, height - row * TILE_SIDE), min(TILE_SIDE, width - col * TILE_SIDE)
        if row >= 0 and col >= 0 and min(shape) > 0:
            return ScreenTile(downsample, row, col, shape)
    raise InputError(
        f"no tile {row}, {col} at downsample {downsample} of a slide of {slide_shape} pixels; reload the page"
    )


def cut_tile(slide: Slide, tile: ScreenTile) -> npt.NDArray[np.uint8]:
    """The pixels of a tile that is finer than the overview.

    Args:
        slide: the open slide.
        tile: of `locate_tile`.

    Returns:
        (height, width, 3) uint8 RGB: what `slides.slide.Slide.read_region` gives.

    Raises:
        InputError: if the file is damaged there.
    """
    return slide.read_region(tile.location, tile.shape, float(tile.downsample))


def cut_overview(overview: npt.NDArray[np.uint8], stride: int, tile: ScreenTile) -> npt.NDArray[np.uint8]:
    """The pixels of a tile that is as coarse as the overview, or coarser.

    Args:
        overview: (rows, cols, 3) uint8 RGB of the whole slide.
        stride: level-0 pixels per pixel of it.
        tile: of `locate_tile`, whose downsample is a multiple of the stride.

    Returns:
        (height, width, 3) uint8 RGB, each the mean of a box; the last row and column of smaller boxes.
    """
    factor = tile.downsample // stride
    top, left = tile.row * TILE_SIDE * factor, tile.col * TILE_SIDE * factor
    part = overview[top : top + tile.shape[0] * factor, left : left + tile.shape[1] * factor]
    if factor == 1:
        return part
    return np.asarray(Image.fromarray(part).reduce(factor))


def shrink(overview: npt.NDArray[np.uint8], side: int = THUMBNAIL_SIDE) -> npt.NDArray[np.uint8]:
    """An overview with a longest side of at most ``side`` pixels, its proportions kept."""
    picture = Image.fromarray(overview)
    picture.thumbnail((side, side))
    return np.asarray(picture)


def encode_jpeg(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Pixels as a JPEG file: quality 85, colors at full resolution, since stain lies in the color."""
    return bytes(imagecodecs.jpeg_encode(np.ascontiguousarray(pixels), level=_QUALITY, subsampling="444"))
