"""Processes that a run on a cluster starts: how many, where, and what becomes of those that are lost."""

from __future__ import annotations

import logging
import os
import time
from typing import Any, NamedTuple

from ..errors import InputError, counted
from ..slides.readers import readers_of_gpu
from .worker_handle import WorkerHandle, actor_class

logger = logging.getLogger(__name__)

MAX_STARTS = 5
"""How many processes in a row may end as they start before a run that has no other ends."""

_QUIET_SECONDS = 30.0
_PAUSE_SECONDS = 1.0, 30.0


class Request(NamedTuple):
    """What is asked of a cluster.

    Attributes:
        address: of a running cluster, ``auto`` for the one that this machine belongs to, or ``local`` to start one of
            this machine alone.
        workers: how many processes; None takes as many as fit, and more when machines join.
        cpus: processors of each; None takes one more than the reading processes.
        gpus: GPUs of each, may be a fraction; None takes one where the cluster has any.
    """

    address: str
    workers: int | None = None
    cpus: float | None = None
    gpus: float | None = None


def check_request(request: Request) -> None:
    """Refuse what cannot be asked.

    Raises:
        InputError: if a number is out of its range.
    """
    if request.workers is not None and request.workers < 1:
        raise InputError(f"--workers must be at least 1, but got {request.workers}")
    if request.cpus is not None and not request.cpus > 0:
        raise InputError(f"--worker_cpus must be a positive number, but got {request.cpus}")
    if request.gpus is not None and not request.gpus >= 0:
        raise InputError(f"--worker_gpus must be at least 0, but got {request.gpus}")


class WorkerPool:
    """Starts processes on a Ray cluster and forgets the lost ones.

    A machine that is lost looks free for some seconds, so that processes are started there in vain. As long as another
    process has started, or was to start before the first that failed, that is no reason to end the run.

    Args:
        ray: the module, connected to the cluster.
        request: what is asked for; checked.
        config: ``inference.json`` with what was laid over it, for the processes.

    Attributes:
        workers: the processes.
        cpus: processors of each.
        gpus: GPUs of each.
    """

    def __init__(self, ray: Any, request: Request, config: dict[str, Any]) -> None:
        total = ray.cluster_resources()
        self.gpus = request.gpus if request.gpus is not None else float(total.get("GPU", 0) > 0)
        readers = config.get("num_workers")
        if not isinstance(readers, int):
            readers = readers_of_gpu(request.cpus or _cpus_per_gpu(ray) * self.gpus) if self.gpus else 1
        self.cpus = request.cpus or min(1.0 + readers, total.get("CPU", 1))
        self.workers: list[WorkerHandle] = []
        self._ray = ray
        self._num_wanted = request.workers
        self._config = {**config, "num_workers": readers}
        if not self.gpus and config.get("device", "").startswith("$torch.device('cuda' if"):
            self._config["device"] = "$torch.device('cpu')"  # GPUs that were not asked for are others'
        self._actor = ray.remote(concurrency_groups={"stage": 1, "report": 1})(actor_class())
        self._num_failures = 0
        self._failed_at = 0.0
        self._next_start = 0.0
        self._heard = time.monotonic()

    def start(self, num_needed: int) -> None:
        """Start processes until there are enough.

        Args:
            num_needed: how many would find work.

        Raises:
            InputError: if processes end as they start, again and again, and no other is there.
        """
        if self._num_failures >= MAX_STARTS and not any(
            worker.is_ready or worker.since < self._failed_at for worker in self.workers
        ):
            num_failures = counted(self._num_failures, "process", "processes")
            raise InputError(
                f"--ray: {num_failures} in a row ended as they started; see Ray's logs on the machines, and "
                "whether the package is installed there"
            )
        if time.monotonic() < self._next_start:
            return
        wanted = self._num_wanted or self._num_that_fit()
        while len(self.workers) < min(wanted, num_needed):
            actor = self._actor.options(num_cpus=self.cpus, num_gpus=self.gpus).remote(self._config, os.getcwd())
            self.workers.append(WorkerHandle(actor))

    def welcome(self, worker: WorkerHandle, found: dict[str, Any]) -> None:
        """A process has started.

        Args:
            worker: the process.
            found: how it introduced itself, see `worker.start_worker`.
        """
        worker.welcome(found)
        self._num_failures, self._next_start = 0, 0.0

    def drop(self, worker: WorkerHandle, reason: str) -> None:
        """Forget a process that is lost, or ended as it started.

        Args:
            worker: the process.
            reason: what is known of it.
        """
        self.workers.remove(worker)
        self._ray.kill(worker.actor)  # where only the connection broke, it would go on
        if worker.is_ready:
            logger.warning("lost %s (%.150s); its slides go to others", worker.name, reason)
            return
        logger.warning("a process ended as it started (%.150s); another is started", reason)
        now = time.monotonic()
        if self._num_failures == 0:
            self._failed_at = now
        self._num_failures += 1
        least, most = _PAUSE_SECONDS
        self._next_start = now + min(least * 2 ** (self._num_failures - 1), most)

    def poll(self) -> float:
        """How many slides' worth of those in work is done, as last heard."""
        return sum(worker.poll(self._ray) for worker in self.workers)

    def heard(self) -> None:
        """A process has said something."""
        self._heard = time.monotonic()

    def tell_if_quiet(self) -> None:
        """Warn if no process could be started for long."""
        if not any(worker.is_ready for worker in self.workers) and time.monotonic() - self._heard > _QUIET_SECONDS:
            self._heard = time.monotonic()
            free = {key: self._ray.available_resources().get(key, 0) for key in ("CPU", "GPU")}
            logger.warning(
                "no process has started yet: each needs %g CPUs and %g GPUs, free are %g and %g",
                *(self.cpus, self.gpus, free["CPU"], free["GPU"]),
            )

    def close(self) -> None:
        """End the processes."""
        for worker in self.workers:
            self._ray.kill(worker.actor)

    def _num_that_fit(self) -> int:
        total = 0
        for node in self._ray.nodes():
            if node["Alive"]:
                has = node["Resources"]
                fits = has.get("CPU", 0) / self.cpus
                total += int(min(fits, has.get("GPU", 0) / self.gpus) if self.gpus else fits)
        return max(1, total)


def _cpus_per_gpu(ray: Any) -> float:
    """Processors for each GPU on the machine that has the fewest, so that a process finds room on all of them."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
    return min((float(machine.get("CPU", 0) / machine["GPU"]) for machine in machines), default=0.0)
