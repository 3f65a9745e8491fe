"""The master, with processes that are made up; the real ones are in tests/integration/test_infer_cluster.py."""

from __future__ import annotations

import builtins
import os
from collections import Counter, deque
from pathlib import Path
from typing import Any

import pytest

from scripts.cluster import MAX_LOSSES, Request, SlideCluster, _Worker, check_request, load_ray
from scripts.errors import InputError
from scripts.results import ResultFolder
from scripts.run_report import RunReport


class Actor:
    """Takes slides and says nothing."""

    class Method:
        def remote(self, *arguments: Any) -> object:
            return object()

    introduce = stage = infer = fraction = Method()


def make_cluster(num_workers: int, slides: list[str]) -> SlideCluster:
    """A master whose processes have started."""
    cluster = SlideCluster.__new__(SlideCluster)
    cluster._workers = [_Worker(Actor()) for _ in range(num_workers)]
    for worker in cluster._workers:
        worker.welcome({"host": "here", "process": 1})
    cluster._waiting, cluster._losses, cluster._num_starts = deque(slides), Counter(), 0
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
    assert [len(worker.slides) for worker in cluster._workers] == [2, 2, 2]
    assert len(cluster._waiting) == 94


def test_towards_the_end_none_waits_behind_another() -> None:
    cluster = make_cluster(3, ["a.tif", "b.tif", "c.tif", "d.tif"])
    cluster._hand_out()
    assert [len(worker.slides) for worker in cluster._workers] == [1, 1, 1]
    assert list(cluster._waiting) == ["d.tif"]


def test_slides_of_a_lost_process_come_first_and_one_counts_it(tmp_path: Path) -> None:
    cluster = make_cluster(2, [f"{index}.tif" for index in range(10)])
    cluster._hand_out()
    lost = cluster._workers[0]
    in_work, ahead = lost.slides.values()
    report = RunReport(ResultFolder(tmp_path), 10)
    cluster._replace(lost, OSError("gone"), report)
    assert set(list(cluster._waiting)[:2]) == {in_work, ahead}
    assert cluster._losses[in_work] == 1
    assert cluster._losses[ahead] == 0
    assert lost not in cluster._workers
    assert [worker["lost"] for worker in report.workers] == [True]


def test_a_slide_that_takes_processes_with_it_is_set_aside(tmp_path: Path) -> None:
    report = RunReport(ResultFolder(tmp_path), 1)
    cluster = make_cluster(MAX_LOSSES, ["bad.tif"])
    for _ in range(MAX_LOSSES):
        cluster._hand_out()
        (holder,) = [worker for worker in cluster._workers if worker.slides]
        cluster._replace(holder, OSError("out of memory"), report)
    assert not cluster._waiting
    assert "3 processes were lost while they computed it (out of memory)" in report.failed["bad.tif"]


def test_processes_that_never_start_end_the_run() -> None:
    cluster = make_cluster(1, ["a.tif"])
    cluster._num_starts = 5
    with pytest.raises(InputError, match="5 processes in a row ended as they started"):
        cluster._start_workers()
