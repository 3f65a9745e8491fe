"""From the pixels of a tile to a grid of logits."""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import Inferer

from .errors import InputError
from .geometry import PATCH_SIZE
from .network import AutocastInferer
from .tiles import Tile, position_offsets


class SlidingTileInferer(Inferer):
    """Runs the network on every patch of a tile on its own, cut from pixels already decoded.

    Args:
        patch_size: side of a patch in pixels that the model sees.
        batch_size: patches per forward pass.
        precision: see `network.resolve_precision`.

    Raises:
        InputError: if the batch size is no positive integer.
    """

    def __init__(self, patch_size: int = PATCH_SIZE, batch_size: int = 64, precision: str = "auto") -> None:
        if not isinstance(batch_size, int) or batch_size < 1:
            raise InputError(f"batch_size must be a positive integer of patches, but got {batch_size!r}")
        self.patch_size = patch_size
        self.batch_size = batch_size
        self.forward = AutocastInferer(precision)

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, tile: Tile, **kwargs: Any) -> torch.Tensor:
        """Compute the positions of a tile.

        Args:
            inputs: (1, 3, h, w) float32 pixels of the tile; its first patch starts at (0, 0).
            network: gives (N, 1, 1, 1) logits for (N, 3, patch_size, patch_size) pixels.
            args: unused.
            tile: tells which positions to compute, their stride and downsample.
            kwargs: unused.

        Returns:
            (1, 1, rows, cols) float32 logits on the tile's block of the map; -inf, that is probability 0, where
            nothing was to be computed.
        """
        rows, cols = tile.positions.shape
        logits = torch.full((1, 1, rows, cols), -torch.inf, device=inputs.device)
        if tile.plan is None or not tile.positions.any():
            return logits
        wanted = torch.from_numpy(tile.positions.copy()).nonzero()
        tops = torch.from_numpy(position_offsets(rows, tile.plan.stride, tile.plan.downsample))[wanted[:, 0]]
        lefts = torch.from_numpy(position_offsets(cols, tile.plan.stride, tile.plan.downsample))[wanted[:, 1]]
        image = torch.as_tensor(inputs)[0]
        found = []
        for start in range(0, len(wanted), self.batch_size):
            corners = zip(
                tops[start : start + self.batch_size].tolist(),
                lefts[start : start + self.batch_size].tolist(),
                strict=True,
            )
            patches = [image[:, top : top + self.patch_size, left : left + self.patch_size] for top, left in corners]
            found.append(self.forward(torch.stack(patches), network).flatten())
        logits[0, 0, wanted[:, 0], wanted[:, 1]] = torch.cat(found)
        return logits
