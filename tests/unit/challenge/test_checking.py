from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.challenge import checking
from scripts.challenge.checking import Checksums, check_slide
from scripts.errors import InputError
from scripts.slides.pyramid import write_pyramid


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    image = np.random.default_rng(0).integers(0, 255, (401, 603, 3), dtype=np.uint8)
    path = tmp_path / "images" / "test_001.tif"
    path.parent.mkdir()
    write_pyramid(path, image, 0.243)
    return path


def write_list(slide: Path, digest: str, name: str = "checksums.md5") -> None:
    (slide.parents[1] / name).write_text(f"{digest}  images/test_001.tif\n")


def test_a_whole_slide_passes(slide: Path) -> None:
    check_slide(slide, "auto", 64)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_a_truncated_slide_is_refused_wherever_it_ends(slide: Path, share: float) -> None:
    os.truncate(slide, int(slide.stat().st_size * share))
    with pytest.raises(InputError, match=r"test_001\.tif: (truncated|not readable|cannot be opened).*"):
        check_slide(slide, "auto", 64)


def test_a_slide_without_a_resolution_is_refused(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", np.zeros((64, 70, 3), dtype=np.uint8), None)
    with pytest.raises(InputError, match="states no resolution"):
        check_slide(tmp_path / "a.tif", "auto", 64)


def test_a_checksum_is_computed_once(slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_list(slide, hashlib.md5(slide.read_bytes()).hexdigest())
    computed: list[Path] = []
    whole = checking.file_checksum
    monkeypatch.setattr(checking, "file_checksum", lambda path, like: computed.append(path) or whole(path, like))
    for _ in range(2):
        checksums = Checksums(tmp_path, tmp_path / "verify")
        checksums.check(slide)
    assert computed == [slide]
    assert checksums.summary() == "1 compared with checksums.md5"
    os.utime(slide)
    Checksums(tmp_path, tmp_path / "verify").check(slide)
    assert len(computed) == 2, "the file was touched"


@pytest.mark.parametrize(
    ("name", "kind", "compute"),
    [("checksums.md5", "MD5", hashlib.md5), ("checksums.txt", "SHA-256", hashlib.sha256)],
    ids=["md5", "sha256"],
)
def test_another_checksum_is_refused(
    slide: Path, tmp_path: Path, name: str, kind: str, compute: Callable[[bytes], Any]
) -> None:
    digest = compute(slide.read_bytes()).hexdigest()
    write_list(slide, digest, name)
    checksums = Checksums(tmp_path, tmp_path / "verify")
    checksums.check(slide)
    assert checksums.summary() == f"1 compared with {name}"
    write_list(slide, "0" * len(digest), name)
    with pytest.raises(
        InputError, match=rf"test_001\.tif: damaged, its {kind} is {digest}, but {name} has 0{{{len(digest)}}}; remove"
    ):
        Checksums(tmp_path, tmp_path / "verify").check(slide)


def test_without_a_list_nothing_is_compared_and_it_says_so(slide: Path, tmp_path: Path) -> None:
    checksums = Checksums(tmp_path, tmp_path / "verify")
    checksums.check(slide)
    assert "no file was compared" in checksums.summary()


def test_a_slide_that_lacks_its_last_bytes_is_told_to_be_truncated(slide: Path) -> None:
    os.truncate(slide, slide.stat().st_size - 9)
    with pytest.raises(InputError, match=r"test_001\.tif: truncated, its tiles end at byte \d+, the file at \d+"):
        check_slide(slide, "auto", 64)


@pytest.mark.parametrize("text", ["<html>not found</html>", f"{'0' * 32}  CAMELYON16/other/test_001.tif"])
def test_a_list_that_names_no_file_of_these_is_said_to(slide: Path, tmp_path: Path, text: str) -> None:
    (slide.parents[1] / "checksums.md5").write_text(text)
    checksums = Checksums(slide.parents[1], tmp_path / "verify")
    checksums.check(slide)
    assert checksums.summary() == "checksums.md5 names none of these files, so none was compared"
