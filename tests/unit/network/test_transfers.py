"""What goes to a GPU and comes back. No GPU is needed: made-up streams note the order of calls, and prove no more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from scripts.network import transfers
from scripts.network.transfers import CudaFeed, bring_back, make_feed, send

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 1)


@pytest.mark.parametrize(("num_threads", "expected"), [(1, 1), (2, 6), (8, 12)])
def test_on_a_cpu_several_tiles_keep_its_streams_busy(
    monkeypatch: pytest.MonkeyPatch, num_threads: int, expected: int
) -> None:
    monkeypatch.setattr(transfers, "count_threads", lambda: num_threads)
    assert make_feed(CPU).most_together == expected


def test_on_a_cpu_nothing_is_copied() -> None:
    feed = make_feed(CPU)
    assert not feed.is_ahead
    feed.enter()
    pixels = feed.allocate((5, 7, 3))
    assert (pixels.shape, pixels.dtype) == ((5, 7, 3), torch.uint8)
    for copy in (feed.send(pixels), bring_back(pixels)):
        assert copy.is_done()
        assert copy.take() is pixels
    assert send(np.array([3, 1]), CPU).tolist() == [3, 1]


class Event:
    """As ``torch.cuda.Event``."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu, self.is_over = gpu, False

    def record(self, stream: str) -> None:
        self.gpu.calls.append(f"record on {stream}")

    def query(self) -> bool:
        return self.is_over

    def synchronize(self) -> None:
        self.gpu.calls.append("wait here")


class Stream:
    """As ``torch.cuda.Stream`` where the network computes."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu

    def __str__(self) -> str:
        return "compute"

    def wait_event(self, event: Event) -> None:
        self.gpu.calls.append("compute waits")


class Values:
    """A tensor in pinned memory or, once it was moved, on the GPU."""

    device = CUDA
    shape = (2, 3)
    dtype = torch.float32

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu

    def numel(self) -> int:
        return 6

    def to(self, device: torch.device, non_blocking: bool) -> Values:
        assert non_blocking
        if self.gpu.is_full:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.gpu.calls.append(f"copy to {device} on {self.gpu.current}")
        return Values(self.gpu)

    def copy_(self, values: Values, non_blocking: bool) -> None:
        assert non_blocking
        self.gpu.calls.append(f"copy from {values.device} on {self.gpu.current}")

    def record_stream(self, stream: Stream) -> None:
        self.gpu.calls.append(f"{stream} uses it")


class Gpu:
    """Notes what is asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.current, self.is_full = "compute", False
        monkeypatch.setattr(torch.cuda, "Event", lambda: Event(self))
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: f"copies of {device}")
        monkeypatch.setattr(torch.cuda, "stream", self._stream)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(self))
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "set_device", lambda device: self.calls.append(f"enter {device}"))

    @contextlib.contextmanager
    def _stream(self, stream: str) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return Gpu(monkeypatch)


def test_a_tile_is_copied_on_another_stream_and_the_network_waits_for_it(gpu: Gpu) -> None:
    feed = make_feed(CUDA)
    assert isinstance(feed, CudaFeed)
    assert feed.is_ahead
    feed.enter()
    copy = feed.send(Values(gpu))  # type: ignore[arg-type]
    assert gpu.calls == ["enter cuda:1", "copy to cuda:1 on copies of cuda:1", "record on copies of cuda:1"]
    assert not copy.is_done()
    gpu.calls.clear()
    assert copy.take() is copy.values
    assert gpu.calls == ["compute waits", "compute uses it"], "this thread does not wait"


def test_a_tile_for_which_there_is_no_memory_stays_here(gpu: Gpu) -> None:
    gpu.is_full = True
    pixels: Any = Values(gpu)
    assert CudaFeed(CUDA).send(pixels).take() is pixels
    assert gpu.calls == []


def test_a_gpu_without_a_number_is_the_current_one(gpu: Gpu) -> None:
    CudaFeed(torch.device("cuda")).enter()
    assert gpu.calls == ["enter cuda:0"]


def test_results_come_back_without_a_wait(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    here, values = Values(gpu), Values(gpu)
    monkeypatch.setattr(transfers.torch, "empty", lambda shape, dtype, pin_memory: here if pin_memory else None)
    copy = bring_back(values)  # type: ignore[arg-type]
    assert gpu.calls == ["copy from cuda:1 on compute", "record on compute"]
    assert not copy.is_done()
    assert gpu.calls[2:] == []
    assert copy.take() is here
    assert gpu.calls[2:] == ["wait here"]
