"""How much a device's memory holds, and what tells that it is full."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")

_SHARE = 0.5
"""Of a GPU's free memory that one forward pass may take: what is free lies in pieces, and others may need some."""

_SIGNS_OF_LITTLE_MEMORY = ("out of memory", "can't allocate memory", "bad alloc", "bad_alloc", "failed to allocate")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of PyTorch or OpenVINO says that memory ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS_OF_LITTLE_MEMORY)


def attempt(compute: Callable[[], Result]) -> Result | None:
    """What ``compute`` returns, or None if memory ran out."""
    try:
        return compute()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def count_fitting(compute: Callable[[], object], count: int, device: torch.device) -> int:
    """How much fits into a GPU's free memory, by what a small part of it takes there.

    Args:
        compute: a computation, as small as shall be possible in any case.
        count: how much it computes, patches or pixels.
        device: the GPU.

    Returns:
        How much may be computed at once, at least ``count``.
    """
    needed = attempt(lambda: _needed_bytes(compute, device))
    if needed is None:
        return count
    return max(count, int(_SHARE * _free_bytes(device) * count / max(1, needed)))


def _needed_bytes(compute: Callable[[], object], device: torch.device) -> int:
    """What a computation takes at its peak beyond what was taken before; what other threads take meanwhile counts."""
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    compute()
    return torch.cuda.max_memory_allocated(device) - before


def _free_bytes(device: torch.device) -> int:
    """What the GPU has left, and what PyTorch holds of it without using it."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
