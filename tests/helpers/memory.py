"""Gives memory back between tests, since one process runs hundreds of them."""

from __future__ import annotations

import atexit
import ctypes
import gc
import sys

atexit.register(gc.unfreeze)  # at its end Python frees what it may, also what was set aside


def give_back() -> None:
    """Free engines and networks, which name each other, and hand to the system what glibc would keep."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def set_aside() -> None:
    """Let no later collection look again at what is there, such as the objects of PyTorch's and MONAI's modules.

    To be called after `give_back`, between two tests: what one made is gone by then.
    """
    gc.freeze()
