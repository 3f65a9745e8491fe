from __future__ import annotations

from pathlib import Path

import pytest

from scripts import bundle_root
from scripts.errors import InputError
from scripts.folders.lock import FolderLock
from scripts.training.run_folder import RunFolder, prepare_run_dir


def test_the_bundles_weights_are_no_output(tmp_path: Path) -> None:
    assert prepare_run_dir(tmp_path / "a" / "b") == str(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    with pytest.raises(InputError, match="holds the shipped weights; choose another folder"):
        prepare_run_dir(Path(bundle_root()) / "scripts" / ".." / "models")


def test_a_folder_is_locked_until_it_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.folders.lock._LOCK_SECONDS", 0.0)
    (tmp_path / ".last.123.tmp.pt").touch()
    folder = RunFolder(tmp_path)
    folder.lock()
    RunFolder(tmp_path / ".." / tmp_path.name).lock()  # the same folder, tried again in this process
    assert [path.name for path in tmp_path.iterdir()] == [".lock"], "what a killed run left is removed"
    with pytest.raises(InputError, match="another run is writing there"):
        FolderLock(tmp_path).acquire()
    folder.unlock()
    folder.unlock()
    other = FolderLock(tmp_path)
    other.acquire()
    with pytest.raises(InputError, match="another run is writing there"):
        folder.lock()
    other.release()
