"""Inference on a Ray cluster: slides are handed, one by one, to processes that hold the network.

This is the master: it knows what is done and what is in work, starts processes in place of lost ones, and writes
``run.json``. The processes write the maps; see `cluster_worker.SlideWorker`.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import bundle_root
from .errors import InputError
from .remote import is_url, list_slides
from .results import open_results
from .run_report import RunReport
from .workflow import device_override, find_overlays

logger = logging.getLogger(__name__)

MAX_LOSSES = 3
"""How many processes a slide may take with it before it is set aside."""

_MAX_STARTS = 5
_POLL_SECONDS = 1.0
_QUIET_SECONDS = 30.0


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


def load_ray() -> Any:
    """Ray, without its usage statistics, which otherwise go to its makers.

    Raises:
        InputError: if it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # how it will be; else it warns
    try:
        import ray
    except ImportError as error:
        raise InputError("--ray: Ray is not installed; install the extra 'cluster'") from error
    return ray


def infer_on_cluster(request: Request, overrides: Mapping[str, Any], overlays: Sequence[str] = ()) -> None:
    """Run ``inference.json`` on a cluster.

    Args:
        request: the cluster, and what is asked of it.
        overrides: values for ids of the config.
        overlays: config files laid over it, see `workflow.find_overlays`.

    Raises:
        InputError: if slides failed, or the run cannot go on.
    """
    check_request(request)
    from monai.bundle import ConfigParser

    configs = [Path(bundle_root()) / "configs" / "inference.json", *find_overlays(overlays)]
    parser = ConfigParser(ConfigParser.load_config_files([str(path) for path in configs]))
    parser.update(device_override(overrides))
    parser.parse(True)
    output_dir = parser.get_parsed_content("output_dir")
    slides = [_absolute(path) for path in list_slides(parser.get_parsed_content("slides"))]
    config = {**parser.get(), "output_dir": _absolute(output_dir), "slides": []}
    with SlideCluster(request, config) as cluster:
        results = open_results(output_dir)
        results.lock()
        report = RunReport(results, len(slides))
        try:
            cluster.run(slides, report)
        finally:
            try:
                report.close()
            finally:
                results.unlock()
    report.finish()


