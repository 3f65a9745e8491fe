"""The master, with processes that are made up; the real ones are in tests/integration/test_infer_cluster.py."""

from __future__ import annotations

import builtins
import os
from collections import Counter, deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.cluster import cluster as cluster_module
from scripts.cluster.cluster import MAX_LOSSES, SlideCluster, infer_on_cluster, load_ray
from scripts.cluster.run_report import RunReport
from scripts.cluster.worker_handle import WorkerHandle
from scripts.cluster.worker_pool import MAX_STARTS, Request, WorkerPool, check_request
from scripts.errors import InputError
from scripts.inference.folder_results import ResultFolder


class Actor:
    """Takes slides and says nothing."""

    class Method:
        def remote(self, *arguments: Any) -> object:
            return object()

    introduce = stage = infer = fraction = Method()


class Ray:
    """A cluster, where everything starts at once; it keeps what was killed.

    Args:
        machines: resources of each.
    """

    def __init__(self, *machines: dict[str, float]) -> None:
        self.machines = machines or ({"CPU": 2.0},)
        self.killed: list[object] = []
        self.started = 0

    def cluster_resources(self) -> dict[str, float]:
        return dict(sum((Counter(machine) for machine in self.machines), Counter()))  # type: ignore[arg-type]

    def nodes(self) -> list[dict[str, Any]]:
        lost = {"Alive": False, "Resources": {"CPU": 1.0, "GPU": 1.0}}
        return [lost, *({"Alive": True, "Resources": machine} for machine in self.machines)]

    def remote(self, **options: Any) -> Any:
        return lambda actor_class: self

    def options(self, **options: Any) -> Any:
        return SimpleNamespace(remote=self._start)

    def kill(self, actor: object) -> None:
        self.killed.append(actor)

    def _start(self, *arguments: Any) -> Actor:
        self.started += 1
        return Actor()


