"""Slides that end the process that reads them: one whose tile lies about its size, and any that is called so."""

from __future__ import annotations

import faulthandler
import os
import signal
from pathlib import Path
from typing import Any

import tifffile

from scripts.review.reading import OpenSlides


def change_frame(path: Path, tile: int, height: int | None = None, width: int | None = None) -> int:
    """Write another size into the JPEG frame header of a tile of level 0; cuCIM would write beyond its memory.

    Returns:
        Where the tile begins in the file.
    """
    with tifffile.TiffFile(path) as tiff:
        start, size = tiff.pages[0].dataoffsets[tile], tiff.pages[0].databytecounts[tile]
    content = bytearray(path.read_bytes())
    frame = content.index(b"\xff\xc0\x00\x11\x08", start, start + size)
    for position, value in ((frame + 5, height), (frame + 7, width)):
        if value is not None:
            content[position : position + 2] = value.to_bytes(2, "big")
    path.write_bytes(content)
    return int(start)


class DeadlySlides(OpenSlides):
    """Reads for a review, but a process that reads a slide called ``deadly`` is ended, as by a decoder.

    Args:
        when: what ends it: ``bounds``, ``tile`` or ``overview``.
        by: the signal; ``SIGSTOP`` lets it hang.
    """

    def __init__(self, when: str, by: int = signal.SIGSEGV) -> None:
        super().__init__()
        self._when, self._by = when, by

    def _end(self, when: str, path: Path) -> None:
        if when == self._when and path.stem == "deadly":
            faulthandler.disable()
            os.kill(os.getpid(), self._by)

    def bounds(self, *asked: Any) -> Any:
        self._end("bounds", asked[0])
        return super().bounds(*asked)

    def tile(self, tile: Any, *asked: Any) -> Any:
        self._end("tile", asked[0])
        return super().tile(tile, *asked)

    def overview(self, stride: int, *asked: Any) -> Any:
        self._end("overview", asked[0])
        return super().overview(stride, *asked)
