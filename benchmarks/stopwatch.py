"""What benchmarks measure time with: wall time and the GPU's utilization of a block, and the steps of a training."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events


def synchronize() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@contextmanager
def timed() -> Iterator[dict[str, Any]]:
    """Measure the wall time of a block, and the GPU's utilization, sampled five times a second, where there is one."""
    result: dict[str, Any] = {"seconds": 0.0, "utilization": None}
    sampler = None
    if torch.cuda.is_available():
        query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200"]
        sampler = subprocess.Popen(query, stdout=subprocess.PIPE, text=True)
    started = time.monotonic()
    try:
        yield result
    finally:
        result["seconds"] = time.monotonic() - started
        if sampler is not None:
            sampler.terminate()
            found = [int(line) for line in sampler.communicate()[0].split() if line.isdigit()]
            result["utilization"] = float(np.mean(found)) if found else None


class Stopwatch:
    """Time of a training's steps, and how much of it the trainer waited for its loader.

    Args:
        skipped: first steps that are left out, while workers start and the network warms up.
        synchronizes: whether to wait for the GPU after each step, so that time falls to the step that took it.
    """

    def __init__(self, skipped: int, synchronizes: bool = True) -> None:
        self.skipped = skipped
        self.synchronizes = synchronizes
        self.waits: list[float] = []
        self._asked = self._begun = self._ended = 0.0

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._start)
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._got)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._end)

    def _start(self) -> None:
        self._asked = time.monotonic()

    def _got(self) -> None:
        self.waits.append(time.monotonic() - self._asked)
        if len(self.waits) == self.skipped + 1:
            self._begun = self._asked

    def _end(self) -> None:
        if self.synchronizes:
            synchronize()
        self._ended = time.monotonic()

    def result(self) -> tuple[int, float, float]:
        """Steps, their seconds, and the seconds that were waited in them."""
        return len(self.waits) - self.skipped, self._ended - self._begun, sum(self.waits[self.skipped :])
