"""Open slides kept for reuse."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

from .colors import check_stored_color
from .readers import note_slide
from .slide import Slide, check_reading, open_slide


class SlidePool:
    """Open slides kept for reuse, the least recently used closed first; each process opens its own.

    Args:
        backend: see `open_slide`.
        assume_mpp: see `open_slide`.
        max_open: how many stay open.

    Raises:
        InputError: see `check_reading`.
    """

    def __init__(self, backend: str = "auto", assume_mpp: float | None = None, max_open: int = 32) -> None:
        check_reading(backend, assume_mpp)
        self.backend = backend
        self.assume_mpp = assume_mpp
        self.max_open = max_open
        self._slides: OrderedDict[str, Slide] = OrderedDict()
        self._process = os.getpid()

    def get(self, path: str | Path, mpp: float | None = None) -> Slide:
        """The open slide.

        Args:
            path: see `open_slide`.
            mpp: what is assumed for this slide in place of ``assume_mpp``, always the same; None leaves that.

        Raises:
            InputError: see `open_slide`; if it is no RGB of 8 bits.
        """
        if self._process != os.getpid():  # handles do not survive a fork
            self._slides, self._process = OrderedDict(), os.getpid()
        key = str(path)
        note_slide(key)
        if key not in self._slides:
            slide = open_slide(path, self.backend, self.assume_mpp if mpp is None else mpp)
            check_stored_color(slide.path)
            self._slides[key] = slide
        self._slides.move_to_end(key)
        while len(self._slides) > self.max_open:
            self._slides.popitem(last=False)[1].close()
        return self._slides[key]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_slides": OrderedDict()}
