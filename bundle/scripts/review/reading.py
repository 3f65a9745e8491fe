"""The slides of a review, read by processes of their own: a damaged slide ends one of them, and the server goes on."""

from __future__ import annotations

import multiprocessing
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..slides.pool import SlidePool
from ..slides.reader_process import LostReaderError, ReaderProcess
from ..slides.slide import Slide
from .tiles import ScreenTile, cut_tile, encode_jpeg

NUM_PROCESSES = 4
"""How many read at a time: two for each of two cores, one of which waits for the disk."""

_MAX_OPEN = 2
"""Slides that stay open in each process."""

_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_PRELOADED = ("numpy", "openslide", "tifffile", "imagecodecs", "PIL.Image", "scipy.ndimage")


def size_and_time(path: Path) -> tuple[int, int]:
    """Of a file, in bytes and nanoseconds; (-1, -1) of one out of reach, so that the other slides are still shown."""
    try:
        stated = path.stat()
    except OSError:
        return -1, -1
    return stated.st_size, stated.st_mtime_ns


class OpenSlides:
    """What a process does: it opens slides, and reads from them."""

    def __init__(self) -> None:
        self._slides = SlidePool(max_open=_MAX_OPEN)

    def get(self, path: Path, mpp: float, slide_shape: tuple[int, int]) -> Slide:
        """The open slide.

        Args:
            path: the slide.
            mpp: µm per level-0 pixel, as its map has it.
            slide_shape: (height, width) in level-0 pixels, likewise.

        Raises:
            InputError: see `slides.pool.SlidePool`; if it is not the map's slide.
        """
        slide = self._slides.get(path, mpp)
        if slide.shape != slide_shape:
            (height, width), (rows, cols) = slide_shape, slide.shape
            raise InputError(
                f"{path}: expected the map's slide of {height} x {width} (height x width), found {rows} x {cols}; give "
                "the slides that the maps were made of"
            )
        return slide

    def bounds(self, *asked: Any) -> tuple[int, int, int, int]:
        """See `SlideReaders.bounds`."""
        return self.get(*asked).bounds

    def tile(self, tile: ScreenTile, *asked: Any) -> bytes:
        """See `SlideReaders.tile`."""
        return encode_jpeg(cut_tile(self.get(*asked), tile))

    def overview(self, stride: int, *asked: Any) -> npt.NDArray[np.uint8]:
        """See `SlideReaders.overview`."""
        return self.get(*asked).read_overview(stride)


class SlideReaders:
    """A few processes that read slides. Threads may share it.

    Each process starts when it is needed, and again when it was lost. The slide that it read then is set aside: no
    process reads it again as long as its file stays the same. The arguments ``slide`` of the methods are those of
    `OpenSlides.get`: the path, and the resolution and the shape that its map states.

    Args:
        subject: what the processes do; it is sent to them.
        num_processes: how many there are at most.
    """

    def __init__(self, subject: OpenSlides | None = None, num_processes: int = NUM_PROCESSES) -> None:
        multiprocessing.set_forkserver_preload(list(_PRELOADED))
        subject = subject or OpenSlides()
        self._readers = [_Reader(subject) for _ in range(num_processes)]
        self._idle = list(self._readers)  # the one used last at the end
        self._change = threading.Condition()
        self._is_closed = False
        self._aside: dict[Path, tuple[tuple[int, int], str]] = {}

    def warm(self) -> None:
        """Start a process, so that the first slide need not wait for it."""
        with self._borrow(None) as reader:
            reader.process.start()

    def bounds(self, *slide: Any) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) of the part that was scanned, level-0 frame.

        Raises:
            InputError: if the slide cannot be read, or was set aside.
        """
        found: tuple[int, int, int, int] = self._ask("bounds", slide)
        return found

    def tile(self, tile: ScreenTile, *slide: Any) -> bytes:
        """A tile as JPEG, see `tiles.cut_tile`; raises as `bounds` does."""
        found: bytes = self._ask("tile", slide, tile)
        return found

    def overview(self, stride: int, *slide: Any) -> npt.NDArray[np.uint8]:
        """See `slides.slide.Slide.read_overview`; raises as `bounds` does."""
        found: npt.NDArray[np.uint8] = self._ask("overview", slide, stride)
        return found

    def close(self) -> None:
        """End the processes, also those that somebody waits for."""
        with self._change:
            self._is_closed = True
            for reader in self._readers:
                reader.process.kill()
            for reader in self._idle:
                reader.process.close()
            self._change.notify_all()

    def _ask(self, method: str, slide: tuple[Any, ...], *arguments: Any) -> Any:
        path: Path = slide[0]
        with self._borrow(path) as reader:
            before = size_and_time(path)
            state, reason = self._aside.get(path, (None, ""))
            if state == before:
                raise InputError(reason)
            try:
                return reader.process.ask(str(path), method, *arguments, *slide)
            except LostReaderError as error:
                reader.recent.clear()
                self._aside[path] = before, f"{error}; it is set aside until its file changes or review starts again"
                raise InputError(self._aside[path][1]) from error

    @contextmanager
    def _borrow(self, path: Path | None) -> Iterator[_Reader]:
        """A process for this thread alone: one that has the slide open, else the one used last."""
        with self._change:
            self._change.wait_for(lambda: self._idle or self._is_closed)
            if self._is_closed:
                raise InputError("the review has ended; start it again")
            reader = next((idle for idle in reversed(self._idle) if path in idle.recent), self._idle[-1])
            self._idle.remove(reader)
        if path is not None and path not in reader.recent:
            reader.recent.append(path)
        try:
            yield reader
        finally:
            with self._change:
                if self._is_closed:
                    reader.process.close()
                self._idle.append(reader)
                self._change.notify()


class _Reader:
    """A process, and the slides that it opened last."""

    def __init__(self, subject: OpenSlides) -> None:
        self.process = ReaderProcess(subject, method=_METHOD)
        self.recent: deque[Path] = deque(maxlen=_MAX_OPEN)
