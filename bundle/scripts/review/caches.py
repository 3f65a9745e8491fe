"""What is costly to make and small to keep, shared by threads: made once, the least recently used dropped first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

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
