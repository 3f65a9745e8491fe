"""Starts several processes by ``torchrun``, on the CPU, with one thread each."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from helpers.forked_commands import Started


class Ended(NamedTuple):
    """How ``torchrun`` ended, and what it and its processes wrote."""

    status: int
    said: str


def torchrun(folder: Path, num_ranks: int, *command: object, restarts: int = 0) -> Ended:
    """Run ``torchrun``, forked off a process with its imports, as its own processes are; these take most of the time.

    The commands of docs/scaling.md start it as a user does.

    Args:
        folder: the working directory.
        num_ranks: how many processes.
        command: what they run.
        restarts: how often all are started again when one dies.
    """
    flags = ["--standalone", f"--nproc_per_node={num_ranks}", f"--max-restarts={restarts}"]
    with Started(["torchrun", *flags, *map(str, command)], folder) as process:
        return Ended(process.wait(), process.said)
