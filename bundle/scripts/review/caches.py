"""What is costly to make and small to keep, shared by threads: made once, the least recently used dropped first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from ..slides.colors import check_stored_color
from ..slides.slide import Slide, open_slide

Key = TypeVar("Key")
Value = TypeVar("Value")


class Cache(Generic[Key, Value]):
    """Values by key; two threads that ask for one at a time wait for the same.

    Args:
        make: makes the value of a key.
        max_items: how many are kept.
    """

    def __init__(self, make: Callable[[Key], Value], max_items: int) -> None:
        self.max_items = max_items
        self._make = make
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._making: dict[Key, threading.Lock] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value:
        """The value; an error of making it is raised, and nothing is kept."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return self._values[key]
            try:
                value = self._make(key)
            finally:
                with self._lock:
                    self._making.pop(key, None)
            with self._lock:
                self._values[key] = value
                while len(self._values) > self.max_items:
                    self._values.popitem(last=False)
            return value


class _Handle:
    """An open slide, its readers in waiting, and the lock that lets in one at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.num_users = 0
        self.slide: Slide | None = None


class SlideHandles:
    """Open slides; one thread at a time reads a slide, since not every decoder bears two.

    Args:
        max_open: how many stay open; more are open only while more are read at a time.
    """

    def __init__(self, max_open: int = 8) -> None:
        self.max_open = max_open
        self._handles: OrderedDict[Path, _Handle] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def num_open(self) -> int:
        """How many slides are open or being opened."""
        return len(self._handles)

    @contextmanager
    def borrow(self, path: Path, mpp: float) -> Iterator[Slide]:
        """The open slide, for this thread alone.

        Args:
            path: the slide.
            mpp: µm per level-0 pixel, as its map has it.

        Raises:
            InputError: see `slides.slide.open_slide`; if it is no RGB of 8 bits.
        """
        with self._lock:
            handle = self._handles.setdefault(path, _Handle())
            self._handles.move_to_end(path)
            handle.num_users += 1
        try:
            with handle.lock:
                if handle.slide is None:
                    slide = open_slide(path, assume_mpp=mpp)
                    check_stored_color(slide.path)
                    handle.slide = slide
                yield handle.slide
        finally:
            with self._lock:
                handle.num_users -= 1
                self._close_surplus()

    def _close_surplus(self) -> None:
        idle = [path for path, handle in self._handles.items() if handle.num_users == 0]
        unopened = [path for path in idle if self._handles[path].slide is None]  # what could not be opened
        surplus = idle[: max(0, len(self._handles) - self.max_open)]
        for path in {*unopened, *surplus}:
            slide = self._handles.pop(path).slide
            if slide is not None:
                slide.close()

    def close(self) -> None:
        """Close all slides that nobody reads."""
        with self._lock:
            self.max_open = 0
            self._close_surplus()
