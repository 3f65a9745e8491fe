"""The probability map of one slide, and in mode cascade its screen, while tiles come in."""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..folders.names import slide_file_name
from .screening import ScreenSettings, choose, hold_below
from .tile_plan import SlidePlan, Tile


class Grown(NamedTuple):
    """What a screen says of a slide, once all of its tiles are in.

    Attributes:
        values: (rows, cols) float32 on the map: the screen's probabilities where the network does not look.
        about: for the sidecar.
        started: when the screen was begun, by the monotonic clock.
    """

    values: npt.NDArray[np.float32]
    about: dict[str, Any]
    started: float


class GrowingMap:
    """A map that fills up tile by tile.

    Args:
        plan: of the slide.
        screened: what its screen said; None without one.

    Attributes:
        values: (rows, cols) float32 probabilities [row, col], 0 where nothing came.
        tiles_left: tiles that are still to come.
    """

    def __init__(self, plan: SlidePlan, screened: Grown | None = None) -> None:
        self.plan = plan
        self.values: npt.NDArray[np.float32] = np.zeros(plan.map_shape, dtype=np.float32)
        self.tiles_left = plan.num_tiles
        self._about: dict[str, Any] = {}
        self._started = time.monotonic()
        if screened is not None:
            self.values, self._about, self._started = screened

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
            **self._about,
            **plan.quality,
            "appearance": None if plan.appearance is None else dict(plan.appearance),
            "notes": list(plan.notes),
            "max_probability": round(float(self.values.max()), 6),
            "seconds": round(time.monotonic() - self._started, 3),
        }


class GrowingScreen(GrowingMap):
    """The screen of a slide: a map of its own stride, and the foreground of the slide's map.

    Args:
        plan: of the screen.
    """

    def __init__(self, plan: SlidePlan) -> None:
        super().__init__(plan)
        if plan.look is None:
            raise AssertionError("the plan of a screen has that of the map")
        self.look = plan.look
        self._foreground: npt.NDArray[np.bool_] = np.zeros(self.look.map_shape, dtype=bool)

    def take(self, tile: Tile, probabilities: npt.NDArray[np.float32] | None) -> float:
        """See `GrowingMap.take`."""
        row, col = (self._factor * corner for corner in tile.map_location)
        rows, cols = tile.foreground.shape
        self._foreground[row : row + rows, col : col + cols] = tile.foreground
        return super().take(tile, probabilities)

    def finish(self, settings: ScreenSettings) -> tuple[npt.NDArray[np.bool_], Grown]:
        """Say where the network looks, and what the map holds elsewhere.

        Args:
            settings: of the screen.

        Returns:
            (rows, cols) bool on the map; the rest.
        """
        margin = math.ceil(settings.margin_um / (self.plan.stride * self.plan.mpp) - 1e-9)
        chosen = choose(self.values, self._foreground, settings.above, margin, self._factor)
        values = hold_below(self.values, self._foreground & ~chosen, settings.above, self._factor)
        about = {
            "num_positions": self.look.num_positions,
            "screen_stride": self.plan.stride,
            "screen_positions": self.plan.num_positions,
            "looked_at": round(float(chosen.sum()) / max(1, self.look.num_positions), 6),
        }
        return chosen, Grown(values, about, self._started)

    @property
    def _factor(self) -> int:
        return self.plan.stride // self.look.stride
