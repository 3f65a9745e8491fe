"""The processes of one run, which ``torchrun`` starts: which of them this is, on which device, and how they meet."""

from __future__ import annotations

import logging
import os
from datetime import timedelta

import ignite.distributed as idist
import torch
import torch.distributed as dist

from .errors import InputError, counted


def read_rank(name: str = "RANK") -> int:
    """What ``torchrun`` tells a process in its environment.

    Args:
        name: ``RANK``: which process of the run; ``LOCAL_RANK``: which of this machine; ``WORLD_SIZE``: how many.

    Raises:
        InputError: if the process was not started so.
    """
    value = os.environ.get(name, "")
    if not value.isdigit():
        raise InputError(
            f"{name} is not set: configs for several processes are started as torchrun --nproc_per_node=N -m "
            "monai.bundle run ...; or leave the overlay away"
        )
    return int(value)


def is_first_rank() -> bool:
    """Whether this process tells what all would tell: the first that ``torchrun`` started, or one that it did not."""
    return os.environ.get("RANK", "0") in ("", "0")


def count_ranks() -> int:
    """How many processes there are.

    Raises:
        InputError: see `read_rank`.
    """
    return read_rank("WORLD_SIZE")


def rank_device() -> torch.device:
    """A GPU of this process's own, or the CPU where there is none.

    Raises:
        InputError: if there are fewer GPUs than processes on this machine; see `read_rank`.
    """
    local_rank = read_rank("LOCAL_RANK")
    if not torch.cuda.is_available():
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if local_rank >= count:
        raise InputError(
            f"at least {local_rank + 1} processes for {counted(count, 'GPU')}; give torchrun "
            f"--nproc_per_node={count}, or --device cpu"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def start_rank(device: torch.device, timeout_s: float = 300.0) -> int:
    """Meet the other processes, and leave what is told at level INFO to the first.

    Args:
        device: where this process computes: by NCCL processes on GPUs tell each other, by gloo those on CPUs.
        timeout_s: seconds that a process waits for the others in a step before it gives up.

    Returns:
        Which process this is, from 0.

    Raises:
        InputError: if ``timeout_s`` is not positive; see `read_rank`.
    """
    rank = read_rank()
    if not timeout_s > 0:
        raise InputError(f"timeout_s must be a positive number of seconds, but got {timeout_s!r}")
    if not dist.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s))
    idist.sync()  # ignite's metrics find the group; all processes must ask at the same time
    quiet(rank)
    return rank


def quiet(rank: int) -> None:
    """Keep what every process would tell from being told by any but the first; warnings and errors stay."""
    if rank > 0:
        logging.disable(logging.INFO)
