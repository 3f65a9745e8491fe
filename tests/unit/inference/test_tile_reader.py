from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from scripts.inference.tile_plan import Tile
from scripts.inference.tile_reader import TileReader
from scripts.inference.tiles import TileDataset


class Slides(TileDataset):
    """Answers with made-up tiles."""

    def read(self, tile: Tile) -> npt.NDArray[np.uint8]:
        return np.arange(2000 * 1500 * 3, dtype=np.uint32).astype(np.uint8).reshape(2000, 1500, 3)[::2]


def test_pixels_larger_than_a_pipe_come_whole() -> None:
    reader = TileReader(Slides([]))
    tile = Tile("a", None, (0, 0), np.ones((1, 8), dtype=bool))
    pixels = reader.read("a", tile)
    assert pixels.dtype is torch.uint8
    assert pixels.shape == (1000, 1500, 3)
    np.testing.assert_array_equal(pixels.numpy(), Slides([]).read(tile))
    pixels[0] = 0  # it is the asker's own
    reader.close()
