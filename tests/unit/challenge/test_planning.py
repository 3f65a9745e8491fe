from __future__ import annotations

from pathlib import Path

import pytest

from scripts.challenge.acquisition import Download
from scripts.challenge.challenge import Challenge
from scripts.challenge.engine import Stage
from scripts.challenge.judging import Froc
from scripts.challenge.layout import Layout
from scripts.challenge.ledger import Ledger
from scripts.challenge.mapping import Foreground
from scripts.challenge.planning import write_plan
from scripts.challenge.verification import Verify


def test_a_plan_says_of_each_stage_whether_it_runs(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path), str(tmp_path / "output"), "shipped")
    stages: list[Stage] = [Download(layout), Foreground(layout), Froc(layout)]
    lines = write_plan(stages, Ledger(tmp_path), layout, [], None)
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
    assert "begins anew" in write_plan(stages, Ledger(tmp_path), layout, ["foreground", "froc"], None)[2]


def test_a_plan_needs_no_slides_that_are_still_to_come(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "root"), str(tmp_path / "output"), "shipped")
    lines = write_plan([Download(layout, True), Verify(layout)], Ledger(tmp_path), layout, [], None)
    assert lines[2].endswith("to do after download, if that changes what it reads")


def test_planning_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout(str(tmp_path), str(tmp_path / "output"), "shipped")
    Challenge(layout, [Foreground(layout)], plan=True).run()
    assert "to do" in capsys.readouterr().out
    assert not layout.folder("foreground").exists()
