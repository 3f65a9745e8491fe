"""Levels in SubIFDs, where OME-TIFFs of Bio-Formats and QuPath keep them; OpenSlide and cuCIM see level 0 alone."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tifffile

_WHITE = 255

DAMAGE = (
    *(tifffile.TiffFileError, OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(OverflowError, MemoryError, RuntimeError, struct.error),
)
"""What tifffile and imagecodecs raise for a damaged file."""


class SubLevel(NamedTuple):
    """A level in a SubIFD: (height, width) in pixels, and of its compressed tiles."""

    shape: tuple[int, int]
    cell_shape: tuple[int, int]


class SubIfdPixels:
    """Reads the levels in the SubIFDs of a TIFF's first page tile by tile; tiles that are not stored are white.

    Args:
        path: the TIFF.
        first_number: number of the first of its levels; those that OpenSlide sees come before.

    Attributes:
        levels: those that are stored as tiles of 8-bit RGB, in the file's order; none in most files.
    """

    name = "tifffile"

    def __init__(self, path: Path, first_number: int) -> None:
        self.first_number = first_number
        self._pages: list[Any] = []
        self._tiff: Any = None
        try:
            self._tiff = tifffile.TiffFile(path)
            self._pages = [page for page in self._tiff.pages.first.pages or () if _is_rgb(page)]
        except DAMAGE:  # no TIFF, or one that only OpenSlide understands
            pass
        self.levels = tuple(
            SubLevel((page.imagelength, page.imagewidth), (page.tilelength, page.tilewidth)) for page in self._pages
        )
        if not self.levels:
            self.close()

    def read(self, location: tuple[int, int], size: tuple[int, int], level: int) -> npt.NDArray[np.uint8]:
        """Pixels of a level.

        Args:
            location: (row, col) of the top left pixel, frame of the level.
            size: (height, width) in pixels of the level; the whole lies inside of it.
            level: its number.

        Returns:
            (height, width, 3) uint8 RGB.

        Raises:
            OSError: if a tile is damaged.
        """
        page = self._pages[level - self.first_number]
        tile_height, tile_width = page.tilelength, page.tilewidth
        tiles_across = -(-page.imagewidth // tile_width)
        rows, cols = (
            range(start // tile, -(-(start + side) // tile))
            for start, side, tile in zip(location, size, (tile_height, tile_width), strict=True)
        )
        block = np.full((len(rows) * tile_height, len(cols) * tile_width, 3), _WHITE, dtype=np.uint8)
        for row in rows:
            for col in cols:
                tile = self._tile(page, row * tiles_across + col)
                if tile is not None:
                    top, left = (row - rows.start) * tile_height, (col - cols.start) * tile_width
                    block[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        top, left = location[0] - rows.start * tile_height, location[1] - cols.start * tile_width
        return block[top : top + size[0], left : left + size[1]]

    def _tile(self, page: Any, number: int) -> npt.NDArray[np.uint8] | None:
        offset, length = page.dataoffsets[number], page.databytecounts[number]
        if not length:
            return None
        try:
            self._tiff.filehandle.seek(offset)
            stored = self._tiff.filehandle.read(length)
            tile, _, _ = page.decode(stored, number, jpegtables=page.jpegtables)
        except DAMAGE as error:
            raise OSError(str(error)) from error
        return None if tile is None else np.asarray(tile[0], dtype=np.uint8)

    def close(self) -> None:
        """Close the file."""
        if self._tiff is not None:
            self._tiff.close()


def _is_rgb(page: Any) -> bool:
    """Whether tifffile decodes a page to RGB: of YCbCr only JPEG."""
    stored = (page.is_tiled, page.samplesperpixel, page.bitspersample, page.planarconfig)
    photometric, is_jpeg = int(page.photometric), int(page.compression) in (6, 7)
    return stored == (True, 3, 8, 1) and (photometric == 2 or (photometric == 6 and is_jpeg))
