from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.cluster.run_report import RunReport
from scripts.errors import InputError
from scripts.inference.folder_results import ResultFolder


@pytest.fixture
def report(tmp_path: Path) -> RunReport:
    return RunReport(ResultFolder(tmp_path), 4)


@pytest.fixture
def said() -> Callable[..., dict[str, Any]]:
    """What a process says of a slide."""

    def make(path: str, state: str = "done", **others: object) -> dict[str, Any]:
        usual: dict[str, Any] = {"state": state, "reason": "", "tiles": 2, "mm2": 0.5, "seconds": 4.0}
        usual["entry"] = {"slide": path, "num_positions": 6, "seconds": 3.0}
        usual["seconds_in"] = {"decode": 1.0, "compute": 2.0, "write": 0.25}
        return usual | others

    return make


def test_processes_add_up(report: RunReport, said: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    report.about = {"mode": "auto"}
    report.add("a.tif", said("a.tif"))
    report.add("b.tif", said("b.tif"))
    report.add("c.tif", {"state": "failed", "reason": "c.tif: damaged"})
    report.add("d.tif", said("d.tif", "skipped", tiles=0, mm2=0.0, seconds_in={}))
    report.workers.append({"host": "one", "slides": 2, "seconds": 8.0, "lost": False})
    report.close()
    run = json.loads((tmp_path / "run.json").read_text())
    assert [entry["slide"] for entry in run["slides_done"]] == ["a.tif", "b.tif"]
    assert (run["slides_skipped"], run["slides_failed"]) == (
        ["d.tif"],
        [{"slide": "c.tif", "reason": "c.tif: damaged"}],
    )
    assert run["seconds_in"] == {"decode": 2.0, "compute": 4.0, "write": 0.5}
    assert (run["bound_by"], run["tiles"], run["tissue_mm2"], run["mode"]) == ("compute", 4, 1.0, "auto")
    assert run["workers"][0]["host"] == "one"
    with pytest.raises(InputError, match=r"1 of 4 slides failed, the others are done .*; first: c\.tif: damaged"):
        report.finish()


def test_slides_without_tissue_are_named(
    report: RunReport, said: Callable[..., dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    report.add("a.tif", said("a.tif"))
    for name, state in (("b", "done"), ("c", "skipped")):
        report.add(f"{name}.tif", said(f"{name}.tif", state, entry={"slide": f"{name}.tif", "num_positions": 0}))
    report.add("d.tif", said("d.tif", "failed", reason="?", entry={"slide": "d.tif", "num_positions": 0}))
    assert report.summary()["slides_without_tissue"] == ["b.tif", "c.tif"]
    with pytest.raises(InputError):
        report.finish()
    assert caplog.messages == ["no tissue found on 2 of 4 slides, so 0 everywhere in the map: b.tif, c.tif"]


def test_slides_that_were_read_slower_are_counted_by_reason(
    report: RunReport, said: Callable[..., dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    for name, fault in (("a", "odd"), ("b", None), ("c", "odd")):
        entry = {"slide": f"{name}.tif", "num_positions": 6, "seconds": 3.0, "cucim_fault": fault}
        report.add(f"{name}.tif", said(f"{name}.tif", entry=entry))
    assert report.summary()["slides_without_cucim"] == {"odd": ["a.tif", "c.tif"]}
    report.finish()
    assert caplog.messages == ["2 slides were read by OpenSlide, several times slower than by cuCIM: odd: a.tif, c.tif"]


def test_failures_of_earlier_runs_stay_until_they_are_mended(
    said: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    failed = [{"slide": f"{name}.tif", "reason": f"old {name}"} for name in ("a", "b", "c")]
    (tmp_path / "run.json").write_text(json.dumps({"slides_failed": failed}))
    report = RunReport(ResultFolder(tmp_path), 2)
    report.add("a.tif", said("a.tif"))
    report.add("b.tif", {"state": "failed", "reason": "b.tif: damaged"})
    report.close()
    assert json.loads((tmp_path / "run.json").read_text())["slides_failed"] == [
        {"slide": "b.tif", "reason": "b.tif: damaged"},
        {"slide": "c.tif", "reason": "old c"},
    ]
    with pytest.raises(InputError, match="1 of 2 slides failed"):
        report.finish()


def test_a_slide_whose_process_was_lost_is_done_by_this_run(
    report: RunReport, said: Callable[..., dict[str, Any]]
) -> None:
    report.add("a.tif", said("a.tif", "skipped"), was_in_work=True)
    assert [entry["slide"] for entry in report.done] == ["a.tif"]
    assert report.skipped == []
    report.finish()


def test_the_bar_never_goes_back(report: RunReport, said: Callable[..., dict[str, Any]]) -> None:
    report.show(1.5)
    report.show(0.5)
    assert report._progress.n == 1.5
    report.show(99.0)
    assert report._progress.n == 4
    report.close()


def test_a_long_summary_is_written_less_often(report: RunReport, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 100.5, 103.5, 103.5])
    monkeypatch.setattr("scripts.cluster.run_report.time.monotonic", lambda: next(times, 200.0))
    report.write()
    assert report._next_summary >= 103.5 + 10
