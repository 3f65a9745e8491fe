from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.object_store import ENVIRONMENT, BreakingProxy, ObjectStore, serve_objects
from scripts.errors import InputError
from scripts.storage import transfer
from scripts.storage.remote import RemoteFile, describe, open_store
from scripts.storage.transfer import copy_file, file_md5

pytest.importorskip("moto", reason="the extra 'test' brings moto's S3 server")

CONTENT = random.Random(0).randbytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with serve_objects() as found:
        yield found


@pytest.fixture(autouse=True)
def _environment(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": store.endpoint}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(transfer, "CHUNK_BYTES", 20_000)
    monkeypatch.setattr(transfer, "_FIRST_PAUSE", 0.001)


def through(proxy: BreakingProxy) -> Any:
    return open_store("s3://slides", endpoint_url=f"http://127.0.0.1:{proxy.port}")


def test_a_file_is_copied_and_its_md5_compared(store: ObjectStore, tmp_path: Path) -> None:
    url = store.put("slides", "a.tif", CONTENT)
    file = describe(url)
    told: list[int] = []
    assert copy_file(file, tmp_path / "a.tif", open_store(url), told.append) == "md5"
    assert (tmp_path / "a.tif").read_bytes() == CONTENT
    assert sum(told) == len(CONTENT)
    assert (tmp_path / "a.tif").stat().st_mtime_ns == file.modified_ns
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("address", ["s3", "http"])
def test_a_transfer_that_breaks_goes_on_where_it_stopped(store: ObjectStore, tmp_path: Path, address: str) -> None:
    store.put("slides", "a.tif", CONTENT)
    with BreakingProxy(store.port, after=10_000, breaks=4) as proxy:
        where = {"s3": "s3://slides/a.tif", "http": f"http://127.0.0.1:{proxy.port}/slides/a.tif"}[address]
        files = through(proxy) if address == "s3" else open_store(where)
        copy_file(describe(where, files), tmp_path / "a.tif", files)
        assert proxy.breaks_left == 0
        assert proxy.passed < 2 * len(CONTENT), "what had come was asked for again"
    assert (tmp_path / "a.tif").read_bytes() == CONTENT


def test_a_later_call_goes_on(store: ObjectStore, tmp_path: Path) -> None:
    url = store.put("slides", "a.tif", CONTENT)
    (tmp_path / "a.tif.part").write_bytes(CONTENT[:250_000])
    with BreakingProxy(store.port, after=0, breaks=0) as proxy:
        copy_file(describe(url), tmp_path / "a.tif", through(proxy))
        assert 50_000 < proxy.passed < 60_000
    assert (tmp_path / "a.tif").read_bytes() == CONTENT


class Dead:
    """A store that answers nothing any more."""

    def cat_ranges(self, paths: list[str], *arguments: Any, **options: Any) -> list[Exception]:
        return [OSError("connection reset") for _ in paths]


def test_a_transfer_that_never_comes_back_keeps_what_it_has(store: ObjectStore, tmp_path: Path) -> None:
    url = store.put("slides", "a.tif", CONTENT)
    (tmp_path / "a.tif.part").write_bytes(CONTENT[:70_000])
    with pytest.raises(InputError, match=r"broke off at byte 70000 of 300000 \(connection reset\); run again"):
        copy_file(describe(url), tmp_path / "a.tif", Dead())
    assert (tmp_path / "a.tif.part").read_bytes() == CONTENT[:70_000]
    assert not (tmp_path / "a.tif").exists()


def test_a_file_that_changes_meanwhile_is_refused(store: ObjectStore, tmp_path: Path) -> None:
    url = store.put("slides", "a.tif", CONTENT)
    old = describe(url)
    store.put("slides", "a.tif", bytes(len(CONTENT)))
    with pytest.raises(InputError, match="was changed while it was copied"):
        copy_file(old, tmp_path / "a.tif", open_store(url))
    assert not list(tmp_path.iterdir())


def test_damage_is_found_by_the_stores_md5_and_by_a_given_one(store: ObjectStore, tmp_path: Path) -> None:
    url = store.put("slides", "a.tif", CONTENT)
    (tmp_path / "a.tif.part").write_bytes(b"?" * 1000)
    with pytest.raises(InputError, match=f"damaged, its MD5 is [0-9a-f]+, but expected {MD5}"):
        copy_file(describe(url), tmp_path / "a.tif", open_store(url))
    assert not list(tmp_path.iterdir()), "what is damaged is not kept"
    with pytest.raises(InputError, match="but expected 00"):
        copy_file(describe(url), tmp_path / "a.tif", open_store(url), checksum="0" * 32)


def test_a_file_uploaded_in_parts_is_verified_by_their_md5s(store: ObjectStore, tmp_path: Path) -> None:
    content, part = random.Random(1).randbytes((5 << 20) + 1000), 5 << 20
    upload = store.client.create_multipart_upload(Bucket="slides", Key="b.tif")["UploadId"]
    where = {"Bucket": "slides", "Key": "b.tif", "UploadId": upload}
    tags = [
        store.client.upload_part(PartNumber=number, Body=content[start : start + part], **where)["ETag"]
        for number, start in ((1, 0), (2, part))
    ]
    parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, start=1)]
    store.client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **where)
    (tmp_path / "whole").write_bytes(content)
    assert f'"{file_md5(tmp_path / "whole", part)}"' == describe("s3://slides/b.tif").etag
    file = describe("s3://slides/b.tif")._replace(md5=file_md5(tmp_path / "whole", part), part_size=part)
    assert copy_file(file, tmp_path / "b.tif", open_store(file.url)) == "md5 of parts"
    with pytest.raises(InputError, match="damaged"):
        copy_file(file._replace(md5="0" * 32 + "-2"), tmp_path / "b.tif", open_store(file.url))


def test_a_server_without_ranges_is_told(tmp_path: Path) -> None:
    class Whole:
        def cat_ranges(self, paths: list[str], *arguments: Any, **options: Any) -> list[bytes]:
            return [CONTENT for _ in paths]

    file = RemoteFile("https://example.org/a.tif", len(CONTENT), '"1"', 0)
    with pytest.raises(InputError, match="does not serve ranges"):
        copy_file(file, tmp_path / "a.tif", Whole())


def test_what_no_store_vouches_for_starts_anew(store: ObjectStore, tmp_path: Path) -> None:
    url = store.put("slides", "a.tif", CONTENT)
    (tmp_path / "a.tif.part").write_bytes(b"of another version")
    with pytest.raises(InputError, match="was changed"):  # the store does have an ETag
        copy_file(describe(url)._replace(etag="", modified_ns=0), tmp_path / "a.tif", open_store(url))
    assert not list(tmp_path.iterdir())