class SlideCluster:
    """Runs slides on a Ray cluster.

    Args:
        request: what to ask for.
        config: ``inference.json`` with what was laid over it, without the slides.

    Raises:
        InputError: if Ray is missing, or there is no cluster at the address.
    """

    def __init__(self, request: Request, config: dict[str, Any]) -> None:
        check_request(request)
        self.request = request
        self.config = dict(config)
        self._ray = load_ray()
        self._is_own = not self._ray.is_initialized()
        if self._is_own:
            self._connect()
        total = self._ray.cluster_resources()
        self.gpus = request.gpus if request.gpus is not None else float(total.get("GPU", 0) > 0)
        readers = config.get("num_workers", 1)
        self.cpus = request.cpus or min(1.0 + (readers if isinstance(readers, int) else 1), total.get("CPU", 1))
        if not self.gpus and config.get("device", "").startswith("$torch.device('cuda' if"):
            self.config["device"] = "$torch.device('cpu')"  # GPUs that were not asked for are others'
        self._actor = self._ray.remote(concurrency_groups={"stage": 1, "report": 1})(_actor_class())
        self._workers: list[_Worker] = []
        self._waiting: deque[str] = deque()
        self._losses: Counter[str] = Counter()
        self._num_starts = 0
        self._told: set[str] = set()
        self._about: dict[str, Any] | None = None
        self._heard = time.monotonic()

    def __enter__(self) -> SlideCluster:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            self._ray.kill(worker.actor)
        if self._is_own:
            self._ray.shutdown()

    def run(self, slides: Sequence[str], report: RunReport) -> None:
        """Compute slides, each once, whatever happens to the machines.

        Args:
            slides: paths and addresses; they must mean the same on every machine.
            report: takes in what becomes of each.

        Raises:
            InputError: if a process meets what would end a run on one machine, or processes cannot be started.
        """
        self._waiting = deque(sorted(slides, key=_bytes, reverse=True))  # what takes long must not come last
        polled = 0.0
        while self._waiting or any(worker.slides for worker in self._workers):
            if time.monotonic() - polled > _POLL_SECONDS:
                polled = time.monotonic()
                self._start_workers()
                report.show(sum(worker.poll(self._ray) for worker in self._workers))
                self._tell_if_quiet()
            self._hand_out()
            refs = [ref for worker in self._workers for ref in worker.refs()]
            ready, _ = self._ray.wait(refs, num_returns=1, timeout=_POLL_SECONDS) if refs else ([], [])
            for ref in ready:
                self._take_in(ref, report)
        report.workers = [worker.summary() for worker in self._workers if worker.is_ready] + report.workers

    def _connect(self) -> None:
        options: dict[str, Any] = {"address": self.request.address}
        if self.request.address == "local":
            # results do not travel through Ray's store: the least that it takes
            options |= {"object_store_memory": 80 << 20, "include_dashboard": False}
        try:
            self._ray.init(log_to_driver=False, configure_logging=False, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"--ray {self.request.address}: no cluster ({reason:.200}); give the address that `ray start --head` "
                "printed, auto, or local"
            ) from error

    def _start_workers(self) -> None:
        if self._num_starts >= _MAX_STARTS:
            raise InputError(
                f"--ray: {self._num_starts} processes in a row ended as they started; see Ray's logs on the machines, "
                "and whether the package is installed there"
            )
        wanted = self.request.workers or self._num_that_fit()
        needed = len(self._waiting) + sum(bool(worker.slides) for worker in self._workers)
        while len(self._workers) < min(wanted, needed):
            actor = self._actor.options(num_cpus=self.cpus, num_gpus=self.gpus).remote(self.config, os.getcwd())
            self._workers.append(_Worker(actor))

    def _num_that_fit(self) -> int:
        total = 0
        for node in self._ray.nodes():
            if node["Alive"]:
                has = node["Resources"]
                fits = has.get("CPU", 0) / self.cpus
                total += int(min(fits, has.get("GPU", 0) / self.gpus) if self.gpus else fits)
        return max(1, total)

    def _hand_out(self) -> None:
        """Two slides to each process, so that one is copied and looked up meanwhile; towards the end only one."""
        for depth in (1, 2):
            for worker in self._workers:
                is_plenty = len(self._waiting) > len(self._workers)
                if worker.is_ready and len(worker.slides) < depth and self._waiting and (depth == 1 or is_plenty):
                    worker.give(self._waiting.popleft())

    def _take_in(self, ref: Any, report: RunReport) -> None:
        worker = next(worker for worker in self._workers if ref in worker.refs())
        try:
            found = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError:  # what an actor's code raised: nothing that another could mend
            raise
        except self._ray.exceptions.RayError as error:
            self._replace(worker, error, report)
            return
        self._heard = time.monotonic()
        if ref == worker.introduction:
            self._welcome(worker, found, report)
            return
        path = worker.finish(ref, found)
        for line in found["warnings"]:
            if line not in self._told:  # each process says some of them
                self._told.add(line)
                logger.warning("%s", line)
        if found["state"] == "fatal":
            raise InputError(f"{path}: {found['reason']}")
        report.add(path, found, was_in_work=self._losses[path] > 0)

    def _welcome(self, worker: _Worker, found: dict[str, Any], report: RunReport) -> None:
        if found["error"] is not None:
            raise InputError(f"{found['host']}: {found['error']}")
        worker.welcome(found)
        self._num_starts = 0
        about = found["about"]
        if self._about is None:
            self._about = report.about = about
        for key in ("weights_sha256", "versions"):
            if about[key] != self._about[key]:
                raise InputError(
                    f"--ray: {found['host']} has {key} {json.dumps(about[key]):.300}, but another machine "
                    f"{json.dumps(self._about[key]):.300}; install the same on all"
                )

    def _replace(self, worker: _Worker, error: Exception, report: RunReport) -> None:
        """Its slides go back to the front; the one in work counts a loss."""
        reason = " ".join(str(error).split())
        self._workers.remove(worker)
        report.workers.append({**worker.summary(), "lost": True})
        if not worker.is_ready:
            self._num_starts += 1
        logger.warning("lost %s (%.150s); its slides go to others", worker.name, reason)
        for index, path in enumerate(worker.slides.values()):
            self._losses[path] += index == 0
            if self._losses[path] >= MAX_LOSSES:
                text = (
                    f"{path}: {MAX_LOSSES} processes were lost while they computed it ({reason:.150}); see Ray's logs"
                )
                report.add(path, {"state": "failed", "reason": text})
            else:
                self._waiting.appendleft(path)

    def _tell_if_quiet(self) -> None:
        if not any(worker.is_ready for worker in self._workers) and time.monotonic() - self._heard > _QUIET_SECONDS:
            self._heard = time.monotonic()
            free = {key: self._ray.available_resources().get(key, 0) for key in ("CPU", "GPU")}
            logger.warning(
                "no process has started yet: each needs %g CPUs and %g GPUs, free are %g and %g",
                *(self.cpus, self.gpus, free["CPU"], free["GPU"]),
            )


class _Worker:
    """A process of the cluster as the master sees it."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.introduction: Any = actor.introduce.remote()
        self.slides: dict[Any, str] = {}
        self.is_ready = False
        self.name = "a process that had not started"
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


def _absolute(path: str | Path) -> str:
    return str(path) if is_url(path) else str(Path(path).absolute())


def _bytes(path: str) -> int:
    try:
        return 0 if is_url(path) else Path(path).stat().st_size
    except OSError:
        return 0
