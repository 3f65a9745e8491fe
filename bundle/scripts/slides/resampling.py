"""Regions of a slide at any resolution: which part of which level to read, and its pixels resampled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..geometry import finest_level_for


class Region(NamedTuple):
    """A part of a level that becomes a region at another resolution.

    Attributes:
        level: the pyramid level.
        location: (row, col) of the part's upper left pixel, frame of the level.
        size: (height, width) of the part in pixels of the level.
        box_xy: (left, top, right, bottom) of the region in the part, in pixels of the level; None: the part as it is.
        region_size: (height, width) of the region in pixels of its own.
    """

    level: int
    location: tuple[int, int]
    size: tuple[int, int]
    box_xy: tuple[float, float, float, float] | None
    region_size: tuple[int, int]

    def resample(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """(height, width, 3) uint8 pixels of the part to those of the region (bicubic, antialiased)."""
        if self.box_xy is None:
            return pixels
        height, width = self.region_size
        resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC, box=self.box_xy)
        return np.asarray(resized)


def locate_region(
    downsamples: tuple[float, ...], location: tuple[float, float], size: tuple[int, int], downsample: float
) -> Region:
    """What to read for a region.

    With ``downsample`` 1 that is level 0 as it is; otherwise the coarsest level that is at least as fine, with a margin
    for the filter.

    Args:
        downsamples: level-0 pixels per pixel, for each level.
        location: (row, col) of the region's top left corner, level-0 frame.
        size: (height, width) of the region in pixels of its own.
        downsample: level-0 pixels per pixel of the region.

    Returns:
        The level, the part of it to read, and how to resample it.
    """
    if downsample == 1:
        return Region(0, (int(np.floor(location[0])), int(np.floor(location[1]))), size, None, size)
    level = finest_level_for(downsamples, downsample)
    scale = downsample / downsamples[level]
    top, left = (value / downsamples[level] for value in location)
    margin = int(np.ceil(2 * max(scale, 1))) + 1
    row, col = int(np.floor(top)) - margin, int(np.floor(left)) - margin
    height = int(np.ceil(top + size[0] * scale)) + margin - row
    width = int(np.ceil(left + size[1] * scale)) + margin - col
    box = (left - col, top - row, left - col + size[1] * scale, top - row + size[0] * scale)
    return Region(level, (row, col), (height, width), box, size)
