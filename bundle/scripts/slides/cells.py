"""Reading neighboring parts of a slide so that each compressed tile is decoded once.

A level is stored in cells, its compressed tiles, and a part that is read seldom ends where a cell does. What a later
part needs of a cell is known beforehand, so exactly the cells that will be needed again are kept, decoded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .slide import Slide

_MAX_BYTES = 1 << 29  # the seam below a row of tiles over 100,000 px needs some 200 MB


class Part(NamedTuple):
    """A rectangle of a level.

    Attributes:
        level: the pyramid level.
        location: (row, col) of its upper left pixel in the frame of the level; may be negative.
        size: (height, width) in pixels of the level; may reach beyond the slide.
    """

    level: int
    location: tuple[int, int]
    size: tuple[int, int]


def cell_range(part: Part, cell_shape: tuple[int, int], level_shape: tuple[int, int]) -> tuple[slice, slice]:
    """The cells that a part touches inside the slide.

    Args:
        part: the part.
        cell_shape: (height, width) of a cell in pixels of the level.
        level_shape: (height, width) of the level.

    Returns:
        Rows and columns of cells, each from the first to one beyond the last; empty for a part outside the slide.
    """
    ranges = []
    for start, side, cell, full in zip(part.location, part.size, cell_shape, level_shape, strict=True):
        first, last = max(start, 0), min(start + side, full)
        ranges.append(slice(first // cell, -(-last // cell)) if last > first else slice(0, 0))
    return ranges[0], ranges[1]


def kept_cells(
    parts: Sequence[Part],
    cell_shape: tuple[int, int],
    level_shape: tuple[int, int],
    first_reader: int = 0,
    num_readers: int = 1,
) -> list[npt.NDArray[np.bool_]]:
    """Find, for each of the parts of one level, the cells that a later part read by the same reader needs as well.

    Args:
        parts: in the order in which they are read.
        cell_shape: (height, width) of a cell.
        level_shape: (height, width) of the level.
        first_reader: which reader reads the first part; the readers take turns.
        num_readers: how many read.

    Returns:
        For each part an array of bool over its `cell_range`.
    """
    grid = tuple(-(-side // cell) for side, cell in zip(level_shape, cell_shape, strict=True))
    last_use = np.full((num_readers, *grid), -1, dtype=np.int32)
    ranges = [cell_range(part, cell_shape, level_shape) for part in parts]
    for index, (rows, cols) in enumerate(ranges):
        last_use[(first_reader + index) % num_readers, rows, cols] = index
    return [
        last_use[(first_reader + index) % num_readers, rows, cols] > index for index, (rows, cols) in enumerate(ranges)
    ]


class CellReader:
    """Reads parts of one slide's levels, and keeps the cells that it is told to.

    Args:
        slide: the open slide.
        max_bytes: most to keep; beyond it the oldest cells go and are decoded again when they are needed.

    Attributes:
        num_decoded: cells decoded so far.
    """

    def __init__(self, slide: Slide, max_bytes: int = _MAX_BYTES) -> None:
        self.slide = slide
        self.max_bytes = max_bytes
        self.num_decoded = 0
        self._cells: OrderedDict[tuple[int, int, int], npt.NDArray[np.uint8]] = OrderedDict()
        self._bytes = 0

    def read(self, part: Part, keep: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
        """Read a part.

        Args:
            part: what to read.
            keep: bool over its `cell_range`, see `kept_cells`.

        Returns:
            (height, width, 3) uint8 RGB, white beyond the slide.

        Raises:
            InputError: if a tile is damaged.
        """
        level = part.level
        cell_shape, level_shape = self.slide.cell_shapes[level], self.slide.level_shapes[level]
        rows, cols = cell_range(part, cell_shape, level_shape)
        output = np.full((*part.size, 3), 255, dtype=np.uint8)
        missing = np.zeros(keep.shape, dtype=np.bool_)
        for row, col in np.ndindex(*keep.shape):
            key = (level, rows.start + row, cols.start + col)
            cell = self._cells.get(key)
            if cell is None:
                missing[row, col] = True
                continue
            _paste(output, part.location, cell, (key[1] * cell_shape[0], key[2] * cell_shape[1]))
            if not keep[row, col]:
                self._bytes -= self._cells.pop(key).nbytes
        for block in _rectangles(missing):
            self._decode(part, output, block, (rows.start, cols.start), keep)
        return output

    def _decode(
        self,
        part: Part,
        output: npt.NDArray[np.uint8],
        block: tuple[slice, slice],
        first: tuple[int, int],
        keep: npt.NDArray[np.bool_],
    ) -> None:
        """Read a block of whole cells, put it into the output, and keep what shall be kept."""
        cell_shape, level_shape = self.slide.cell_shapes[part.level], self.slide.level_shapes[part.level]
        top, left = ((first[axis] + block[axis].start) * cell_shape[axis] for axis in range(2))
        bottom, right = (
            min((first[axis] + block[axis].stop) * cell_shape[axis], level_shape[axis]) for axis in range(2)
        )
        pixels = self.slide.read_level((top, left), (bottom - top, right - left), part.level)
        self.num_decoded += (block[0].stop - block[0].start) * (block[1].stop - block[1].start)
        _paste(output, part.location, pixels, (top, left))
        for row, col in np.argwhere(keep[block]).tolist():
            y, x = row * cell_shape[0], col * cell_shape[1]
            cell = pixels[y : y + cell_shape[0], x : x + cell_shape[1]].copy()
            self._cells[part.level, first[0] + block[0].start + row, first[1] + block[1].start + col] = cell
            self._bytes += cell.nbytes
        while self._bytes > self.max_bytes:
            self._bytes -= self._cells.popitem(last=False)[1].nbytes


def _rectangles(missing: npt.NDArray[np.bool_]) -> Iterator[tuple[slice, slice]]:
    """Cover the true cells once, by as few rectangles as a sweep from row to row finds."""
    left = missing.copy()
    while left.any():
        row, col = np.argwhere(left)[0]
        end = col
        while end < left.shape[1] and left[row, end]:
            end += 1
        bottom = row
        while bottom < left.shape[0] and left[bottom, col:end].all():
            bottom += 1
        left[row:bottom, col:end] = False
        yield slice(int(row), int(bottom)), slice(int(col), int(end))


def _paste(
    output: npt.NDArray[np.uint8],
    location: tuple[int, int],
    pixels: npt.NDArray[np.uint8],
    pixels_location: tuple[int, int],
) -> None:
    """Put what overlaps of ``pixels`` into ``output``; both locations are of one frame."""
    inside, source = [], []
    for axis in range(2):
        start = max(location[axis], pixels_location[axis])
        stop = min(location[axis] + output.shape[axis], pixels_location[axis] + pixels.shape[axis])
        if stop <= start:
            return
        inside.append(slice(start - location[axis], stop - location[axis]))
        source.append(slice(start - pixels_location[axis], stop - pixels_location[axis]))
    output[inside[0], inside[1]] = pixels[source[0], source[1]]
