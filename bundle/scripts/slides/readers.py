"""Processes that read for a network. A CPU is better left to the network, a GPU waits for whoever decodes.

A process that a decoder ends says nothing any more. So readers leave notes in memory and in a file that a fork shares.
"""

from __future__ import annotations

import mmap
import os
import re
import signal
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..network.processors import count_processors

if TYPE_CHECKING:
    import torch

_LOST = re.compile(r"DataLoader worker \(pid(?:\(s\))? (\d+)[\d, ]*\)(?: is killed by signal: ([^.]+))?")

MAX_READERS = 16
"""More are given to no network."""

_NUM_SLOTS, _SLOT_BYTES = 1024, 2048  # a slot by process id; neighbors get different ones
_HEAD = struct.Struct("<qH")
_slots = mmap.mmap(-1, _NUM_SLOTS * _SLOT_BYTES)
# Appended to, so that lines of several processes do not mix; open as long as the process lives.
_lines = tempfile.TemporaryFile("ab+", buffering=0)  # noqa: SIM115
_num_read = 0
_is_reader = False


def count_readers(device: torch.device, on_cpu: int = 1, cache: str | None = None) -> int:
    """How many processes shall read for the network of this process.

    Args:
        device: where the network runs.
        on_cpu: how many there shall be for a network on a CPU.
        cache: where what is read stays, see `training.patch_images.PatchImageDataset`; None where it is read again and
            again.

    Returns:
        0 for what stays; else ``on_cpu``, or for a GPU `readers_of_gpu` of the processors that this process may
        use, which the processes that ``torchrun`` started on this machine share.
    """
    if cache is not None:
        return 0
    if device.type == "cpu":
        return on_cpu
    return readers_of_gpu(count_processors() / int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def readers_of_gpu(cpus: float) -> int:
    """How many processes shall read for a network on a GPU.

    Args:
        cpus: processors that it has for itself.

    Returns:
        All but one, from 1 to `MAX_READERS`.
    """
    return max(1, min(MAX_READERS, int(cpus) - 1))


def start_reader(worker_id: int) -> None:
    """What a loader's process does first: it leaves a terminal's signals to the one that it reads for.

    Ctrl-C reaches all processes, and without its readers that one could not finish its step. For ``worker_init_fn`` of
    MONAI's ``DataLoader``, whose own it calls.

    Args:
        worker_id: which of the loader's processes.
    """
    from monai.data.utils import worker_init_fn

    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    become_reader()
    worker_init_fn(worker_id)


def start_watched_reader(worker_id: int) -> None:
    """`start_reader` for a reader that `watched_readers` ends: it leaves SIGTERM to who it reads for, too.

    Slurm and systemd send it to all processes. Python ends by it what it still finds at its exit, and waits; so it must
    not be ignored by a reader that nobody else ends.

    Args:
        worker_id: which of the loader's processes.
    """
    start_reader(worker_id)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextmanager
def watched_readers(*loaders: Any) -> Iterator[None]:
    """Tell what is lost if a loader's process dies, and end all of them at once.

    Else Python ends them when it collects the engines, which name each other. It closes the queues first then, so no
    process hears that it shall end, and torch waits five seconds for each. Readers that start meanwhile leave all
    signals that stop a run to this process.

    Args:
        loaders: torch's loaders. Each may be used again: it starts new processes then.

    Raises:
        InputError: if a process is gone; names the slide that it read.
    """
    watched = [loader for loader in loaders if getattr(loader, "worker_init_fn", None) is start_reader]
    for loader in watched:
        loader.worker_init_fn = start_watched_reader
    try:
        yield
    except RuntimeError as error:
        lost = lost_reader(error)
        if lost is None:
            raise
        raise lost from error
    finally:
        for loader in loaders:
            iterator = getattr(loader, "_iterator", None)  # None without processes of its own
            if iterator is not None:
                iterator._shutdown_workers()
                for reader in iterator._workers:
                    reader.kill()  # one that hangs: torch's SIGTERM ends no watched reader
                loader._iterator = None
        for loader in watched:
            loader.worker_init_fn = start_reader


def lost_reader(error: BaseException | None) -> InputError | None:
    """What torch's message that a loader's process is gone means for a user: the slide that it read.

    Args:
        error: what was raised, with its causes and contexts.

    Returns:
        One line that names the slide if it is known, or None if the error is another one.
    """
    while error is not None:
        lost = _LOST.search(str(error))
        if lost is not None:
            slide = slide_of(int(lost[1]))
            how = f"by a signal ({lost[2]})" if lost[2] else "unexpectedly"
            if slide is None:
                return InputError(
                    f"a process that reads for the network ended {how}; memory is short, or somebody ended it: give "
                    "fewer --num_workers, or run the command again"
                )
            return InputError(
                f"{slide}: the process that read it ended {how}; the file is damaged, or memory is short: copy the "
                "slide again from its source, take its lines out of the labels, or give fewer --num_workers"
            )
        error = error.__cause__ or error.__context__
    return None


def become_reader() -> None:
    """From now on this process reads for the one that started it."""
    global _is_reader
    _is_reader = True


def note_slide(path: str | Path) -> None:
    """Write down which slide is being read, if this is a reader."""
    if _is_reader:
        name = os.fsencode(path)[: _SLOT_BYTES - _HEAD.size]
        start = os.getpid() % _NUM_SLOTS * _SLOT_BYTES
        _slots[start : start + _HEAD.size + len(name)] = _HEAD.pack(os.getpid(), len(name)) + name


def slide_of(process: int) -> str | None:
    """The slide that a reader read last, by its process id, or None if it wrote nothing."""
    start = process % _NUM_SLOTS * _SLOT_BYTES
    found, length = _HEAD.unpack_from(_slots, start)
    if found != process:
        return None
    return os.fsdecode(_slots[start + _HEAD.size : start + _HEAD.size + length])


def write_line(line: str) -> bool:
    """Leave a line for the process that this one reads for; false if it reads for none."""
    if _is_reader:
        _lines.write(line.replace("\n", " ").encode("utf-8", "surrogateescape") + b"\n")
    return _is_reader


def read_lines() -> list[str]:
    """The lines that readers left since this was last asked."""
    global _num_read
    size = os.fstat(_lines.fileno()).st_size
    text = os.pread(_lines.fileno(), size - _num_read, _num_read)
    whole = text[: text.rfind(b"\n") + 1]
    _num_read += len(whole)
    return [line for line in whole.decode("utf-8", "surrogateescape").split("\n") if line]
