from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from helpers.object_store import ENVIRONMENT, serve_objects
from scripts.challenge.acquisition import Download
from scripts.challenge.layout import Layout
from scripts.errors import FilesFailedError


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    (tmp_path / "root" / "images").mkdir(parents=True)
    (tmp_path / "root" / "images" / "test_001.tif").touch()
    monkeypatch.setattr("scripts.challenge.acquisition.copy_extras", lambda *arguments: [])
    return Layout(str(tmp_path / "root"), str(tmp_path / "output"))


def test_a_file_that_cannot_be_copied_is_set_aside(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> str:
        raise FilesFailedError("1 of 9 files could not be downloaded", {"s3://b/images/test_002.tif": "damaged"})

    monkeypatch.setattr("scripts.challenge.acquisition.download_camelyon16", fail)
    outcome = Download(layout, True).run(False)
    assert outcome.set_aside == {"test_002.tif": "damaged"}


def test_slides_are_downloaded_only_where_it_is_asked_for(layout: Layout) -> None:
    assert Download(layout).left_out() == "download is false: the slides are there"
    assert Download(layout, True).left_out() is None
    Download(layout, True).clear()
    assert (layout.root / "images" / "test_001.tif").exists(), "700 GB are not removed by --from"


def test_a_subset_is_chosen_from_what_the_bucket_has(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"images": [f"images/test_{n:03d}.tif" for n in range(1, 9)], "annotations": ["annotations/test_002.xml"]}
    monkeypatch.setattr("scripts.challenge.acquisition.list_names", lambda source, endpoint: names)
    assert Download(layout, True).chosen() == "all"
    names["images"].append("images/tumor_001.tif")
    layout.given_weights = "shipped"
    assert Download(layout, True).chosen() == ",".join(f"test_{n:03d}" for n in range(1, 9)), "no training slides"
    first, second = Download(layout, True, subset=1).chosen().split(",")
    assert (first == "test_002") != (second == "test_002")


def test_a_file_with_another_checksum_is_set_aside_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not simulated: a bucket, its list of checksums, and a slide that differs from it."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    layout = Layout(str(tmp_path / "root"), str(tmp_path / "output"))
    files = {
        "images/test_001.tif": b"one" * 99,
        "images/test_002.tif": b"two" * 99,
        "annotations/test_001.xml": b"<a/>",
    }
    with serve_objects() as store:
        store.client.create_bucket(Bucket="slides")
        lines = [f"{hashlib.md5(content).hexdigest()}  {name}" for name, content in files.items()]
        files["images/test_002.tif"] = b"tow" * 99
        for name, content in {**files, "checksums.md5": "\n".join(lines).encode()}.items():
            store.put("slides", f"CAMELYON16/{name}", content)
        outcome = Download(layout, True, "s3://slides/CAMELYON16", store.endpoint).run(False)
    assert list(outcome.set_aside) == ["test_002.tif"]
    assert "test_002.tif: damaged, its MD5 is" in outcome.set_aside["test_002.tif"]
    there = {path.relative_to(layout.root).as_posix() for path in layout.root.rglob("*") if path.is_file()}
    assert there == {"images/test_001.tif", "annotations/test_001.xml", "checksums.md5"}
