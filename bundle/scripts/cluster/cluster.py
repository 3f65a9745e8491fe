"""Inference on a Ray cluster: slides are handed, one by one, to processes that hold the network.

This is the master: it knows what is done and what is in work, starts processes in place of lost ones, and writes
``run.json``. The processes write the maps; see `worker.SlideWorker`.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import bundle_root
from ..errors import InputError
from ..folders.dicom import files_of
from ..folders.names import is_url
from ..inference.results import open_results
from ..inference.run_summary import outcome
from ..network.processors import count_processors
from ..workflow import check_configs, device_override, find_overlays
from .run_report import RunReport
from .worker_handle import WorkerHandle
from .worker_pool import Request, WorkerPool, check_request

logger = logging.getLogger(__name__)

MAX_LOSSES = 3
"""How many processes a slide may take with it before it is set aside."""

_POLL_SECONDS = 1.0


def load_ray(is_local: bool = False) -> Any:
    """Ray, without its usage statistics, which otherwise go to its makers.

    Args:
        is_local: whether this machine alone takes part: Ray's servers then listen to no other. Ray must not have been
            imported before.

    Raises:
        InputError: if it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # how it will be; else it warns
    if is_local:  # as Ray does on macOS; elsewhere it takes the machine's address on the network for 127.0.0.1
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        import ray
    except ImportError as error:
        raise InputError("--ray: Ray is not installed; install the extra 'cluster'") from error
    return ray


def infer_on_cluster(request: Request, overrides: Mapping[str, Any], overlays: Sequence[str] = ()) -> str:
    """Run ``inference.json`` on a cluster.

    Args:
        request: the cluster, and what is asked of it.
        overrides: values for ids of the config.
        overlays: config files laid over it, see `workflow.find_overlays`.

    Returns:
        A line that says what was done.

    Raises:
        InputError: if slides failed, or the run cannot go on.
    """
    check_request(request)
    from monai.bundle import ConfigParser

    configs = [Path(bundle_root()) / "configs" / "inference.json", *find_overlays(overlays)]
    check_configs(configs, overrides)
    parser = ConfigParser(ConfigParser.load_config_files([str(path) for path in configs]))
    parser.update(device_override(overrides))
    parser.parse(True)
    output_dir = parser.get_parsed_content("output_dir")
    samples = [{**sample, "image": _absolute(sample["image"])} for sample in parser.get_parsed_content("datalist")]
    slides = [sample["image"] for sample in samples]
    config = {**parser.get(), "output_dir": _absolute(output_dir), "datalist": samples}
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
    return outcome(len(report.done), len(report.skipped), len(report.failed), output_dir)


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
        self._ray = load_ray(request.address == "local")
        self._is_own = not self._ray.is_initialized()
        if self._is_own:
            self._connect(request.address)
        self._pool = WorkerPool(self._ray, request, config)
        self._waiting: deque[str] = deque()
        self._losses: Counter[str] = Counter()
        self._told: set[str] = set()
        self._about: dict[str, Any] | None = None

    def __enter__(self) -> SlideCluster:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.close()
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
        pool = self._pool
        while self._waiting or any(worker.slides for worker in pool.workers):
            if time.monotonic() - polled > _POLL_SECONDS:
                polled = time.monotonic()
                pool.start(len(self._waiting) + sum(bool(worker.slides) for worker in pool.workers))
                report.show(pool.poll())
                pool.tell_if_quiet()
            self._hand_out()
            refs = [ref for worker in pool.workers for ref in worker.refs()]
            ready, _ = self._ray.wait(refs, num_returns=1, timeout=_POLL_SECONDS) if refs else ([], [])
            if not refs:
                time.sleep(_POLL_SECONDS)
            for ref in ready:
                self._take_in(ref, report)
        report.workers = [worker.summary() for worker in pool.workers if worker.is_ready] + report.workers

    def _connect(self, address: str) -> None:
        options: dict[str, Any] = {"address": address}
        if address == "local":
            # results do not travel through Ray's store: the least that it takes
            options |= {"_node_ip_address": "127.0.0.1", "include_dashboard": False, "object_store_memory": 80 << 20}
            options["num_cpus"] = count_processors()  # Ray counts those of the machine
        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            self._ray.init(log_to_driver=False, configure_logging=False, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"--ray {address}: no cluster ({reason:.200}); give the address that `ray start --head` "
                "printed, auto, or local"
            ) from error
        finally:
            if callable(on_sigterm):  # Ray puts its own in place
                signal.signal(signal.SIGTERM, on_sigterm)

    def _hand_out(self) -> None:
        """Two slides to each process, so that one is copied and looked up meanwhile; towards the end only one."""
        for depth in (1, 2):
            for worker in self._pool.workers:
                is_plenty = len(self._waiting) > len(self._pool.workers)
                if worker.is_ready and len(worker.slides) < depth and self._waiting and (depth == 1 or is_plenty):
                    worker.give(self._waiting.popleft())

    def _take_in(self, ref: Any, report: RunReport) -> None:
        worker = next(worker for worker in self._pool.workers if ref in worker.refs())
        try:
            found = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError:  # what an actor's code raised: nothing that another could mend
            raise
        except self._ray.exceptions.RayError as error:
            self._replace(worker, error, report)
            return
        self._pool.heard()
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

    def _welcome(self, worker: WorkerHandle, found: dict[str, Any], report: RunReport) -> None:
        if found["error"] is not None:
            raise InputError(f"{found['host']}: {found['error']}")
        self._pool.welcome(worker, found)
        about = found["about"]
        if self._about is None:
            self._about = report.about = about
        for key in ("weights_sha256", "screen_weights_sha256", "versions"):
            here, elsewhere = about.get(key), self._about.get(key)
            if here != elsewhere:
                raise InputError(
                    f"--ray: {found['host']} has {key} {json.dumps(here):.300}, but another machine "
                    f"{json.dumps(elsewhere):.300}; install the same on all"
                )

    def _replace(self, worker: WorkerHandle, error: Exception, report: RunReport) -> None:
        """Its slides go back to the front; the one in work counts a loss."""
        reason = " ".join(str(error).split())
        self._pool.drop(worker, reason)
        if worker.is_ready:
            report.workers.append({**worker.summary(), "lost": True})
        for index, path in enumerate(worker.slides.values()):
            self._losses[path] += index == 0
            if self._losses[path] >= MAX_LOSSES:
                text = (
                    f"{path}: {MAX_LOSSES} processes were lost while they computed it ({reason:.150}); see Ray's logs"
                )
                report.add(path, {"state": "failed", "reason": text})
            else:
                self._waiting.appendleft(path)


def _absolute(path: str | Path) -> str:
    return str(path) if is_url(path) else str(Path(path).absolute())


def _bytes(path: str) -> int:
    try:
        return 0 if is_url(path) else sum(file.stat().st_size for file in files_of(Path(path)))
    except OSError:
        return 0
