from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from monai.data import DataLoader
from torch.utils.data import Dataset

from scripts.errors import STOP_SIGNALS, InputError
from scripts.slides import fallbacks, readers
from scripts.slides.readers import (
    MAX_READERS,
    become_reader,
    count_readers,
    note_slide,
    read_lines,
    readers_of_gpu,
    slide_of,
    start_reader,
    watched_readers,
    write_line,
)

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
    """Its reader gets signals before each sample."""

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self.numbers = numbers

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> int:
        for number in self.numbers:
            os.kill(os.getpid(), number)
        return index


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_a_reader_leaves_the_signals_of_a_terminal_to_its_process(context: str) -> None:
    settings = {"num_workers": 1, "worker_init_fn": start_reader, "multiprocessing_context": context}
    loader = DataLoader(Interrupted((signal.SIGINT, signal.SIGHUP)), batch_size=1, **settings)
    assert [int(index) for index in loader] == [0, 1, 2]


def test_a_watched_reader_leaves_all_signals_that_stop_a_run_to_its_process() -> None:
    loader = DataLoader(Interrupted(STOP_SIGNALS), batch_size=1, num_workers=1, worker_init_fn=start_reader)
    with watched_readers(loader):
        assert [int(index) for index in loader] == [0, 1, 2]
    assert loader.worker_init_fn is start_reader


def test_a_reader_that_nobody_watches_ends_by_sigterm() -> None:
    """Else Python, which ends it so at its exit, would wait for ever."""
    loader = DataLoader(Hanging(), batch_size=1, num_workers=1, worker_init_fn=start_reader)
    iterator = iter(loader)
    next(iterator)
    (process,) = iterator._workers
    process.terminate()
    process.join(30)
    assert process.exitcode is not None


class Numbers(Dataset[int]):
    """Two samples, each read by a process of its own."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        return index


class Engine:
    """Names its loader and itself, as Ignite's engines and their handlers name each other."""

    def __init__(self) -> None:
        self.loader = DataLoader(Numbers(), batch_size=1, num_workers=2, persistent_workers=True)
        self.itself = self

    def run(self) -> list[int]:
        return [int(index) for index in self.loader]


def test_readers_hear_that_they_shall_end() -> None:
    engine = Engine()
    loader = engine.loader
    with watched_readers(loader, None):
        assert engine.run() == [0, 1]
        processes = loader._iterator._workers
    assert [process.exitcode for process in processes] == [0, 0]  # torch ends by a signal what does not hear
    with watched_readers(loader):
        assert engine.run() == [0, 1]


def test_readers_end_where_a_run_fails() -> None:
    engine = Engine()
    loader = engine.loader

    def fail() -> None:
        with watched_readers(loader):
            engine.run()
            processes.extend(loader._iterator._workers)
            raise RuntimeError("as of a network")

    processes: list[BaseProcess] = []
    with pytest.raises(RuntimeError, match="as of a network"):
        fail()
    assert [process.exitcode for process in processes] == [0, 0]


class Hanging(Dataset[int]):
    """Its reader never comes back with the second sample."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        while index:
            signal.pause()
        return index


def test_a_reader_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.2)
    loader = DataLoader(Hanging(), batch_size=1, num_workers=1, worker_init_fn=start_reader)
    with watched_readers(loader):
        loader._iterator = iter(loader)
        assert int(next(loader._iterator)) == 0
        (process,) = loader._iterator._workers
    process.join(30)
    assert process.exitcode == -signal.SIGKILL


def test_a_reader_that_is_lost_is_told_of() -> None:
    loader = DataLoader(Hanging(), batch_size=1, num_workers=1)
    how = r"(unexpectedly|by a signal \(Killed\))"  # torch notices it in one of two places

    def lose() -> None:
        with watched_readers(loader):
            iterator = iter(loader)
            next(iterator)
            iterator._workers[0].kill()
            next(iterator)

    with pytest.raises(InputError, match=f"a process that reads for the network ended {how}; memory is short"):
        lose()


def in_a_fork(do: Callable[[], None]) -> int:
    """Run something in a process that ends at once, as one does that a decoder ends."""
    process = os.fork()
    if not process:
        do()
        os._exit(0)
    os.waitpid(process, 0)
    return process


def test_the_slide_in_work_outlives_its_reader() -> None:
    long = "/slides/" + "ü" * 3000 + ".tif"

    def read() -> None:
        become_reader()
        for path in ("/slides/a longer name.tif", "/slides/b.tif"):
            note_slide(path)

    def read_long() -> None:
        become_reader()
        note_slide(long)

    assert slide_of(in_a_fork(read)) == "/slides/b.tif"
    assert long.startswith((slide_of(in_a_fork(read_long)) or "?").rstrip("\udcc3"))
    assert slide_of(in_a_fork(lambda: note_slide("/slides/c.tif"))) is None
    assert slide_of(os.getpid()) is None


def test_lines_come_once() -> None:
    read_lines()

    def leave() -> None:
        become_reader()
        write_line("one")
        write_line("two\nlines")

    in_a_fork(leave)
    assert not write_line("of no reader")
    assert read_lines() == ["one", "two lines"]
    assert read_lines() == []


def test_slides_that_readers_read_slowly_are_told_of_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallbacks, "_told", set())
    read_lines()

    def read() -> None:
        become_reader()
        for _ in range(2):
            fallbacks.note_fallback("16 bits", Path("/slides/a.tif"))

    in_a_fork(read)
    fallbacks.tell_fallbacks()
    in_a_fork(read)
    fallbacks.tell_fallbacks()
    assert [record.getMessage() for record in caplog.records] == [
        "1 slide was read by OpenSlide, several times slower than by cuCIM: 16 bits: a.tif"
    ]
