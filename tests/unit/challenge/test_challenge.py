from __future__ import annotations

from pathlib import Path

import pytest

from scripts.challenge.challenge import Challenge
from scripts.challenge.engine import Outcome
from scripts.challenge.layout import Layout
from scripts.challenge.steps import Step
from scripts.errors import InputError
from scripts.folders.lock import FolderLock


class Bad(Step):
    name = "verify"

    def run(self, goes_on: bool) -> Outcome:
        self.folder.mkdir()
        return Outcome("done", {"test_007.tif": "truncated", "test_008.tif": "damaged"})


def test_slides_set_aside_are_named_at_the_end_each_time(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path), str(tmp_path / "output"))
    for _ in range(2):
        with pytest.raises(InputError, match=r"2 slides were set aside, all others are done: test_007\.tif, test_008"):
            Challenge(layout, [Bad(layout)]).run()


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.folders.lock._LOCK_SECONDS", 0.1)
    (tmp_path / "output").mkdir()
    other = FolderLock(tmp_path / "output")
    other.acquire()
    with pytest.raises(InputError, match="another run is writing there"):
        Challenge(Layout(str(tmp_path), str(tmp_path / "output")), []).run()
    other.release()
