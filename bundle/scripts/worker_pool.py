"""Processes that a run on a cluster starts: how many, where, and what becomes of those that are lost."""

from __future__ import annotations

import logging
import os
import time
from typing import Any, NamedTuple

from .errors import InputError
from .readers import readers_of_gpu

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
        self.workers: list[Worker] = []
        self._ray = ray
        self._num_wanted = request.workers
        self._config = {**config, "num_workers": readers}
        if not self.gpus and config.get("device", "").startswith("$torch.device('cuda' if"):
            self._config["device"] = "$torch.device('cpu')"  # GPUs that were not asked for are others'
        self._actor = ray.remote(concurrency_groups={"stage": 1, "report": 1})(_actor_class())
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
            raise InputError(
                f"--ray: {self._num_failures} processes in a row ended as they started; see Ray's logs on the "
                "machines, and whether the package is installed there"
            )
        if time.monotonic() < self._next_start:
            return
        wanted = self._num_wanted or self._num_that_fit()
        while len(self.workers) < min(wanted, num_needed):
            actor = self._actor.options(num_cpus=self.cpus, num_gpus=self.gpus).remote(self._config, os.getcwd())
            self.workers.append(Worker(actor))

    def welcome(self, worker: Worker, found: dict[str, Any]) -> None:
        """A process has started.

        Args:
            worker: the process.
            found: how it introduced itself, see `cluster_worker.start_worker`.
        """
        worker.welcome(found)
        self._num_failures, self._next_start = 0, 0.0

    def drop(self, worker: Worker, reason: str) -> None:
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


class Worker:
    """A process of the cluster as the master sees it.

    Attributes:
        introduction: comes when it has started.
        is_ready: it has started.
        name: for people, once it has.
        since: when it was to start, by the monotonic clock.
        slides: paths in work and ahead, by what Ray gives back for them.
    """

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.since = time.monotonic()
        self.introduction: Any = actor.introduce.remote()
        self.slides: dict[Any, str] = {}
        self.is_ready = False
        self.name = ""
        self._host = ""
        self._num_slides = 0
        self._seconds = 0.0
        self._fraction = 0.0
        self._asked: Any = None

    def refs(self) -> list[Any]:
        """What is waited for."""
        return list(self.slides) if self.is_ready else [self.introduction]

    def welcome(self, found: dict[str, Any]) -> None:
        """It has started."""
        self.is_ready = True
        self._host = found["host"]
        self.name = f"process {found['process']} on {self._host}"

    def give(self, path: str) -> None:
        """Hand it a slide."""
        self.slides[self.actor.infer.remote(path, self.actor.stage.remote(path))] = path

    def finish(self, ref: Any, found: dict[str, Any]) -> str:
        """It has done with a slide; returns its path."""
        self._num_slides += found["state"] == "done"
        self._seconds += found["seconds"]
        self._fraction = 0.0
        return self.slides.pop(ref)

    def poll(self, ray: Any) -> float:
        """How much of the slide in work is done, as last heard."""
        if self._asked is not None and ray.wait([self._asked], timeout=0)[0]:
            asked, self._asked = self._asked, None
            try:
                self._fraction = ray.get(asked)
            except ray.exceptions.RayError:  # a lost process is noticed by its slides
                return 0.0
        if self._asked is None and self.is_ready:
            self._asked = self.actor.fraction.remote()
        return self._fraction if self.slides else 0.0

    def summary(self) -> dict[str, Any]:
        """For ``run.json``."""
        return {
            "host": self._host,
            "slides": self._num_slides,
            "seconds": round(self._seconds, 3),
            "lost": False,
        }


def _cpus_per_gpu(ray: Any) -> float:
    """Processors for each GPU on the machine that has the fewest, so that a process finds room on all of them."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
    return min((float(machine.get("CPU", 0) / machine["GPU"]) for machine in machines), default=0.0)


def _actor_class() -> Any:
    """The class that Ray starts elsewhere; it is made here so that Ray sends it, and finds the package there."""
    import ray

    class Actor:
        def __init__(self, config: dict[str, Any], folder: str) -> None:
            self.arguments = config, folder
            self.worker: Any = None

        def introduce(self) -> Any:  # the work is done here, since Ray tells little of what goes wrong above
            import importlib
            import sys

            sys.path.insert(0, importlib.import_module("pathology_tumor_detection.scripts").bundle_root())
            from scripts.cluster_worker import start_worker  # as configs name it

            self.worker, about = start_worker(*self.arguments)
            return about

        @ray.method(concurrency_group="stage")
        def stage(self, path: str) -> Any:
            return self.worker.stage(path)

        def infer(self, path: str, staged: Any) -> Any:
            return self.worker.infer(path, staged)

        @ray.method(concurrency_group="report")
        def fraction(self) -> float:
            return float(self.worker.fraction())

    return Actor
