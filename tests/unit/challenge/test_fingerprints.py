from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts.challenge import fingerprints
from scripts.challenge.fingerprints import identity


def test_small_files_are_told_by_their_content_and_large_ones_by_size_and_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    assert identity(path) is None
    path.write_bytes(b"abc")
    before = identity(path)
    os.utime(path, ns=(1, 1))
    assert identity(path) == before, "a copy counts as the same"
    path.write_bytes(b"abd")
    assert identity(path) != before
    monkeypatch.setattr(fingerprints, "_READ_WHOLE", 2)
    os.utime(path, ns=(1, 1))
    assert identity(path) == [3, 1]


def test_a_folder_changes_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.npy").write_bytes(b"1")
    before = identity(tmp_path / "a")
    for name in (".lock", "run.json"):
        (tmp_path / "a" / name).write_bytes(b"1")
    assert identity(tmp_path / "a") == before, "neither is a result"
    (tmp_path / "a" / "b" / "c.npy").rename(tmp_path / "a" / "b" / "d.npy")
    assert identity(tmp_path / "a") != before
