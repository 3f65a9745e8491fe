"""The first layers of a ResNet, once for patches that overlap: what they give is that of each patch on its own.

Inside a patch, away from its sides, the first layers give the same whether the patch ends there or goes on: computed
once over all pixels, each cell serves every patch that it lies in. Near a side the zeros beyond it show. Those rims are
computed from strips as long as the image, cut off where a side is, so that patches side by side share them; and the
four corners from each patch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.networks.nets import TorchVisionFCModel

from .runtime import OpenVINORuntime, Runtime

STEP = 4
"""Pixels from one cell of the first layers' output to the next."""

_WORTHWHILE = 0.8
"""Sharing must compute less than this part of what the patches take one by one; strips are cut and put together."""


class SharedLayers:
    """A network in two parts, of which the first is shared.

    Args:
        make_parts: makes both, when they are first needed. One gives (N, C, h / 4, w / 4) cells for (N, 3, h, w)
            pixels: a ResNet's layers up to ``layer1``. The other gives (N, 1, 1, 1) logits for the cells of patches.
        reach: 3 x 3 convolutions in ``layer1``, by each of which zeros beyond a side show one cell further inside.
        patch_size: side of a patch in pixels.
    """

    def __init__(self, make_parts: Callable[[], tuple[Runtime, Runtime]], reach: int, patch_size: int) -> None:
        self._make_parts = make_parts
        self.patch_size = patch_size
        # A 7 x 7 convolution by 2 and a pooling of 3 x 3 by 2 let zeros show in two cells at the near side of each
        # axis, and in one at the far side.
        self.rims = (2 + reach, 1 + reach)
        self.strip = STEP * (3 + 2 * reach)  # the rim, the cells that it depends on, and those that the cut disturbs

    @functools.cached_property
    def parts(self) -> tuple[Runtime, Runtime]:
        """The first layers and the rest."""
        return self._make_parts()

    def is_worthwhile(self, corners: npt.NDArray[np.int64]) -> bool:
        """Whether patches lie on common cells and overlap enough.

        Args:
            corners: (N, 2) int64, see `forwards.PatchForward`.
        """
        offsets = corners - corners.min(axis=0)
        if (offsets % STEP).any() or self.patch_size % STEP or self.patch_size < 2 * self.strip:
            return False
        height, width = (offsets.max(axis=0) + self.patch_size).tolist()
        num_rows, num_cols = (len(np.unique(axis)) for axis in offsets.T)
        strips = 2 * self.strip * (num_rows * width + num_cols * height)
        area = height * width + strips + len(corners) * (2 * self.strip) ** 2
        return bool(area < _WORTHWHILE * len(corners) * self.patch_size**2)

    def __call__(self, image: torch.Tensor, corners: npt.NDArray[np.int64]) -> SharedCells:
        """Compute what the patches share.

        Args:
            image: (3, h, w) float32 pixels, channels-last.
            corners: (N, 2) int64, (row, col) of each patch's upper left pixel.
        """
        return SharedCells(self, image, corners)


