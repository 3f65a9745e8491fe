"""A process that plans slides and reads tiles for the one that computes, see `slides.reader_process`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..slides.reader_process import ReaderProcess


class TileReader(ReaderProcess):
    """A process that asks a `tiles.TileDataset` for slides."""

    def read(self, path: str, *arguments: Any, pin_memory: bool = False) -> torch.Tensor:
        """Let the process read pixels.

        Args:
            path: the slide that they are of.
            arguments: of the dataset's ``read``.
            pin_memory: put them where a GPU takes them from.

        Returns:
            (height, width, 3) uint8 pixels.

        Raises:
            LostReaderError: if the process dies meanwhile, or does not answer.
            InputError: if the slide cannot be read.
        """
        found = torch.empty(0)

        def allocate(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
            nonlocal found
            found = torch.empty(shape, dtype=torch.uint8, pin_memory=pin_memory)
            memory: npt.NDArray[np.uint8] = found.numpy()
            return memory

        self.ask(path, "read", *arguments, allocate=allocate)
        return found
