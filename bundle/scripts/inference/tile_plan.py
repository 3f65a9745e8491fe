"""Which map positions of a slide are read together: its plan, its tiles, and how they cover the foreground."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ..geometry import PATCH_SIZE

NO_QUALITY: Mapping[str, Any] = {"artifacts": None, "sharpness": None}
"""What sidecars hold of a slide that was not examined."""


class SlidePlan(NamedTuple):
    """What is known of a slide before its pixels are read.

    Attributes:
        path: its file or address.
        shape: (height, width) in level-0 pixels.
        mpp: µm per level-0 pixel.
        stride: level-0 pixels per map pixel.
        downsample: level-0 pixels per pixel that the model sees.
        map_shape: (rows, cols) of the map.
        mask: where the foreground mask came from: a file's name or the method.
        backend: what decodes the pixels.
        cucim_fault: see `slides.slide.Slide`.
        num_positions: map pixels inside the foreground.
        num_tiles: tiles that cover them; 1 for a slide without foreground, whose only tile is empty.
        notes: what people must know of the slide, a sentence each, such as that it has no tissue.
        copy: the file that is read where ``path`` is an address, else None.
        bounds: (top, left, bottom, right) of the part of the slide that was scanned, level-0 frame.
        artifacts: artifact mask as PNG, see `quality.files`, or None if the slide was not examined.
        quality: the part of the sidecar that tells of artifacts.
        appearance: see `quality.appearance`; None of a slide without tissue.
        patch_size: side of the patch that the model sees, in its pixels.
        look: the plan of the map, if this is that of a screen, see `screening`: another stride, downsample, shape,
            patch and positions; else None.
    """

    path: str
    shape: tuple[int, int]
    mpp: float
    stride: int
    downsample: float
    map_shape: tuple[int, int]
    mask: str
    backend: str
    num_positions: int
    num_tiles: int
    notes: tuple[str, ...] = ()
    copy: str | None = None
    bounds: tuple[int, int, int, int] | None = None
    cucim_fault: str | None = None
    artifacts: bytes | None = None
    quality: Mapping[str, Any] = NO_QUALITY
    appearance: Mapping[str, float | None] | None = None
    patch_size: int = PATCH_SIZE
    look: SlidePlan | None = None


NO_POSITIONS = np.zeros((0, 0), dtype=np.bool_)

_LEAST_SAVED = 3
"""Patches of pixels that a cut saves at least; each tile also takes a while of its own."""


class Tile(NamedTuple):
    """A block of map positions, and later what became of it.

    Attributes:
        path: the slide's file.
        plan: the slide's plan; None if the slide could not be opened.
        map_location: (row, col) of the block's first position on the map.
        positions: (rows, cols) bool, which positions to compute.
        keep: bool over the compressed tiles under the block: which of them a later tile of the same reader needs.
        error: why the slide or the tile could not be read, or None.
        foreground: bool, in a tile of a screen the part of the map's foreground under its block.
    """

    path: str
    plan: SlidePlan | None
    map_location: tuple[int, int]
    positions: npt.NDArray[np.bool_]
    error: str | None = None
    keep: npt.NDArray[np.bool_] = NO_POSITIONS
    foreground: npt.NDArray[np.bool_] = NO_POSITIONS


Planner = Callable[[str, str | None, int], Callable[[], list[Tile]]]
"""What begins to plan a slide, by its path, the file that is read where that is an address, and how many tiles are
still handed out before its own. What it returns waits for the tiles."""

LookPlanner = Callable[[SlidePlan, npt.NDArray[np.bool_]], list[Tile]]
"""What plans where to look at a slide whose screen is computed, see `tiles.TileDataset.plan_look`."""


def make_sample(tile: Tile, pixels: torch.Tensor | None) -> dict[str, Any]:
    """What the network is given of a tile.

    Args:
        tile: the tile; without positions if there are no pixels.
        pixels: (height, width, 3) uint8 RGB, or None.

    Returns:
        ``{"image": (1, 3, h, w) uint8 tensor, "tile": tile}``, channels last in memory.
    """
    if pixels is None:
        pixels = torch.empty((0, 0, 3), dtype=torch.uint8)
    return {"image": pixels.permute(2, 0, 1)[None], "tile": tile}


def position_offsets(count: int, stride: int, downsample: float) -> npt.NDArray[np.int64]:
    """Offsets of neighboring patches along one axis, in pixels that the model sees.

    Args:
        count: number of positions.
        stride: level-0 pixels between them.
        downsample: level-0 pixels per model pixel.

    Returns:
        (count,) int64; exact where ``stride / downsample`` is whole, else rounded to the nearest pixel.
    """
    offsets: npt.NDArray[np.int64] = np.rint(np.arange(count) * (stride / downsample)).astype(np.int64)
    return offsets


def tile_blocks(
    mask: npt.NDArray[np.bool_], block: int, patch: float
) -> Iterator[tuple[tuple[int, int], npt.NDArray[np.bool_]]]:
    """Cover the foreground with blocks of map positions that hug it, since a tile's time is that of its pixels.

    Each row of blocks, and each block in its row, begins where foreground does. A block is then cut in two, and each
    part again, wherever this saves pixels. Parts have more of them at first: each reads a patch around its positions.

    Args:
        mask: (rows, cols) bool foreground.
        block: positions per side of a block, at most.
        patch: side of a patch, in the distance of two positions.

    Yields:
        (row, col) of a block's first position and its (rows, cols) bool part of the mask, never empty.
    """
    for row in _starts(np.flatnonzero(mask.any(axis=1)), block):
        band = mask[row : row + block]
        for col in _starts(np.flatnonzero(band.any(axis=0)), block):
            yield from _hug(band[:, col : col + block], (row, col), patch)


def _starts(wanted: npt.NDArray[np.int64], block: int) -> Iterator[int]:
    """Where stretches of ``block`` start that cover what is wanted, (N,) increasing."""
    end = 0
    for index in wanted.tolist():
        if index >= end:
            end = index + block
            yield index


def _hug(
    part: npt.NDArray[np.bool_], location: tuple[int, int], patch: float
) -> Iterator[tuple[tuple[int, int], npt.NDArray[np.bool_]]]:
    """Trim a part of the mask that has foreground, and cut it in two, and so on, as long as this saves pixels."""
    rows, cols = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    trimmed = part[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    row, col = location[0] + int(rows[0]), location[1] + int(cols[0])
    whole = (len(trimmed) - 1 + patch) * (trimmed.shape[1] - 1 + patch)
    areas = [_areas(trimmed, patch), _areas(trimmed.T, patch)]
    axis = min(range(2), key=lambda axis: areas[axis].min(initial=np.inf))
    if not areas[axis].min(initial=np.inf) + _LEAST_SAVED * patch**2 < whole:
        yield (row, col), trimmed.copy()
        return
    cut = int(areas[axis].argmin()) + 1
    first, second = np.split(trimmed, [cut], axis=axis)
    yield from _hug(first, (row, col), patch)
    yield from _hug(second, (row + cut, col) if axis == 0 else (row, col + cut), patch)


def _areas(part: npt.NDArray[np.bool_], patch: float) -> npt.NDArray[np.float64]:
    """What both parts read, once trimmed, by the number of rows before the cut, from 1 on; in areas of a position."""
    return _areas_before(part, patch) + _areas_before(part[::-1], patch)[::-1]


def _areas_before(part: npt.NDArray[np.bool_], patch: float) -> npt.NDArray[np.float64]:
    """What the first rows read, once trimmed, by their number from 1 on; the first of all has foreground."""
    filled = part.any(axis=1)
    first = np.where(filled, part.argmax(axis=1), part.shape[1])
    last = np.where(filled, part.shape[1] - 1 - part[:, ::-1].argmax(axis=1), -1)
    extent = np.maximum.accumulate(np.where(filled, np.arange(len(part)), 0))
    width = np.maximum.accumulate(last) - np.minimum.accumulate(first)
    areas: npt.NDArray[np.float64] = (extent + patch) * (width + patch)
    return areas[:-1]
