from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from helpers.object_store import ENVIRONMENT, serve_objects
from scripts.challenge.acquisition import Download
from scripts.challenge.costs import Cost, Probe
from scripts.challenge.layout import Layout
from scripts.errors import FilesFailedError, InputError


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
    names = {
        "images": dict.fromkeys([f"images/test_{n:03d}.tif" for n in range(1, 9)], 700),
        "annotations": {"annotations/test_002.xml": 5},
    }
    monkeypatch.setattr("scripts.challenge.acquisition.list_data", lambda source, endpoint: names)
    assert Download(layout, True).chosen() == "all"
    names["images"]["images/tumor_001.tif"] = 900
    layout.given_weights = "shipped"
    assert Download(layout, True).chosen() == ",".join(f"test_{n:03d}" for n in range(1, 9)), "no training slides"
    first, second = Download(layout, True, subset=1).chosen().split(",")
    assert (first == "test_002") != (second == "test_002")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, int]]:
    """Sizes of what the bucket has: two test slides, one of them annotated, a training slide and masks."""
    found = {
        "images": {"images/test_001.tif": 4_000_000, "images/test_002.tif": 6_000_000, "images/normal_001.tif": 9_000},
        "annotations": {"annotations/test_002.xml": 500},
        "masks": {"masks/test_002_mask.tif": 700},
    }
    monkeypatch.setattr("scripts.challenge.acquisition.list_data", lambda source, endpoint: found)
    return found


@pytest.mark.parametrize("rate", [1e6, 5e7])
def test_the_plan_takes_the_time_from_the_rate_of_the_bucket(
    layout: Layout, bucket: dict[str, dict[str, int]], monkeypatch: pytest.MonkeyPatch, rate: float
) -> None:
    """Of the files that a run would copy and that are not there whole."""
    asked: list[Mapping[str, int]] = []
    monkeypatch.setattr("scripts.challenge.acquisition.measure_rate", lambda sizes, *rest: asked.append(sizes) or rate)
    layout.given_weights = "shipped"
    (layout.root / "images" / "test_001.tif").write_bytes(bytes(4_000_000))
    stage = Download(layout, True)
    assert [member.name for member in stage.offer.members] == ["test_001", "test_002"]
    assert stage.cost(Probe(layout, [])) == Cost(
        6_000_500 / rate, slide_bytes=6_000_500, remark=f"2 files of 0.006 GB at {rate / 1e6:.1f} MB/s"
    )
    assert asked == [{"annotations/test_002.xml": 500, "images/test_002.tif": 6_000_000}]
    for path, size in asked[0].items():
        (layout.root / path).parent.mkdir(exist_ok=True)
        (layout.root / path).write_bytes(bytes(size))
    assert Download(layout, True).cost(Probe(layout, [])) == Cost(0.0, remark="all files are there")


def test_the_plan_of_a_bucket_that_cannot_be_reached_says_so(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str, endpoint: str | None) -> dict[str, dict[str, int]]:
        raise InputError(f"{source}/images: cannot be reached")

    monkeypatch.setattr("scripts.challenge.acquisition.list_data", fail)
    stage = Download(layout, True)
    cost = stage.cost(Probe(layout, []))
    assert cost.seconds is None
    assert cost.remark.startswith(
        "s3://camelyon-dataset/CAMELYON16/images: cannot be reached; all slides take about 700"
    )
    assert stage.offer.members == ()


def test_the_plan_of_files_that_may_not_be_read_has_their_size(
    layout: Layout, bucket: dict[str, dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> float:
        raise InputError("s3://b/images/test_002.tif: cannot be read (Access Denied); try again")

    monkeypatch.setattr("scripts.challenge.acquisition.measure_rate", fail)
    cost = Download(layout, True).cost(Probe(layout, []))
    assert (cost.seconds, cost.slide_bytes) == (None, 10_009_500)
    assert cost.remark == "4 files of 0.010 GB; s3://b/images/test_002.tif: cannot be read (Access Denied); try again"


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
