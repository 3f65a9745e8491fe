"""Forward passes over one tile: patch by patch, or all of it at once. What does not fit into memory is made smaller."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InputError, counted
from .modes import NETWORK_STRIDE
from .runtime import Runtime

logger = logging.getLogger(__name__)

CONTEXT = 7
"""Outputs by which parts of a tile overlap. A logit of ResNet-18 depends on 627 pixels each way, 202 beyond either side
of its patch; 7 outputs, 224 pixels, of overlap leave the results as they are."""

_SIGNS_OF_LITTLE_MEMORY = ("out of memory", "can't allocate memory", "bad alloc", "bad_alloc", "failed to allocate")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of PyTorch or OpenVINO says that memory ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS_OF_LITTLE_MEMORY)


def send(values: npt.NDArray[np.int64], device: torch.device) -> torch.Tensor:
    """Put numbers on a device; on a GPU without waiting for what it computes, as a plain copy would."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


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
    """Runs the network on patches cut from a tile.

    Args:
        runtime: gives (N, 1, 1, 1) logits for (N, 3, patch_size, patch_size) pixels.
        patch_size: side of a patch in pixels that the model sees.
        batch_size: patches per forward pass; halved, for good, whenever they do not fit into memory.
    """

    def __init__(self, runtime: Runtime, patch_size: int, batch_size: int) -> None:
        self.runtime = runtime
        self.patch_size = patch_size
        self.batch_size = batch_size
        self._batch: torch.Tensor | None = None

    def __call__(self, image: torch.Tensor, corners: npt.NDArray[np.int64]) -> torch.Tensor:
        """Compute logits.

        Args:
            image: (3, h, w) pixels of the tile, of the runtime's dtype.
            corners: (N, 2) int64, (row, col) of each patch's upper left pixel in the tile.

        Returns:
            (N,) float32 logits.

        Raises:
            InputError: if the network gives not one logit per patch, or a single patch does not fit into memory.
        """
        image = image[None].contiguous(memory_format=torch.channels_last)[0]
        found = torch.empty(len(corners), device=image.device)
        places = send(corners, image.device)
        start = 0
        while start < len(places):
            part = places[start : start + self.batch_size]
            logits = _attempt(lambda part=part: self.runtime(self._cut(image, part)))  # type: ignore[misc]
            if logits is None:
                self._shrink(len(part))
                continue
            if logits.numel() != len(part):
                raise InputError(
                    f"network_def: must give one logit per patch of {self.patch_size} pixels, but gave shape "
                    f"{tuple(logits.shape)} for {len(part)}; give another --patch_size or network"
                )
            found[start : start + len(part)] = logits.flatten()
            start += len(part)
        return found

    def _cut(self, image: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
        side = self.patch_size
        if not is_copied_singly(image.device):
            return gather_patches(image, corners, side)
        if self._batch is None or len(self._batch) < len(corners) or self._batch.device != image.device:
            shape = (min(self.batch_size, max(len(corners), 1)), 3, side, side)
            self._batch = torch.empty(shape, dtype=image.dtype, device=image.device, memory_format=torch.channels_last)
        batch = self._batch[: len(corners)]
        for patch, (top, left) in zip(batch, corners.tolist(), strict=True):
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


class DenseForward:
    """Runs the network once over a tile.

    Args:
        runtime: fully convolutional, with outputs every 32 pixels.
        patch_size: side, in pixels, of the patch that one output stands for.
    """

    def __init__(self, runtime: Runtime, patch_size: int) -> None:
        self.runtime = runtime
        self.patch_size = patch_size
        self._too_large: int | None = None

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Compute logits.

        Args:
            image: (3, h, w) pixels of the tile, of the runtime's dtype.

        Returns:
            (r, c) float32 logits; that at (i, j) stands for the patch whose upper left pixel is (32 i, 32 j).

        Raises:
            InputError: if the network is none that runs over a tile, or the tile does not fit into memory in parts.
        """
        try:
            grid = self._grid(image[None])
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
            logits = _attempt(lambda: self.runtime(pixels))
            if logits is not None:
                return logits[0, 0] if logits.shape[:2] == (1, 1) else None
            if self._too_large is None:
                logger.warning("tiles of %d x %d pixels do not fit into memory: they are split", *pixels.shape[2:])
            self._too_large = area
        return self._halves(pixels)

    def _halves(self, pixels: torch.Tensor) -> torch.Tensor | None:
        shape = self._grid_shape(pixels)
        axis = 0 if shape[0] >= shape[1] else 1
        count, middle = shape[axis], shape[axis] // 2
        if count < 3 * CONTEXT:  # parts would hardly be smaller
            raise InputError(
                f"memory: a tile of {pixels.shape[2]} x {pixels.shape[3]} pixels does not fit and is too small to be "
                "split; give --mode sliding or --device cpu"
            )
        length = pixels.shape[2 + axis]
        end = (middle - 1 + CONTEXT) * NETWORK_STRIDE + self.patch_size
        start = (middle - CONTEXT) * NETWORK_STRIDE
        first = self._grid(pixels.narrow(2 + axis, 0, end))
        second = self._grid(pixels.narrow(2 + axis, start, length - start))
        if first is None or second is None:
            return None
        return torch.cat([first.narrow(axis, 0, middle), second.narrow(axis, CONTEXT, count - middle)], dim=axis)


def _attempt(compute: Callable[[], torch.Tensor]) -> torch.Tensor | None:
    """What ``compute`` returns, or None if memory ran out."""
    try:
        return compute()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None
