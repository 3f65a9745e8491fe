from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scripts.challenge.acquisition import Download
from scripts.challenge.challenge import Challenge
from scripts.challenge.costs import Cost, Probe
from scripts.challenge.engine import Stage
from scripts.challenge.judging import Froc
from scripts.challenge.layout import Layout
from scripts.challenge.ledger import Ledger
from scripts.challenge.mapping import Foreground
from scripts.challenge.planning import write_plan
from scripts.challenge.steps import Step
from scripts.challenge.verification import Verify
from scripts.slides.pyramid import write_pyramid


def test_a_plan_says_of_each_stage_whether_it_runs(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path), str(tmp_path / "output"), "shipped")
    stages: list[Stage] = [Download(layout), Foreground(layout), Froc(layout)]
    lines = write_plan(stages, Ledger(tmp_path), layout, [], Probe(layout, []))
    for line, (stage, what) in zip(
        lines[1:],
        [
            ("download", "left out, download is false: the slides are there"),
            ("foreground", "not known   to do: not done yet"),
            ("froc", "not known   to do after foreground, if that changes what it reads"),
        ],
        strict=False,
    ):
        assert line.split()[0] == stage
        assert line.endswith(what)
    assert "no slide is there to measure on" in lines[-1]
    assert "begins anew" in write_plan(stages, Ledger(tmp_path), layout, ["foreground", "froc"], Probe(layout, []))[2]


def test_a_plan_needs_no_slides_that_are_still_to_come(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It has the size and the time of the download, and says of which stages it has not."""
    sizes = {"images": {f"images/test_{n:03d}.tif": 5_000_000_000 for n in range(1, 4)}, "annotations": {}}
    monkeypatch.setattr("scripts.challenge.acquisition.list_data", lambda *arguments: sizes)
    monkeypatch.setattr("scripts.challenge.acquisition.measure_rate", lambda *arguments: 5e6)
    layout = Layout(str(tmp_path / "root"), str(tmp_path / "output"), "shipped")
    Challenge(layout, [Download(layout, True), Verify(layout)], plan=True).run()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("50 min      to do: not done yet; 3 files of 15.000 GB at 5.0 MB/s")
    assert lines[2].endswith("not known   to do after download, if that changes what it reads")
    assert "no slide is there to measure on" in lines[3]
    assert f"15.000 GB of slides in {layout.root}; " in lines[4]
    assert not caplog.messages, "nothing is wrong"


class Known(Step):
    name = "verify"

    def cost(self, probe: Probe) -> Cost:
        return Cost(float(len(probe.members)))


class Unknown(Step):
    name = "labels"


def test_a_plan_is_for_the_slides_that_are_to_come_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also names the stages whose time is missing in the sum."""
    sizes = {"images": {f"images/test_{n:03d}.tif": 5_000 for n in range(1, 130)}, "annotations": {}}
    monkeypatch.setattr("scripts.challenge.acquisition.list_data", lambda *arguments: sizes)
    monkeypatch.setattr("scripts.challenge.acquisition.measure_rate", lambda *arguments: 5e6)
    layout = Layout(str(tmp_path / "root"), str(tmp_path / "output"), "shipped")
    (layout.root / "images").mkdir(parents=True)
    write_pyramid(layout.root / "images" / "test_002.tif", np.full((131, 203, 3), 150, dtype=np.uint8), 0.243)
    Challenge(layout, [Download(layout, True), Known(layout), Unknown(layout)], plan=True).run()
    out = capsys.readouterr().out
    assert "  verify          2 min       to do after download" in out
    assert "on this machine, without labels, from a probe of 1 of 129 slides" in out


def test_planning_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout(str(tmp_path), str(tmp_path / "output"), "shipped")
    Challenge(layout, [Foreground(layout)], plan=True).run()
    assert "to do" in capsys.readouterr().out
    assert not layout.folder("foreground").exists()
