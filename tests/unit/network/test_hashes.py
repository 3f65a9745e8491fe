from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.network import hashes
from scripts.network.hashes import file_sha256


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was hashed, in turn, by a process that hashed nothing before."""
    found = []

    def sha256(content: bytes) -> object:
        found.append(content)
        return hashlib.sha256(content)

    monkeypatch.setattr(hashes, "hashlib", SimpleNamespace(sha256=sha256))
    monkeypatch.setattr(hashes, "_found", {})
    return found


def settle(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Let a minute pass since a file was changed."""
    monkeypatch.setattr(hashes.time, "time", lambda: os.stat(path).st_ctime + 60.0)


def test_a_file_is_hashed_once(hashed: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other = tmp_path / "model.pt", tmp_path / "other.pt"
    path.write_bytes(b"weights")
    other.write_bytes(b"strange")
    settle(monkeypatch, other)
    for _ in range(2):
        for file in (path, other):
            assert file_sha256(file) == hashlib.sha256(file.read_bytes()).hexdigest()
    assert hashed == [b"weights", b"strange"]


def test_a_file_that_changed_is_hashed_again(
    hashed: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    settle(monkeypatch, path)
    file_sha256(path)
    about = path.stat()
    path.write_bytes(b"strange")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert file_sha256(path) == hashlib.sha256(b"strange").hexdigest()
    (tmp_path / "new.pt").write_bytes(b"unknown")
    (tmp_path / "new.pt").replace(path)
    assert file_sha256(path) == hashlib.sha256(b"unknown").hexdigest()


def test_a_file_that_was_just_written_may_change_within_a_tick_of_its_clock(
    hashed: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    about = path.stat()
    monkeypatch.setattr(hashes.os, "fstat", lambda descriptor: about)
    file_sha256(path)
    path.write_bytes(b"strange")
    assert file_sha256(path) == hashlib.sha256(b"strange").hexdigest()
