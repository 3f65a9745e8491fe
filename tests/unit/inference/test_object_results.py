from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from helpers.object_store import ENVIRONMENT, ObjectStore, serve_objects
from scripts.errors import InputError
from scripts.inference import object_results
from scripts.inference.object_results import ObjectResults
from scripts.inference.results import open_results
from scripts.storage.remote import open_store

pytest.importorskip("moto", reason="the extra 'test' brings moto's S3 server")

SIDECAR = {"shape": [301, 449], "stride": 64, "mode": "dense"}
EXPECTED = {"stride": 64, "mode": "dense"}
MAP = np.arange(40, dtype=np.float32).reshape(5, 8)


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with serve_objects() as found:
        yield found


@pytest.fixture
def results(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectResults:
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": store.endpoint}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(object_results, "RENEW_SECONDS", 0.2)
    for key in store.keys("slides"):
        store.client.delete_object(Bucket="slides", Key=key)
    found = open_results("s3://slides/maps/")
    assert isinstance(found, ObjectResults)
    return found


def test_a_map_comes_back(store: ObjectStore, results: ObjectResults) -> None:
    results.write("a", MAP, SIDECAR)
    assert results.read_summary() == {}
    results.write_summary({"slides_done": []})
    assert results.read_summary() == {"slides_done": []}
    assert store.keys("slides") == ["maps/a.json", "maps/a.npy", "maps/run.json"]
    np.testing.assert_array_equal(np.load(io.BytesIO(store.get("slides", "maps/a.npy"))), MAP)
    assert json.loads(store.get("slides", "maps/a.json")) == results.read_sidecar("a") == SIDECAR


class Killed(BaseException):
    """Nothing of the process runs after it."""


@pytest.mark.parametrize("step", range(8))
def test_a_run_killed_while_it_writes_leaves_a_whole_map(
    store: ObjectStore, results: ObjectResults, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    def is_whole(mode: str) -> bool:
        found = np.load(io.BytesIO(store.get("slides", "maps/a.npy")))
        is_of_mode = json.loads(store.get("slides", "maps/a.json"))["mode"] == mode
        return is_of_mode and np.array_equal(found, MAP if mode == "dense" else MAP + 1)

    done: list[str] = []

    def kill_or(name: str, call: Any) -> Any:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if len(done) >= step:
                raise Killed
            done.append(name)
            return call(*arguments, **options)

        return wrapped

    results.write("a", MAP, SIDECAR)
    files = open_store("s3://slides")
    with monkeypatch.context() as patch:
        for name in ("pipe_file", "cp_file", "rm_file"):
            patch.setattr(files, name, kill_or(name, getattr(files, name)))
        try:
            results.write("a", MAP + 1, {**SIDECAR, "mode": "sliding"})
        except Killed:
            assert len(done) == step
        else:
            assert step == 7
    if "maps/a.json" in store.keys("slides"):
        assert is_whole("dense") or is_whole("sliding"), "no pair of two runs, ever"
    results.lock()
    assert is_whole("dense") or is_whole("sliding")
    results.unlock()
    assert store.keys("slides") == ["maps/a.json", "maps/a.npy"]


def test_what_is_up_to_date_and_what_is_not(store: ObjectStore, results: ObjectResults) -> None:
    assert results.outdated("a", EXPECTED) == ""
    results.write("a", MAP, SIDECAR)
    assert results.outdated("a", EXPECTED) is None
    assert results.outdated("a", {**EXPECTED, "stride": 128}) == "stride was 64, is 128"
    content = store.get("slides", "maps/a.npy")
    for damaged in (content[:-1], content[:50], b"", b"{}"):
        store.put("slides", "maps/a.npy", damaged)
        assert results.outdated("a", EXPECTED) == "its map is missing or damaged"
    store.put("slides", "maps/a.json", b"{")
    assert results.outdated("a", EXPECTED) == "its sidecar is damaged"
    store.client.delete_object(Bucket="slides", Key="maps/a.json")
    assert results.outdated("a", EXPECTED) == "a map without a sidecar, of a run that was interrupted"


def test_one_run_at_a_time(store: ObjectStore, results: ObjectResults) -> None:
    results.lock()
    other = ObjectResults("s3://slides/maps")
    with pytest.raises(InputError, match="another run is writing there"):
        other.lock()
    results.unlock()
    assert store.keys("slides") == []
    other.lock()
    other.unlock()


def test_a_killed_run_is_followed_by_another(store: ObjectStore, results: ObjectResults) -> None:
    store.put("slides", "maps/.lock", b"of a run that was killed")
    started = time.monotonic()
    results.lock()
    assert time.monotonic() - started > 0.5, "it waited for a sign of life"
    results.unlock()


def test_other_places_are_refused() -> None:
    with pytest.raises(InputError, match=r"expected a folder or s3://bucket/folder"):
        open_results("https://example.org/maps")


def test_a_bucket_that_is_not_there(results: ObjectResults) -> None:
    with pytest.raises(InputError, match="s3://other/maps: is not there"):
        ObjectResults("s3://other/maps").lock()
