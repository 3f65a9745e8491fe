from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.errors import InputError
from scripts.storage import bucket
from scripts.storage.bucket import choose_files, list_data, measure_rate, read_checksums

SOURCE = "s3://camelyon-dataset/CAMELYON16"
FILES = {
    "images/normal_001.tif": 3 << 20,
    "images/tumor_001.tif": 9 << 20,
    "annotations/tumor_001.xml": 500,
    "masks/tumor_001_mask.tif": 400,
    "background_tissue/tumor_001_tissue.tif": 300,
}
"""Bytes of files, by their paths in the bucket."""


class SlowStore:
    """A store that sends so many bytes in a second of a clock that it moves itself."""

    def __init__(self, rate: float) -> None:
        self.rate, self.now, self.lock = rate, 0.0, threading.Lock()
        self.error: Exception | None = None

    def find(self, url: str, detail: bool) -> dict[str, dict[str, int]]:
        assert detail
        paths = {f"{SOURCE.removeprefix('s3://')}/{name}": {"size": size} for name, size in FILES.items()}
        return {path: info for path, info in paths.items() if f"s3://{path}".startswith(f"{url}/")}

    def cat_ranges(self, urls: list[str], starts: list[int], stops: list[int], **options: Any) -> list[Any]:
        with self.lock:
            self.now += (sum(stops) - sum(starts)) / self.rate
        return [self.error or bytes(stop - start) for start, stop in zip(starts, stops, strict=True)]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> SlowStore:
    found = SlowStore(2e6)
    monkeypatch.setattr(bucket, "open_bucket", lambda source, endpoint: found)
    monkeypatch.setattr(bucket, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


def test_the_bucket_is_listed_with_sizes(store: SlowStore) -> None:
    found = list_data(SOURCE)
    assert found["images"] == {"images/normal_001.tif": 3 << 20, "images/tumor_001.tif": 9 << 20}
    assert found["annotations"] == {"annotations/tumor_001.xml": 500}
    assert found["masks"] == {"masks/tumor_001_mask.tif": 400}


@pytest.mark.parametrize("rate", [2e6, 5e7])
def test_the_rate_is_measured_on_the_beginnings_of_a_few_files(store: SlowStore, rate: float) -> None:
    store.rate = rate
    assert measure_rate(FILES, SOURCE, num_at_once=2) == pytest.approx(rate)
    assert store.now * rate == pytest.approx((3 << 20) + (4 << 20)), "no more than a beginning of each"


def test_files_that_cannot_be_read_have_no_rate(store: SlowStore) -> None:
    store.error = PermissionError("Access Denied")
    with pytest.raises(InputError, match=r"images/tumor_001\.tif: cannot be read \(Access Denied\); try again, or"):
        measure_rate(FILES, SOURCE, num_at_once=1)


def test_choose_files_finds_masks_by_their_slide() -> None:
    urls = [f"{SOURCE}/{name}" for name in FILES if "/" in name]
    assert choose_files(urls, SOURCE, "tumor_001") == [
        f"{SOURCE}/{name}"
        for name in (
            "annotations/tumor_001.xml",
            "background_tissue/tumor_001_tissue.tif",
            "images/tumor_001.tif",
            "masks/tumor_001_mask.tif",
        )
        if "tissue" not in name
    ]


def test_read_checksums_takes_lines_of_md5sum_and_sha256sum() -> None:
    a, b = "A" * 32, "b" * 64
    text = f"{a}  ./images/x.tif\n{b} *images/y.tif\n# no line\n{b}  z.tif\n{a}  z.tif\n\n"
    assert read_checksums(text) == {"images/x.tif": "a" * 32, "images/y.tif": b}