class Clock:
    """Time that passes when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("scripts.cluster.worker_pool.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


FOUND = {"host": "here", "process": 1}


def make_pool(workers: int | None = None) -> WorkerPool:
    return WorkerPool(Ray(), Request("auto", workers), {"num_workers": 0})


GPUS = ({"CPU": 64.0}, {"CPU": 32.0, "GPU": 2.0}, {"CPU": 24.0, "GPU": 2.0})


@pytest.mark.parametrize(
    ("machines", "request_", "given", "readers", "cpus"),
    [
        (({"CPU": 8.0},), {}, {}, 1, 2),
        (({"CPU": 8.0},), {"cpus": 4.0}, {}, 1, 4),
        (({"CPU": 8.0},), {}, {"num_workers": 3}, 3, 4),
        (({"CPU": 8.0},), {}, {"num_workers": 0}, 0, 1),
        (GPUS, {}, {}, 11, 12),
        (GPUS, {"gpus": 0.5}, {}, 5, 6),
        (GPUS, {"cpus": 4.0}, {}, 3, 4),
        (GPUS, {"gpus": 0.0}, {}, 1, 2),
        (GPUS, {}, {"num_workers": 2}, 2, 3),
    ],
)
def test_a_gpu_gets_the_readers_that_fit_on_every_machine(
    machines: Any, request_: dict[str, float], given: dict[str, int], readers: int, cpus: float
) -> None:
    component = {"num_workers": {"_target_": "scripts.slides.readers.count_readers", "device": "@device"}}
    pool = WorkerPool(Ray(*machines), Request("auto", 1)._replace(**request_), component | given)
    assert (pool._config["num_workers"], pool.cpus) == (readers, cpus)


@pytest.mark.parametrize(("address", "expected"), [("local", 3), ("auto", None)])
def test_a_cluster_of_this_machine_alone_has_the_processors_of_this_process(
    monkeypatch: pytest.MonkeyPatch, address: str, expected: int | None
) -> None:
    monkeypatch.setattr(cluster_module, "count_processors", lambda: 3)
    asked: dict[str, Any] = {}
    cluster = SlideCluster.__new__(SlideCluster)
    cluster._ray = SimpleNamespace(init=lambda **options: asked.update(options))
    cluster._connect(address)
    assert asked.get("num_cpus") == expected


def make_cluster(num_workers: int, slides: list[str]) -> SlideCluster:
    """A master whose processes have started."""
    cluster = SlideCluster.__new__(SlideCluster)
    cluster._pool = make_pool(num_workers)
    cluster._pool.workers = [WorkerHandle(Actor()) for _ in range(num_workers)]
    for worker in cluster._pool.workers:
        worker.welcome(FOUND)
    cluster._waiting, cluster._losses = deque(slides), Counter()
    return cluster


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request("auto", workers=0), "--workers must be at least 1, but got 0"),
        (Request("auto", cpus=0.0), "--worker_cpus must be a positive number, but got 0.0"),
        (Request("auto", gpus=-1.0), "--worker_gpus must be at least 0, but got -1.0"),
    ],
)
def test_what_cannot_be_asked(request_: Request, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_request(request_)


@pytest.mark.parametrize(
    ("overrides", "overlays", "message"),
    [({"stride": {}}, [], "stride: expected"), ({}, ["finetune.json"], "finetune.json is an overlay on train.json")],
)
def test_a_config_that_no_command_runs_starts_no_cluster(
    overrides: dict[str, object], overlays: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        infer_on_cluster(Request("local"), overrides, overlays)


def test_ray_tells_its_makers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="the extra 'cluster' brings Ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    load_ray()
    from ray._common.usage import usage_lib

    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert not usage_lib.usage_stats_enabled()


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "ray":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match="install the extra 'cluster'"):
        load_ray()


def test_no_process_gets_more_than_two_slides() -> None:
    cluster = make_cluster(3, [f"{index}.tif" for index in range(100)])
    cluster._hand_out()
    cluster._hand_out()
    assert [len(worker.slides) for worker in cluster._pool.workers] == [2, 2, 2]
    assert len(cluster._waiting) == 94


def test_towards_the_end_none_waits_behind_another() -> None:
    cluster = make_cluster(3, ["a.tif", "b.tif", "c.tif", "d.tif"])
    cluster._hand_out()
    assert [len(worker.slides) for worker in cluster._pool.workers] == [1, 1, 1]
    assert list(cluster._waiting) == ["d.tif"]


def test_slides_of_a_lost_process_come_first_and_one_counts_it(tmp_path: Path) -> None:
    cluster = make_cluster(2, [f"{index}.tif" for index in range(10)])
    cluster._hand_out()
    lost = cluster._pool.workers[0]
    in_work, ahead = lost.slides.values()
    report = RunReport(ResultFolder(tmp_path), 10)
    cluster._replace(lost, OSError("gone"), report)
    assert set(list(cluster._waiting)[:2]) == {in_work, ahead}
    assert cluster._losses[in_work] == 1
    assert cluster._losses[ahead] == 0
    assert lost not in cluster._pool.workers
    assert cluster._pool._ray.killed == [lost.actor]
    assert [worker["lost"] for worker in report.workers] == [True]


def test_a_slide_that_takes_processes_with_it_is_set_aside(tmp_path: Path) -> None:
    report = RunReport(ResultFolder(tmp_path), 1)
    cluster = make_cluster(MAX_LOSSES, ["bad.tif"])
    for _ in range(MAX_LOSSES):
        cluster._hand_out()
        (holder,) = [worker for worker in cluster._pool.workers if worker.slides]
        cluster._replace(holder, OSError("out of memory"), report)
    assert not cluster._waiting
    assert "3 processes were lost while they computed it (out of memory)" in report.failed["bad.tif"]


def test_a_process_that_ends_as_it_starts_did_no_work(tmp_path: Path) -> None:
    cluster = make_cluster(1, ["a.tif"])
    cluster._pool.workers.append(starting := WorkerHandle(Actor()))
    report = RunReport(ResultFolder(tmp_path), 1)
    cluster._replace(starting, OSError("no such node"), report)
    assert report.workers == []
    assert list(cluster._waiting) == ["a.tif"]


def fail_to_start(pool: WorkerPool, clock: Clock) -> list[float]:
    """Start again and again what ends at once; returns how long each start waited for the last end."""
    pauses = []
    for _ in range(MAX_STARTS):
        before = clock.now
        while all(worker.is_ready for worker in pool.workers):
            clock.now += 0.5
            pool.start(2)
        pauses.append(clock.now - before)
        pool.drop(pool.workers[-1], "no such node")
    return pauses


def test_processes_that_never_start_end_the_run(clock: Clock) -> None:
    pool = make_pool(workers=1)
    assert fail_to_start(pool, clock) == [0.5, 1.0, 2.0, 4.0, 8.0]
    with pytest.raises(InputError, match="5 processes in a row ended as they started"):
        pool.start(2)


def test_a_lost_machine_does_not_end_the_run_of_another(clock: Clock) -> None:
    pool = make_pool()
    pool.start(2)
    assert len(pool.workers) == 2
    pool.welcome(pool.workers[0], FOUND)
    pool.drop(pool.workers[1], "gone")
    fail_to_start(pool, clock)
    pool.start(2)  # raises nothing
    pool.drop(pool.workers[0], "gone too")
    with pytest.raises(InputError, match="processes in a row ended as they started"):
        pool.start(2)


def test_one_that_is_slow_to_start_is_waited_for(clock: Clock) -> None:
    pool = make_pool()
    pool.start(2)
    slow, _ = pool.workers
    clock.now += 0.5
    pool.drop(pool.workers[1], "gone")
    for _ in range(MAX_STARTS):
        clock.now += 60
        pool.start(2)
        pool.drop(pool.workers[1], "gone")
    pool.start(2)  # raises nothing
    pool.welcome(slow, FOUND)
    clock.now += 0.1
    pool.start(2)
    assert len(pool.workers) == 2, "no pause is left"


def test_no_more_processes_than_fit_or_find_work(clock: Clock) -> None:
    pool = make_pool()
    pool.start(1)
    assert len(pool.workers) == 1
    pool.start(9)
    assert len(pool.workers) == 2
    pool.close()
    assert len(pool._ray.killed) == 2
