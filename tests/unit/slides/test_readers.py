from __future__ import annotations

import os
import signal

import pytest
import torch
from monai.data import DataLoader
from torch.utils.data import Dataset

from scripts.slides import readers
from scripts.slides.readers import MAX_READERS, count_readers, readers_of_gpu, start_reader

GPU = torch.device("cuda", 0)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(readers, "count_processors", lambda: 12)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    return monkeypatch


def test_a_cpu_is_left_to_the_network(machine: pytest.MonkeyPatch) -> None:
    assert count_readers(torch.device("cpu")) == 1
    assert count_readers(torch.device("cpu"), on_cpu=2) == 2


@pytest.mark.parametrize("device", [torch.device("cpu"), GPU])
def test_what_is_kept_is_not_read(device: torch.device) -> None:
    assert count_readers(device, on_cpu=2, cache="cuda") == 0


def test_a_gpu_gets_all_processors_but_one(machine: pytest.MonkeyPatch) -> None:
    assert count_readers(GPU) == 11
    machine.setenv("LOCAL_WORLD_SIZE", "4")
    assert count_readers(GPU) == 2
    machine.setenv("LOCAL_WORLD_SIZE", "8")
    assert count_readers(GPU) == 1


@pytest.mark.parametrize(
    ("cpus", "expected"), [(0.0, 1), (1.5, 1), (3.9, 2), (17.0, MAX_READERS), (256.0, MAX_READERS)]
)
def test_readers_of_a_gpu(cpus: float, expected: int) -> None:
    assert readers_of_gpu(cpus) == expected


class Interrupted(Dataset[int]):
    """Its reader gets the signals of a terminal before each sample."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> int:
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)
        return index


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_a_reader_leaves_the_signals_of_a_terminal_to_its_process(context: str) -> None:
    settings = {"num_workers": 1, "worker_init_fn": start_reader, "multiprocessing_context": context}
    assert [int(index) for index in DataLoader(Interrupted(), batch_size=1, **settings)] == [0, 1, 2]
