"""A process that plans slides and reads tiles for the one that computes, see `slides.reader_process`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..slides.reader_process import ReaderProcess


def _allocate(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.uint8)


class TileReader(ReaderProcess):
    """A process that asks a `tiles.TileDataset` for slides."""

    def read(
        self, path: str, *arguments: Any, memory: Callable[[tuple[int, ...]], torch.Tensor] = _allocate
    ) -> torch.Tensor:
        """Let the process read pixels.

        Args:
            path: the slide that they are of.
            arguments: of the dataset's ``read``.
            memory: makes what they are put into, by their shape.

        Returns:
            (height, width, 3) uint8 pixels.

        Raises:
            LostReaderError: if the process dies meanwhile, or does not answer.
            InputError: if the slide cannot be read.
        """
        found = torch.empty(0)

        def allocate(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
            nonlocal found
            found = memory(shape)
            values: npt.NDArray[np.uint8] = found.numpy()
            return values

        self.ask(path, "read", *arguments, allocate=allocate)
        return found
