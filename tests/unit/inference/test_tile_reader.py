"""The process that reads; what becomes of a run when it dies is tested in test_tile_loader.py."""

from __future__ import annotations

import faulthandler
import os
import signal

import numpy as np
import numpy.typing as npt
import pytest

from scripts.inference.tile_plan import Tile
from scripts.inference.tile_reader import LostReaderError, TileReader
from scripts.inference.tiles import TileDataset

NUM_TILES = 5


class Slides(TileDataset):
    """Answers with made-up tiles, or dies."""

    def plan(self, path: str, copy: str | None, first_tile: int) -> list[Tile]:
        if path == "plan segv":
            faulthandler.disable()  # pytest's, which is lengthy
            os.kill(os.getpid(), signal.SIGSEGV)
        return [Tile(path, None, (row, 0), np.ones((1, 8), dtype=bool)) for row in range(NUM_TILES)]

    def read(self, tile: Tile) -> npt.NDArray[np.uint8]:
        return np.arange(2000 * 1500 * 3, dtype=np.uint32).astype(np.uint8).reshape(2000, 1500, 3)[::2]


def test_a_reader_ends_with_who_asks() -> None:
    reader = TileReader(Slides([]))
    assert len(reader.ask("a", "plan", "a", None, 0)) == NUM_TILES
    process = reader._process
    reader._connection.close()
    process.join(30)
    assert process.exitcode == 0


def test_a_reader_is_started_again() -> None:
    reader = TileReader(Slides([]))
    with pytest.raises(LostReaderError, match="plan segv: "):
        reader.ask("plan segv", "plan", "plan segv", None, 0)
    assert len(reader.ask("a", "plan", "a", None, 0)) == NUM_TILES
    reader.close()


def test_pixels_larger_than_a_pipe_come_whole() -> None:
    reader = TileReader(Slides([]))
    tile = Tile("a", None, (0, 0), np.ones((1, 8), dtype=bool))
    pixels = reader.ask("a", "read", tile)
    assert pixels.shape == (1000, 1500, 3)
    np.testing.assert_array_equal(pixels.numpy(), Slides([]).read(tile))
    pixels[0] = 0  # it is the asker's own
    reader.close()
