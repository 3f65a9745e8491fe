"""A handler and a dataset for tests of mode cascade, which configs name."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ignite.engine import Engine, Events

from scripts.errors import InputError
from scripts.inference.tile_plan import Tile
from scripts.inference.tiles import TileDataset


class KillBeforeLook:
    """Ends the process where the screen of a slide is computed, and the network has not looked at it yet.

    Args:
        name: the slide's, without suffix.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        tile = engine.state.batch["tile"]
        if Path(tile.path).stem == self.name and tile.plan.look is None:
            os.kill(os.getpid(), signal.SIGKILL)


class SecondFailsAtLook(TileDataset):
    """Reads the screen of each slide, but not the pixels at 40x of ``second.tif``."""

    def read(self, tile: Tile) -> npt.NDArray[np.uint8]:
        if tile.path.endswith("second.tif") and tile.plan is not None and tile.plan.look is None:
            raise InputError(f"{tile.path}: made to fail at 40x")
        return super().read(tile)
