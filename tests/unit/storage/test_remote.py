from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.object_store import ENVIRONMENT, ObjectStore, serve_objects
from scripts.errors import InputError
from scripts.folders.names import is_url
from scripts.storage.remote import check_url, describe, file_name, find_remote_slides, list_slides

pytest.importorskip("moto", reason="the extra 'test' brings moto's S3 server")


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with serve_objects() as found:
        for key in ("x/a.tif", "x/deep/b.SVS", "x/a_mask.tif", "x/.hidden/c.tif", "x/notes.txt", "x/d.mrxs", "y/e.txt"):
            found.put("slides", key, b"content")
        yield found


@pytest.fixture(autouse=True)
def _environment(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": store.endpoint}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("path", "expected"), [("s3://b/a", True), ("https://h/a", True), ("a/b.tif", False)])
def test_addresses_are_told_from_paths(path: str, expected: bool) -> None:
    assert is_url(path) is expected
    assert not is_url(Path("s3://b/a"))


@pytest.mark.parametrize("url", ["ftp://h/a.tif", "http://example.org/a.tif", "file:///etc/passwd", "gs://b/a.tif"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="expected s3:// or https://"):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["https://h/a.tif?token=secret", "https://user:secret@h/a.tif", "https://h/a.tif#secret"]
)
def test_secrets_in_addresses_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InputError, match="would show it in results") as caught:
        check_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["s3://b/..", "https://h/a/../..", "s3://b/.a", "s3://b/a\\b", "https://h/"])
def test_names_that_lead_elsewhere_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="cannot be a file's name"):
        file_name(url)


def test_what_a_store_knows(store: ObjectStore) -> None:
    from_s3 = describe("s3://slides/x/a.tif")
    from_http = describe(f"{store.endpoint}/slides/x/a.tif")
    assert from_s3.size == from_http.size == 7
    assert from_s3.etag == from_http.etag == '"9a0364b9e99bb480dd25e1f0284c8555"'
    assert from_s3.modified_ns == from_http.modified_ns > 0
    assert (from_s3.md5, from_http.md5) == ("9a0364b9e99bb480dd25e1f0284c8555", "")


def test_what_is_not_there(store: ObjectStore) -> None:
    for url in ("s3://slides/none.tif", "s3://other/a.tif", f"{store.endpoint}/slides/none.tif"):
        with pytest.raises(InputError, match=r"(none|a)\.tif: is not there; check the address"):
            describe(url)


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"a\.tif: cannot be reached .*; check the address and the network"):
        describe("http://127.0.0.1:9/a.tif")


def test_slides_below_a_folder_of_a_bucket() -> None:
    assert find_remote_slides("s3://slides/x/") == ["s3://slides/x/a.tif", "s3://slides/x/deep/b.SVS"]
    assert find_remote_slides("s3://slides/x/a.tif") == ["s3://slides/x/a.tif"]
    with pytest.raises(InputError, match="no slides found"):
        find_remote_slides("s3://slides/y")
    with pytest.raises(InputError, match="consist of several files"):
        find_remote_slides("s3://slides/x/d.mrxs")


def test_slides_of_both_kinds_by_name(tmp_path: Path) -> None:
    (tmp_path / "aa.tif").touch()
    assert list_slides([str(tmp_path), "s3://slides/x"]) == [
        *("s3://slides/x/a.tif", str(tmp_path / "aa.tif"), "s3://slides/x/deep/b.SVS"),
    ]
    (tmp_path / "a.svs").touch()
    with pytest.raises(InputError, match="share the name 'a'"):
        list_slides([str(tmp_path), "s3://slides/x"])
    (tmp_path / "a.svs").rename(tmp_path / "A.svs")
    with pytest.raises(InputError, match=r"share the name 'a' \(case makes no difference\)"):
        list_slides([str(tmp_path), "s3://slides/x"])
    with pytest.raises(InputError, match="no slides found"):
        list_slides([])
