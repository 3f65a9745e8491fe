"""The probability map of one slide while its tiles come in."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from ..folders.names import slide_file_name
from .tile_plan import SlidePlan, Tile


class GrowingMap:
    """A map that fills up tile by tile.

    Args:
        plan: of the slide.

    Attributes:
        values: (rows, cols) float32 probabilities [row, col], 0 where nothing came.
        tiles_left: tiles that are still to come.
    """

    def __init__(self, plan: SlidePlan) -> None:
        self.plan = plan
        self.values: npt.NDArray[np.float32] = np.zeros(plan.map_shape, dtype=np.float32)
        self.tiles_left = plan.num_tiles
        self._started = time.monotonic()

    def take(self, tile: Tile, probabilities: npt.NDArray[np.float32] | None) -> float:
        """Take in a tile.

        Args:
            tile: where its positions lie.
            probabilities: (rows, cols) float32 of the tile's block; None for a tile without positions.

        Returns:
            The tissue that it covers, in mm².
        """
        if probabilities is not None:
            row, col = tile.map_location
            rows, cols = tile.positions.shape
            self.values[row : row + rows, col : col + cols][tile.positions] = probabilities[tile.positions]
        self.tiles_left -= 1
        return int(tile.positions.sum()) * (self.plan.stride * self.plan.mpp / 1000) ** 2

    def describe(self) -> dict[str, Any]:
        """The part of the sidecar that the plan and the values make; ``seconds`` since the map was begun."""
        plan = self.plan
        top, left, bottom, right = plan.bounds or (0, 0, *plan.shape)
        return {
            "slide": slide_file_name(plan.path),
            "shape": list(plan.shape),
            "stride": plan.stride,
            "mpp": plan.mpp,
            "bounds_origin": [top, left],
            "bounds_shape": [bottom - top, right - left],
            "model_downsample": plan.downsample,
            "mask": plan.mask,
            "backend": plan.backend,
            "cucim_fault": plan.cucim_fault,
            "num_positions": plan.num_positions,
            "num_tiles": plan.num_tiles,
            **plan.quality,
            "appearance": None if plan.appearance is None else dict(plan.appearance),
            "notes": list(plan.notes),
            "max_probability": round(float(self.values.max()), 6),
            "seconds": round(time.monotonic() - self._started, 3),
        }
