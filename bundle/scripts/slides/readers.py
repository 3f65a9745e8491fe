"""Processes that read for a network. A CPU is better left to the network, a GPU waits for whoever decodes."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

from ..errors import InputError
from ..network.processors import count_processors
from .reader_notes import become_reader, slide_of

if TYPE_CHECKING:
    import torch

_LOST = re.compile(r"DataLoader worker \(pid(?:\(s\))? (\d+)[\d, ]*\)(?: is killed by signal: ([^.]+))?")

MAX_READERS = 16
"""More are given to no network."""


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


def lost_reader(error: BaseException | None) -> InputError | None:
    """What torch's message that a loader's process is gone means for a user: the slide that it read.

    Args:
        error: what was raised, with its causes and contexts.

    Returns:
        One line that names the slide, or None if the error is another one or the slide is not known.
    """
    while error is not None:
        lost = _LOST.search(str(error))
        slide = None if lost is None else slide_of(int(lost[1]))
        if lost is not None and slide is not None:
            how = f"by a signal ({lost[2]})" if lost[2] else "unexpectedly"
            return InputError(
                f"{slide}: the process that read it ended {how}; the file is damaged, or memory is short: copy the "
                "slide again from its source, take its lines out of the labels, or give fewer --num_workers"
            )
        error = error.__cause__ or error.__context__
    return None
