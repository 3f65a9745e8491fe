"""Starts several processes as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def torchrun(num_ranks: int, *command: object, restarts: int = 0) -> subprocess.CompletedProcess[str]:
    """Run ``torchrun`` on the CPU, one thread for each process.

    Args:
        num_ranks: how many processes.
        command: what they run, and torchrun's further flags before it.
        restarts: how often all are started again when one dies.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={num_ranks}"]
    words += [f"--max-restarts={restarts}", *map(str, command)]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=900, check=False)
