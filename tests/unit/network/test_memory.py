from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from scripts.network.conversion import import_openvino
from scripts.network.memory import attempt, count_fitting, is_out_of_memory

CUDA = torch.device("cuda")


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(2**60),
        lambda: np.empty(2**60, dtype=np.uint8),
        lambda: import_openvino().Tensor(import_openvino().Type.f32, [2**44, 2**10]),
    ],
    ids=["torch", "numpy", "openvino"],
)
def test_real_shortage_of_memory_is_recognized(allocate: Callable[[], object]) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as error:
        allocate()
    assert is_out_of_memory(error.value), repr(error.value)


def test_shortage_on_a_gpu_is_recognized() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_an_attempt_tells_little_memory_from_other_errors() -> None:
    def fail(error: Exception) -> None:
        raise error

    assert attempt(lambda: 3) == 3
    assert attempt(lambda: fail(torch.OutOfMemoryError("CUDA out of memory"))) is None
    with pytest.raises(RuntimeError, match="mat1"):
        attempt(lambda: fail(RuntimeError("mat1 and mat2 shapes cannot be multiplied")))


class Gpu:
    """Counts bytes as PyTorch does of a GPU.

    Args:
        free: that no process has.
        held: by PyTorch, in use or not.
        used: of that, in use.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int, held: int, used: int) -> None:
        self.free, self.held, self.used, self.peak = free, held, used, 10**15
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (self.free, 10**12))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: self.held)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: self.used)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: self.peak)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: setattr(self, "peak", self.used))

    def take(self, needed: int) -> None:
        """Compute something that gives its memory back."""
        self.peak = max(self.peak, self.used + needed)


@pytest.mark.parametrize(("needed", "expected"), [(800, 100), (80, 1000), (80_000, 16), (0, 16 * 5000)])
def test_half_of_the_free_memory_is_taken(monkeypatch: pytest.MonkeyPatch, needed: int, expected: int) -> None:
    gpu = Gpu(monkeypatch, free=9000, held=3000, used=2000)
    assert count_fitting(lambda: gpu.take(needed), 16, CUDA) == expected


def test_what_is_measured_with_may_not_fit_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    Gpu(monkeypatch, free=9000, held=3000, used=2000)

    def fail() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert count_fitting(fail, 16, CUDA) == 16
