"""How many processors this process may use, and how its threads share them with others."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc/self")
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "2000"}
"""How long a thread of OpenMP waits awake. GCC's library, torch's on Linux, takes the turns of a loop; to sleep at once
cost a training that had the machine for itself 3 to 9 % of its time, 2,000 turns cost none."""

_MANY_THREADS = 8


def count_processors(proc: Path = _PROC) -> int:
    """How many processors this process may use: what it is allowed, which may be less than the machine has.

    Two things limit it: the processors that it may run on (``taskset``, a batch system, ``cpuset``), and the time that
    its control groups grant it (a container's ``--cpus``, Kubernetes' limits, systemd's ``CPUQuota``). A group's own
    limit and those of all groups around it hold together. Files are as in the kernel's documentation: ``cpu.max`` in
    admin-guide/cgroup-v2, ``cpu.cfs_quota_us`` in scheduler/sched-bwc.

    Args:
        proc: the folder in which Linux describes the process. What is not there sets no limit.

    Returns:
        At least 1; a part of a processor counts as one.
    """
    has_affinity = hasattr(os, "sched_getaffinity")  # Linux only
    count = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, min([count, *map(math.ceil, _quotas(proc))]))


def count_threads() -> int:
    """How many threads shall compute a network on a CPU.

    Returns:
        As many as torch has, but at most one for each processor that this process may use: torch looks at
        ``taskset``, not at what control groups grant. Where ``OMP_NUM_THREADS`` is set, as ``torchrun`` and Ray do,
        torch's number stays.
    """
    import torch  # this module serves before torch is loaded

    count = torch.get_num_threads()
    return count if os.environ.get("OMP_NUM_THREADS") else min(count, count_processors())


def count_streams(num_threads: int) -> int:
    """How many inputs shall be computed side by side on a CPU, each by its share of the threads.

    Threads that compute one input wait for each other at each layer. So one that shares its processor, with a process
    that reads slides or with others on the machine, slows all of them down. Side by side it slows its own input only.

    Args:
        num_threads: see `count_threads`.

    Returns:
        4 where each then has at least two threads, else 2 or 3; 1 where the threads cannot be shared out evenly.
    """
    counts = (4, 2, 3) if num_threads >= _MANY_THREADS else (2, 3)
    return next((count for count in counts if num_threads % count == 0), 1)


def limit_threads() -> None:
    """Let torch compute with `count_threads`, in this process and from now on."""
    import torch

    if (count := count_threads()) < torch.get_num_threads():
        torch.set_num_threads(count)


def share_processors() -> None:
    """Let OpenMP's threads soon sleep where they wait for each other, instead of keeping a processor busy.

    While others compute too, a thread that waits for one without a processor would take it from the others. It has an
    effect on libraries that are loaded later, torch above all, and on processes started later. What the user has set
    stays: either of the two.
    """
    if any(name in os.environ for name in _WAITING):
        return
    for name, value in _WAITING.items():
        os.environ[name] = value


def _quotas(proc: Path) -> Iterator[float]:
    """Processors' worth of time that each group around the process grants, where it limits it."""
    mounts = list(_mounts(proc))
    for line in _lines(proc / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for is_first_version, root, folder in mounts:
            if is_first_version == bool(controllers):
                yield from _quotas_along(folder, _below(root, path))


def _mounts(proc: Path) -> Iterator[tuple[bool, str, Path]]:
    """Where groups are found that may limit time: whether they are of version 1, their root there, and the folder."""
    for line in _lines(proc / "mountinfo"):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and "cpu" in options.split(",")):
            root, folder = (
                re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), text) for text in before.split()[3:5]
            )
            yield kind == "cgroup", root, Path(folder)


def _below(root: str, path: str) -> list[str]:
    """Names from a mount's root to a group; none if the group lies outside, as seen from a container."""
    parents, names = ([part for part in text.split("/") if part] for text in (root, path))
    inside = names[: len(parents)] == parents and ".." not in names
    return names[len(parents) :] if inside else []


def _quotas_along(folder: Path, names: list[str]) -> Iterator[float]:
    for depth in range(len(names) + 1):
        group = folder.joinpath(*names[:depth])
        limit = [word for line in _lines(group / "cpu.max") for word in line.split()]
        if not limit:
            limit = [*_lines(group / "cpu.cfs_quota_us"), *_lines(group / "cpu.cfs_period_us")]
        if len(limit) == 2 and limit[0].isdigit():  # else "max", or -1
            yield int(limit[0]) / int(limit[1])


def _lines(path: Path) -> list[str]:
    """Lines of a file of the kernel's; none where it, or what it is about, does not exist."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