class SharedCells:
    """What the first layers give over an image, and along the sides of its patches; see `SharedLayers`."""

    def __init__(self, layers: SharedLayers, image: torch.Tensor, corners: npt.NDArray[np.int64]) -> None:
        self._layers = layers
        start, end = corners.min(axis=0), corners.max(axis=0) + layers.patch_size
        self._image = image[:, start[0] : end[0], start[1] : end[1]]
        self._offsets = corners - start
        near, far = layers.rims
        strip, shift = layers.strip, layers.patch_size - layers.strip
        self._inside = self._first(self._image[None])[0]
        rows, cols = np.unique(self._offsets[:, 0]).tolist(), np.unique(self._offsets[:, 1]).tolist()
        upper = self._first(torch.stack([self._image[:, row : row + strip] for row in rows]))
        lower = self._first(torch.stack([self._image[:, row + shift : row + shift + strip] for row in rows]))
        left = self._first(torch.stack([self._image[:, :, col : col + strip] for col in cols]))
        right = self._first(torch.stack([self._image[:, :, col + shift : col + shift + strip] for col in cols]))
        self._rows = {row: (upper[i, :, :near], lower[i, :, -far:]) for i, row in enumerate(rows)}
        self._cols = {col: (left[i, :, :, :near], right[i, :, :, -far:]) for i, col in enumerate(cols)}

    def logits(self, start: int, stop: int) -> torch.Tensor:
        """Compute the patches from ``start`` to before ``stop``; (N, 1, 1, 1) float32."""
        near, far = self._layers.rims
        side, strip = self._layers.patch_size, self._layers.strip
        offsets = self._offsets[start:stop].tolist()
        ends = [slice(0, strip), slice(side - strip, side)]
        patches = [self._image[:, row : row + side, col : col + side] for row, col in offsets]
        corners = self._first(torch.stack([patch[:, y, x] for y in ends for x in ends for patch in patches]))
        num, cells = len(patches), side // STEP
        rims = [(slice(0, near), slice(0, near)), (slice(cells - far, cells), slice(-far, None))]

        found = torch.empty((num, corners.shape[1], cells, cells), device=corners.device)
        found = found.contiguous(memory_format=torch.channels_last)
        for patch, (row, col) in zip(found, offsets, strict=True):
            y, x = row // STEP, col // STEP
            within = slice(near, cells - far)
            patch[:, within, within] = self._inside[:, y + near : y + cells - far, x + near : x + cells - far]
            for (rim, _), strips in zip(rims, self._rows[row], strict=True):
                patch[:, rim, within] = strips[:, :, x + near : x + cells - far]
            for (rim, _), strips in zip(rims, self._cols[col], strict=True):
                patch[:, within, rim] = strips[:, y + near : y + cells - far]
        places = [(y, x) for y in rims for x in rims]
        for (y, x), part in zip(places, corners.reshape(4, num, *corners.shape[1:]), strict=True):
            found[:, :, y[0], x[0]] = part[:, :, y[1], x[1]]
        return self._layers.parts[1](found)

    def _first(self, pixels: torch.Tensor) -> torch.Tensor:
        return self._layers.parts[0](pixels.contiguous(memory_format=torch.channels_last))


def share_layers(network: Any, precision: str, patch_size: int) -> SharedLayers | None:
    """Split a network for OpenVINO.

    Args:
        network: the network, in evaluation mode.
        precision: see `network.resolve_precision`.
        patch_size: side of a patch in pixels.

    Returns:
        None if it is no ResNet of torchvision's form that ends in a convolution.
    """
    if not isinstance(network, TorchVisionFCModel) or not isinstance(network.features, torch.nn.Sequential):
        return None
    layers = list(network.features)
    reach = _reach(layers)
    if reach is None or network.pool is None or not isinstance(network.fc, torch.nn.Conv2d):
        return None
    first, rest = torch.nn.Sequential(*layers[:5]).eval(), torch.nn.Sequential(*layers[5:], network.pool, network.fc)

    def make_parts() -> tuple[Runtime, Runtime]:
        with torch.no_grad():
            cells = first(torch.zeros((2, 3, patch_size, patch_size)))
        return OpenVINORuntime(first, precision), OpenVINORuntime(rest.eval(), precision, cells)

    return SharedLayers(make_parts, reach, patch_size)


def _reach(layers: list[torch.nn.Module]) -> int | None:
    """3 x 3 convolutions in ``layer1`` of a ResNet, or None if the layers are none of a ResNet."""
    if len(layers) != 8 or not isinstance(layers[0], torch.nn.Conv2d) or not isinstance(layers[3], torch.nn.MaxPool2d):
        return None
    stem, pool = layers[0], layers[3]
    if (stem.kernel_size, stem.stride, stem.padding) != ((7, 7), (2, 2), (3, 3)):
        return None
    if (pool.kernel_size, pool.stride, pool.padding) != (3, 2, 1):
        return None
    forms = [(c.kernel_size, c.stride, c.padding) for c in layers[4].modules() if isinstance(c, torch.nn.Conv2d)]
    wide, narrow = ((3, 3), (1, 1), (1, 1)), ((1, 1), (1, 1), (0, 0))
    return forms.count(wide) if all(form in (wide, narrow) for form in forms) else None
