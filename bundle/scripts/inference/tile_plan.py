"""Which map positions of a slide are read together: its plan, its tiles, and how they cover the foreground."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

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
        bounds_origin: (row, col) of the part of the slide that was scanned, level-0 frame.
        artifacts: artifact mask as PNG, see `quality.files`, or None if the slide was not examined.
        quality: the part of the sidecar that tells of artifacts.
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
    bounds_origin: tuple[int, int] = (0, 0)
    cucim_fault: str | None = None
    artifacts: bytes | None = None
    quality: Mapping[str, Any] = NO_QUALITY


NO_POSITIONS = np.zeros((0, 0), dtype=np.bool_)


class Tile(NamedTuple):
    """A block of map positions, and later what became of it.

    Attributes:
        path: the slide's file.
        plan: the slide's plan; None if the slide could not be opened.
        map_location: (row, col) of the block's first position on the map.
        positions: (rows, cols) bool, which positions to compute.
        keep: bool over the compressed tiles under the block: which of them a later tile of the same reader needs.
        error: why the slide or the tile could not be read, or None.
    """

    path: str
    plan: SlidePlan | None
    map_location: tuple[int, int]
    positions: npt.NDArray[np.bool_]
    error: str | None = None
    keep: npt.NDArray[np.bool_] = NO_POSITIONS


Planner = Callable[[str, str | None], list[Tile]]
"""What plans a slide, by its path and the file that is read where that is an address."""


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


def tile_blocks(mask: npt.NDArray[np.bool_], block: int) -> Iterator[tuple[tuple[int, int], npt.NDArray[np.bool_]]]:
    """Cover the foreground with blocks of map positions, each trimmed to the foreground inside it.

    Args:
        mask: (rows, cols) bool foreground.
        block: positions per side of a block.

    Yields:
        (row, col) of a block's first position and its (rows, cols) bool part of the mask, never empty.
    """
    for row in range(0, mask.shape[0], block):
        for col in range(0, mask.shape[1], block):
            part = mask[row : row + block, col : col + block]
            rows, cols = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
            if len(rows):
                trimmed = part[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
                yield (row + int(rows[0]), col + int(cols[0])), trimmed.copy()
