"""Copies between this machine's memory and a GPU, which go on while the GPU computes.

On a CPU pixels and results stay where they are. The way of a GPU was tested in its order of calls only, on no GPU.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from .memory import attempt
from .processors import count_streams, count_threads

_TILES_A_STREAM = 3
_TILES_A_GPU = 8


class Copy:
    """Values on their way to where they are needed. On a CPU they are there at once.

    Args:
        values: the values.
    """

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values

    def is_done(self) -> bool:
        """Whether `take` does not wait."""
        return True

    def take(self) -> torch.Tensor:
        """The values, where they are needed; called by the thread that uses them."""
        return self.values


class _Upload(Copy):
    """Pixels on their way to a GPU, on a stream of their own."""

    def __init__(self, values: torch.Tensor, stream: torch.cuda.Stream) -> None:
        super().__init__(values)
        self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._event.record(stream)

    def is_done(self) -> bool:
        return bool(self._event.query())  # type: ignore[no-untyped-call]

    def take(self) -> torch.Tensor:
        """The GPU waits for them before it goes on; this thread does not."""
        stream = torch.cuda.current_stream(self.values.device)
        stream.wait_event(self._event)
        self.values.record_stream(stream)  # else their memory might be given away while they are in use
        return self.values


class _Download(Copy):
    """Results on their way from a GPU, once it has computed them."""

    def __init__(self, values: torch.Tensor) -> None:
        super().__init__(torch.empty(values.shape, dtype=values.dtype, pin_memory=True))
        self.values.copy_(values, non_blocking=True)
        self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._event.record(torch.cuda.current_stream(values.device))

    def is_done(self) -> bool:
        return bool(self._event.query())  # type: ignore[no-untyped-call]

    def take(self) -> torch.Tensor:
        self._event.synchronize()
        return self.values


def bring_back(values: torch.Tensor) -> Copy:
    """Begin to copy results to this machine's memory; a GPU goes on meanwhile, and nothing waits for it here.

    Args:
        values: of any shape and dtype, on any device.
    """
    return _Download(values) if values.device.type == "cuda" else Copy(values.cpu())


def send(values: npt.NDArray[np.int64], device: torch.device) -> torch.Tensor:
    """Put numbers on a device; on a GPU without waiting for what it computes, as a plain copy would."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class DeviceFeed:
    """Brings tiles to what computes them. On a CPU they stay where they are read.

    Args:
        num_streams: how many tiles are computed side by side, see `processors.count_streams`.

    Attributes:
        is_ahead: whether what computes goes on by itself, while this machine does other things.
        most_together: tiles that it is given together, at most. Tiles are of many sizes: of several, those that are
            computed side by side end at nearly the same time.
    """

    is_ahead = False

    def __init__(self, num_streams: int = 1) -> None:
        self.most_together = 1 if num_streams == 1 else _TILES_A_STREAM * num_streams

    def enter(self) -> None:
        """Called once in each thread that sends tiles."""

    def allocate(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Memory for the pixels of a tile, uint8."""
        return torch.empty(shape, dtype=torch.uint8)

    def send(self, pixels: torch.Tensor) -> Copy:
        """Begin to bring a tile there; called by the thread that read it.

        Args:
            pixels: in memory of `allocate`.
        """
        return Copy(pixels)


class CudaFeed(DeviceFeed):
    """Copies tiles to a GPU from pinned memory, on a stream of their own.

    Args:
        device: the GPU.
    """

    is_ahead = True

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.most_together = _TILES_A_GPU
        self.device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
        self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    def enter(self) -> None:
        """Each thread has its own current GPU, and else takes memory of the first."""
        torch.cuda.set_device(self.device)

    def allocate(self, shape: tuple[int, ...]) -> torch.Tensor:
        """See `DeviceFeed.allocate`."""
        return torch.empty(shape, dtype=torch.uint8, pin_memory=True)

    def send(self, pixels: torch.Tensor) -> Copy:
        """See `DeviceFeed.send`; where the GPU's memory is full, the tile stays here until it is computed."""
        if not pixels.numel():
            return Copy(pixels)
        with torch.cuda.stream(self._stream):
            found = attempt(lambda: pixels.to(self.device, non_blocking=True))
            return Copy(pixels) if found is None else _Upload(found, self._stream)


def make_feed(device: torch.device) -> DeviceFeed:
    """What brings tiles to a device."""
    return CudaFeed(device) if device.type == "cuda" else DeviceFeed(count_streams(count_threads()))
