from __future__ import annotations

import multiprocessing
import os
import pickle
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.object_store import ENVIRONMENT, ObjectStore, serve_objects
from scripts.errors import InputError
from scripts.storage.staging import SlideCache

pytest.importorskip("moto", reason="the extra 'test' brings moto's S3 server")

KB = 1e-6  # in GB


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with serve_objects() as found:
        yield found


@pytest.fixture(autouse=True)
def _environment(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": store.endpoint}.items():
        monkeypatch.setenv(name, value)
    for name in "abc":
        store.put("slides", f"{name}.tif", name.encode() * 40_000)


def copies(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.tif"))


def used(cache: SlideCache, *names: str) -> None:
    """Fetch slides one after the other, and let each go."""
    for name in names:
        cache.fetch(f"s3://slides/{name}.tif")
        cache.release(f"s3://slides/{name}.tif")
        time.sleep(0.02)  # the order of use is told by files' times


def test_a_slide_is_copied_once(tmp_path: Path) -> None:
    cache = SlideCache(tmp_path)
    found = cache.fetch("s3://slides/a.tif")
    assert found.read_bytes() == b"a" * 40_000
    assert found.name == "a.tif"
    inode = found.stat().st_ino
    cache.release("s3://slides/a.tif")
    assert SlideCache(tmp_path).fetch("s3://slides/a.tif").stat().st_ino == inode


def test_a_slide_from_a_web_server(store: ObjectStore, tmp_path: Path) -> None:
    found = SlideCache(tmp_path).fetch(f"{store.endpoint}/slides/b.tif")
    assert (found.name, found.read_bytes()) == ("b.tif", b"b" * 40_000)


def test_a_changed_slide_is_copied_anew(store: ObjectStore, tmp_path: Path) -> None:
    used(SlideCache(tmp_path), "a")
    store.put("slides", "a.tif", b"z" * 40_000)
    assert SlideCache(tmp_path).fetch("s3://slides/a.tif").read_bytes() == b"z" * 40_000


def test_the_least_recently_used_makes_room(tmp_path: Path) -> None:
    cache = SlideCache(tmp_path, 100 * KB)
    used(cache, "a", "b", "a", "c")
    assert copies(tmp_path) == ["a.tif", "c.tif"]


def test_what_is_in_use_stays(tmp_path: Path) -> None:
    cache = SlideCache(tmp_path, 100 * KB)
    cache.fetch("s3://slides/a.tif")
    used(cache, "b", "c")
    assert copies(tmp_path) == ["a.tif", "c.tif"]


def test_a_cache_too_small_for_a_slide(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.tif: has 0\.000 GB, but the cache .* may hold 0\.000 GB; raise cache_gb"):
        SlideCache(tmp_path, 39 * KB).fetch("s3://slides/a.tif")
    assert not copies(tmp_path)


def test_no_room_beside_what_is_in_use(tmp_path: Path) -> None:
    cache = SlideCache(tmp_path, 70 * KB, wait_seconds=0.1)
    cache.fetch("s3://slides/a.tif")
    with pytest.raises(InputError, match=r"b\.tif: .* has no room .* beside the slides in use; raise cache_gb"):
        cache.fetch("s3://slides/b.tif")
    cache.release("s3://slides/a.tif")
    cache.fetch("s3://slides/b.tif")
    assert copies(tmp_path) == ["b.tif"]


@pytest.mark.parametrize("limit", [0, -1, True, "10"])
def test_a_limit_that_is_none(tmp_path: Path, limit: object) -> None:
    with pytest.raises(InputError, match="cache_gb must be a positive number"):
        SlideCache(tmp_path, limit)  # type: ignore[arg-type]


def test_the_next_slide_is_copied_meanwhile(tmp_path: Path) -> None:
    cache = SlideCache(tmp_path, 100 * KB)
    cache.fetch_ahead("s3://slides/a.tif")
    deadline = time.monotonic() + 300
    while not copies(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    used(cache, "b", "c")
    assert "a.tif" in copies(tmp_path), "it waits for its turn, which is use"
    assert cache.fetch("s3://slides/a.tif").exists()


def test_what_goes_wrong_ahead_is_told_when_it_is_needed(tmp_path: Path) -> None:
    cache = SlideCache(tmp_path)
    cache.fetch_ahead("s3://slides/missing.tif")
    with pytest.raises(InputError, match=r"missing\.tif: is not there"):
        cache.fetch("s3://slides/missing.tif")


@pytest.mark.parametrize("url", ["s3://slides/..", "s3://slides/.hidden.tif", "s3://slides/a\nb.tif", "s3://slides"])
def test_names_that_are_no_files_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="cannot be a file's name"):
        SlideCache(tmp_path).fetch(url)
    assert not list(tmp_path.iterdir())


def _hold(cache: SlideCache, ready: object, url: str) -> None:
    cache.fetch(url)
    ready.set()  # type: ignore[attr-defined]
    time.sleep(60)


def test_a_slide_in_use_elsewhere_stays_until_that_process_is_killed(tmp_path: Path) -> None:
    used(SlideCache(tmp_path), "a")
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    cache = SlideCache(tmp_path, 70 * KB, wait_seconds=0.1)
    process = context.Process(target=_hold, args=(cache, ready, "s3://slides/a.tif"))
    process.start()
    assert ready.wait(600)
    with pytest.raises(InputError, match="beside the slides in use"):
        cache.fetch("s3://slides/b.tif")
    process.kill()
    process.join()
    cache.fetch("s3://slides/b.tif")
    assert copies(tmp_path) == ["b.tif"]


def test_a_forked_reader_does_not_keep_a_slide(tmp_path: Path) -> None:
    """As the loader's workers, which are forked while slides are in use, and live on."""
    cache = SlideCache(tmp_path, 70 * KB, wait_seconds=0.1)
    cache.fetch("s3://slides/a.tif")
    reader = os.fork()
    if reader == 0:
        time.sleep(60)
        os._exit(0)
    try:
        cache.release("s3://slides/a.tif")
        cache.fetch("s3://slides/b.tif")
        assert copies(tmp_path) == ["b.tif"]
    finally:
        os.kill(reader, 9)
        os.waitpid(reader, 0)


def test_another_process_starts_with_nothing_held(tmp_path: Path) -> None:
    cache = SlideCache(tmp_path, 100 * KB)
    cache.fetch("s3://slides/a.tif")
    other = pickle.loads(pickle.dumps(cache))
    other.release("s3://slides/a.tif")
    used(cache, "b", "c")
    assert "a.tif" in copies(tmp_path)


def test_the_cache_of_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert SlideCache().path == tmp_path / "pathology-tumor-detection" / "slides"
    assert not list(tmp_path.iterdir()), "made when it is needed"
