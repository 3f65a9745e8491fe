"""Forward passes over tiles: patch by patch, or all of one at once. What does not fit into memory is made smaller."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InputError, counted
from .memory import attempt, count_fitting
from .modes import NETWORK_STRIDE
from .runtime import Runtime
from .transfers import send

logger = logging.getLogger(__name__)

CONTEXT = 7
"""Outputs by which parts of a tile overlap. A logit of ResNet-18 depends on 627 pixels each way, 202 beyond either side
of its patch; 7 outputs, 224 pixels, of overlap leave the results as they are."""

_BATCH_SIZE = 64
_FEW, _MOST = 16, 512
"""Patches by which memory is measured, and what a GPU is given at once at most; more was not tried."""


def is_copied_singly(device: torch.device) -> bool:
    """Whether patches are cut one by one: on a CPU that takes a third of the time, on a GPU each is a call."""
    return device.type == "cpu"


def gather_patches(image: torch.Tensor, corners: torch.Tensor, side: int) -> torch.Tensor:
    """Cut patches from a tile by one operation.

    Args:
        image: (3, h, w) of any dtype, channels last in memory.
        corners: (N, 2) int64 on the image's device, (row, col) of each patch's upper left pixel.
        side: of a patch in pixels.

    Returns:
        (N, 3, side, side), channels last in memory.
    """
    pixels = image.permute(1, 2, 0)
    (height, width, channels), (row, col, channel) = pixels.shape, pixels.stride()
    shape = (height - side + 1, width - side + 1, side, side, channels)
    windows = pixels.as_strided(shape, (row, col, row, col, channel))  # each patch that there is, without a copy
    return windows[corners[:, 0], corners[:, 1]].permute(0, 3, 1, 2)


class PatchForward:
    """Runs the network on patches cut from tiles.

    Args:
        runtime: gives (N, 1, 1, 1) logits for (N, 3, patch_size, patch_size) pixels.
        patch_size: side of a patch in pixels that the model sees.
        batch_size: patches per forward pass; halved, for good, whenever they do not fit into memory. None takes 64 on a
            CPU, and on a GPU as many as fit into half of its free memory, up to 512.
    """

    def __init__(self, runtime: Runtime, patch_size: int, batch_size: int | None = None) -> None:
        self.runtime = runtime
        self.patch_size = patch_size
        self.batch_size = batch_size
        self._batch: torch.Tensor | None = None

    def __call__(self, image: torch.Tensor, corners: npt.NDArray[np.int64]) -> torch.Tensor:
        """Compute logits of patches of one tile; see `together`.

        Args:
            image: (3, h, w) pixels of the tile, of the runtime's dtype.
            corners: (N, 2) int64, (row, col) of each patch's upper left pixel in the tile.

        Returns:
            (N,) float32 logits.
        """
        return self.together([image], [corners])

    def together(self, images: Sequence[torch.Tensor], corners: Sequence[npt.NDArray[np.int64]]) -> torch.Tensor:
        """Compute logits of patches of several tiles, which share forward passes.

        Args:
            images: of each tile, at least one, on one device; see `__call__`.
            corners: of each tile.

        Returns:
            (N,) float32 logits, tile by tile.

        Raises:
            InputError: if the network gives not one logit per patch, or a single patch does not fit into memory.
        """
        images = [image[None].contiguous(memory_format=torch.channels_last)[0] for image in images]
        device = images[0].device
        if self.batch_size is None:
            self.batch_size = self._choose(device)
        places = send(np.concatenate(corners), device)
        ends = np.cumsum([len(part) for part in corners]).tolist()
        found = torch.empty(len(places), device=device)
        start = 0
        while start < len(places):
            stop = min(start + self.batch_size, len(places))
            of_tiles = [
                (image, places[max(start, end - len(part)) : min(stop, end)])
                for image, part, end in zip(images, corners, ends, strict=True)
                if end > start and end - len(part) < stop and len(part)
            ]
            logits = attempt(lambda of_tiles=of_tiles: self.runtime(self._cut(of_tiles)))  # type: ignore[misc]
            if logits is None:
                self._shrink(stop - start)
                continue
            if logits.numel() != stop - start:
                raise InputError(
                    f"network_def: must give one logit per patch of {self.patch_size} pixels, but gave shape "
                    f"{tuple(logits.shape)} for {stop - start}; give another --patch_size or network"
                )
            found[start:stop] = logits.flatten()
            start = stop
        return found

    def _choose(self, device: torch.device) -> int:
        if device.type != "cuda":
            return _BATCH_SIZE
        shape = (_FEW, 3, self.patch_size, self.patch_size)
        few = torch.zeros(shape, dtype=self.runtime.dtype, device=device)
        return min(_MOST, count_fitting(lambda: self.runtime(few), _FEW, device))

    def _cut(self, of_tiles: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        side, image = self.patch_size, of_tiles[0][0]
        if not is_copied_singly(image.device):
            cut = [gather_patches(image, corners, side) for image, corners in of_tiles]
            return cut[0] if len(cut) == 1 else torch.cat(cut)
        count = sum(len(corners) for _, corners in of_tiles)
        if self._batch is None or len(self._batch) < count or self._batch.device != image.device:
            shape = (min(self.batch_size or count, max(count, 1)), 3, side, side)
            self._batch = torch.empty(shape, dtype=image.dtype, device=image.device, memory_format=torch.channels_last)
        batch = self._batch[:count]
        places = [(image, corner) for image, corners in of_tiles for corner in corners.tolist()]
        for patch, (image, (top, left)) in zip(batch, places, strict=True):
            patch.copy_(image[:, top : top + side, left : left + side])
        return batch

    def _shrink(self, count: int) -> None:
        self._batch = None
        if count == 1:
            raise InputError(
                f"memory: a single patch of {self.patch_size} pixels does not fit; give --device cpu, --num_workers 0 "
                "or a smaller --tile_size"
            )
        self.batch_size = count // 2
        found = counted(count, "patch does", "patches do")
        logger.warning("%s not fit into memory: from now on, %d per forward pass", found, self.batch_size)


class _Strip(NamedTuple):
    """A part of a tile: its (1, 3, h, w) pixels, and which of its outputs along an axis are kept."""

    pixels: torch.Tensor
    axis: int
    num_before: int
    num_kept: int


class DenseForward:
    """Runs the network once over a tile, or over several of one size.

    Args:
        runtime: fully convolutional, with outputs every 32 pixels.
        patch_size: side, in pixels, of the patch that one output stands for.
    """

    def __init__(self, runtime: Runtime, patch_size: int) -> None:
        self.runtime = runtime
        self.patch_size = patch_size
        self._too_large: int | None = None
        self._most_together: int | None = None  # pixels
        self._threads = ThreadPoolExecutor(runtime.num_streams, "tile")

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Compute logits.

        Args:
            image: (3, h, w) pixels of the tile, of the runtime's dtype.

        Returns:
            (r, c) float32 logits; that at (i, j) stands for the patch whose upper left pixel is (32 i, 32 j).

        Raises:
            InputError: if the network is none that runs over a tile, or the tile does not fit into memory in parts.
        """
        return self._checked(image, self._grid)

    def _checked(self, image: torch.Tensor, compute: Callable[[torch.Tensor], torch.Tensor | None]) -> torch.Tensor:
        try:
            grid = compute(image[None])
        except InputError:
            raise
        except (RuntimeError, AssertionError, ValueError):
            if self.is_possible(image.device):
                raise
            grid = None
        if grid is None or grid.shape != self._grid_shape(image):
            raise InputError(
                f"network_def: must give a logit every {NETWORK_STRIDE} pixels to run over a tile, but its output for "
                f"{tuple(image.shape[1:])} pixels is another; give --mode sliding"
            )
        return grid

    def together(self, images: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Compute logits of several tiles. On a GPU those of one size share forward passes, as many as fit into memory.

        A runtime with several streams computes tiles side by side, the largest first, and a single one in parts.

        Args:
            images: of each tile, on one device; see `__call__`.

        Returns:
            Of each tile, see `__call__`.

        Raises:
            InputError: see `__call__`.
        """
        if self.runtime.num_streams > 1:
            return self._side_by_side(images)
        of_size: dict[torch.Size, list[int]] = defaultdict(list)
        for index, image in enumerate(images):
            of_size[image.shape].append(index)
        found: dict[int, torch.Tensor] = {}
        for indices in of_size.values():
            while indices:
                count = self._count_together(images[indices[0]], len(indices))
                part, indices = indices[:count], indices[count:]
                found |= zip(part, self._stacked([images[index] for index in part]), strict=True)
        return [found[index] for index in range(len(images))]

    def _side_by_side(self, images: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        if len(images) == 1:
            return [self._checked(images[0], self._in_strips)]
        order = sorted(range(len(images)), key=lambda index: images[index].numel(), reverse=True)
        found = dict(zip(order, self._threads.map(self, [images[index] for index in order]), strict=True))
        return [found[index] for index in range(len(images))]

    def _stacked(self, images: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Logits of tiles of one size."""
        if len(images) > 1:
            logits = attempt(lambda: self.runtime(torch.cat([image[None] for image in images])))
            if logits is not None and logits.shape == (len(images), 1, *self._grid_shape(images[0])):
                return list(logits[:, 0])
            logger.warning("tiles cannot be computed together: from now on, one at a time")
            self._most_together = 0
        return [self(image) for image in images]

    def _count_together(self, image: torch.Tensor, count: int) -> int:
        """How many of so many tiles of one size fit, by what one takes; on a CPU several at once gain nothing."""
        if count > 1 and self._most_together is None:
            is_gpu = image.device.type == "cuda"
            self._most_together = count_fitting(lambda: self(image), image[0].numel(), image.device) if is_gpu else 0
        return 1 if self._most_together is None else max(1, self._most_together // image[0].numel())

    def is_possible(self, device: torch.device) -> bool:
        """Whether the network gives a grid of logits for more than a patch."""
        shape = (1, 3, self.patch_size + 2 * NETWORK_STRIDE, self.patch_size + NETWORK_STRIDE)
        try:
            grid = self.runtime(torch.zeros(shape, dtype=self.runtime.dtype, device=device))
        except (RuntimeError, AssertionError, ValueError):  # a last layer or a transformer that fits one size only
            return False
        return grid.shape == (1, 1, 3, 2)

    def _grid_shape(self, image: torch.Tensor) -> tuple[int, int]:
        rows, cols = ((side - self.patch_size) // NETWORK_STRIDE + 1 for side in image.shape[-2:])
        return rows, cols

    def _grid(self, pixels: torch.Tensor) -> torch.Tensor | None:
        area = pixels.shape[2] * pixels.shape[3]
        if self._too_large is None or area < self._too_large:
            logits = attempt(lambda: self.runtime(pixels))
            if logits is not None:
                return logits[0, 0] if logits.shape[:2] == (1, 1) else None
            if self._too_large is None:
                logger.warning("tiles of %d x %d pixels do not fit into memory: they are split", *pixels.shape[2:])
            self._too_large = area
        return self._halves(pixels)

    def _halves(self, pixels: torch.Tensor) -> torch.Tensor | None:
        strips = self._cut(pixels, 2)
        if len(strips) == 1:
            raise InputError(
                f"memory: a tile of {pixels.shape[2]} x {pixels.shape[3]} pixels does not fit and is too small to be "
                "split; give --mode sliding or --device cpu"
            )
        return self._joined(strips, map(self._grid, [strip.pixels for strip in strips]))

    def _in_strips(self, pixels: torch.Tensor) -> torch.Tensor | None:
        """A strip for each stream."""
        strips = self._cut(pixels, self.runtime.num_streams)
        return self._joined(strips, self._threads.map(self._grid, [strip.pixels for strip in strips]))

    def _cut(self, pixels: torch.Tensor, count: int) -> list[_Strip]:
        """Strips with what lies around them; one if they would hardly be smaller."""
        shape = self._grid_shape(pixels)
        axis = 0 if shape[0] >= shape[1] else 1
        num, length = shape[axis], pixels.shape[2 + axis]
        if 2 * num < 3 * CONTEXT * count:
            return [_Strip(pixels, axis, 0, num)]
        strips = []
        for index in range(count):
            first, last = (num * end // count for end in (index, index + 1))
            begin = max(0, first - CONTEXT)
            top = begin * NETWORK_STRIDE
            bottom = length if last == num else (last - 1 + CONTEXT) * NETWORK_STRIDE + self.patch_size
            strips.append(_Strip(pixels.narrow(2 + axis, top, bottom - top), axis, first - begin, last - first))
        return strips

    def _joined(self, strips: Sequence[_Strip], grids: Iterable[torch.Tensor | None]) -> torch.Tensor | None:
        kept = []
        for strip, grid in zip(strips, grids, strict=True):
            if grid is None:
                return None
            kept.append(grid.narrow(strip.axis, strip.num_before, strip.num_kept))
        return torch.cat(kept, dim=strips[0].axis)
