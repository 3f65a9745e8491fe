from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.object_store import ENVIRONMENT, BreakingProxy, ObjectStore, serve_objects
from scripts.cli.data import download
from scripts.errors import InputError
from scripts.storage import transfer
from scripts.storage.download import download_camelyon16

pytest.importorskip("moto", reason="the extra 'test' brings moto's S3 server")

SOURCE = "s3://camelyon-dataset/CAMELYON16"
FILES = {
    "images/normal_001.tif": b"normal" * 5000,
    "images/tumor_001.tif": b"tumor" * 5000,
    "images/test_001.tif": b"test" * 5000,
    "annotations/tumor_001.xml": b"<ASAP_Annotations/>",
    "annotations/test_001.xml": b"<ASAP_Annotations />",
    "masks/tumor_001_mask.tif": b"mask" * 100,
    "background_tissue/tumor_001_tissue.tif": b"tissue",
    "README.md": b"# CAMELYON16",
}
"""The layout of the bucket (docs/data.md); contents are made up."""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(transfer, "CHUNK_BYTES", 4000)
    monkeypatch.setattr(transfer, "_FIRST_PAUSE", 0.001)
    with serve_objects() as found:
        found.client.create_bucket(Bucket="camelyon-dataset")
        for name, content in FILES.items():
            found.put("camelyon-dataset", f"CAMELYON16/{name}", content)
        lines = [f"{hashlib.md5(content).hexdigest()}  {name}" for name, content in FILES.items()]
        found.put("camelyon-dataset", "CAMELYON16/checksums.md5", "\n".join(lines).encode())
        yield found


def downloaded(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_chosen_slides_with_what_belongs_to_them(store: ObjectStore, tmp_path: Path) -> None:
    message = download_camelyon16(
        tmp_path, "Tumor_001,normal_001.tif", "images,annotations,masks", endpoint=store.endpoint
    )
    names = ["images/normal_001.tif", "images/tumor_001.tif", "annotations/tumor_001.xml", "masks/tumor_001_mask.tif"]
    assert downloaded(tmp_path) == {name: FILES[name] for name in names}
    assert message.startswith(
        f"4 files downloaded to {tmp_path}, 0 there before; 4 compared with checksums.md5 or checksums.txt"
    )


def test_all_slides_and_a_second_time(store: ObjectStore, tmp_path: Path) -> None:
    download_camelyon16(tmp_path, "all", endpoint=store.endpoint)
    wanted = {name: content for name, content in FILES.items() if name.startswith(("images", "annotations"))}
    assert downloaded(tmp_path) == wanted
    (tmp_path / "images/test_001.tif").write_bytes(b"half")
    message = download_camelyon16(tmp_path, "all", endpoint=store.endpoint)
    assert message.startswith(f"1 file downloaded to {tmp_path}, 4 there before")
    assert downloaded(tmp_path) == wanted


def test_a_copy_of_other_origin_is_known_by_its_md5(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/tumor_001.tif").write_bytes(FILES["images/tumor_001.tif"])
    assert "0 files downloaded" in download_camelyon16(tmp_path, "tumor_001", "images", endpoint=store.endpoint)
    (tmp_path / "images/tumor_001.tif").write_bytes(b"T" + FILES["images/tumor_001.tif"][1:])
    assert "1 file downloaded" in download_camelyon16(tmp_path, "tumor_001", "images", endpoint=store.endpoint)
    assert downloaded(tmp_path) == {"images/tumor_001.tif": FILES["images/tumor_001.tif"]}


def test_a_broken_transfer_goes_on(store: ObjectStore, tmp_path: Path) -> None:
    with BreakingProxy(store.port, after=3000, breaks=3) as proxy:
        download_camelyon16(tmp_path, "tumor_001", "images", endpoint=f"http://127.0.0.1:{proxy.port}")
        assert proxy.breaks_left == 0
    assert downloaded(tmp_path) == {"images/tumor_001.tif": FILES["images/tumor_001.tif"]}


def test_a_damaged_file_fails_and_the_others_come(store: ObjectStore, tmp_path: Path) -> None:
    store.put("camelyon-dataset", "CAMELYON16/images/test_001.tif", b"TEST" * 5000)
    with pytest.raises(InputError, match=r"1 of 3 files could not .*test_001\.tif: damaged, its MD5 is"):
        download_camelyon16(tmp_path, "all", "images", endpoint=store.endpoint)
    assert downloaded(tmp_path).keys() == {"images/normal_001.tif", "images/tumor_001.tif"}


def list_sha256(store: ObjectStore) -> None:
    lines = [f"{hashlib.sha256(content).hexdigest()}  ./{name}" for name, content in FILES.items()]
    store.put("camelyon-dataset", "CAMELYON16/checksums.txt", "\n".join(lines).encode())


def test_without_a_list_the_buckets_md5_counts(
    store: ObjectStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.client.delete_object(Bucket="camelyon-dataset", Key="CAMELYON16/checksums.md5")
    message = download_camelyon16(tmp_path, "test_001", "images", endpoint=store.endpoint)
    assert "; 0 compared with checksums.md5 or checksums.txt, 1 with the bucket's own MD5, 0 by their size" in message
    assert [text for text in caplog.messages if "has neither checksums.md5 nor checksums.txt: " in text]


def test_a_list_of_sha256_counts(store: ObjectStore, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store.client.delete_object(Bucket="camelyon-dataset", Key="CAMELYON16/checksums.md5")
    list_sha256(store)
    message = download_camelyon16(tmp_path, "test_001", "images", endpoint=store.endpoint)
    assert "; 1 compared with checksums.md5 or checksums.txt, 0 with" in message
    assert not [text for text in caplog.messages if "checksum" in text and "HTTP" not in text]
    store.put("camelyon-dataset", "CAMELYON16/images/tumor_001.tif", b"TUMOR" * 5000)
    with pytest.raises(InputError, match=r"tumor_001\.tif: damaged, its SHA-256 is [0-9a-f]{64}, but expected"):
        download_camelyon16(tmp_path, "tumor_001", "images", endpoint=store.endpoint)
    assert downloaded(tmp_path).keys() == {"images/test_001.tif"}
    target = tmp_path / "images/test_001.tif"
    os.utime(target, (0, 0))
    assert "0 files downloaded" in download_camelyon16(tmp_path, "test_001", "images", endpoint=store.endpoint)


def test_both_lists(store: ObjectStore, tmp_path: Path) -> None:
    list_sha256(store)
    store.put("camelyon-dataset", "CAMELYON16/checksums.md5", f"{'0' * 32}  images/test_001.tif\n".encode())
    assert "1 compared with" in download_camelyon16(tmp_path, "test_001", "images", endpoint=store.endpoint)


def test_space_is_looked_at_first(store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"0\.000 GB are to come, but only 0\.000 GB are free; choose fewer"):
        download_camelyon16(tmp_path, "tumor_001", "images", endpoint=store.endpoint)
    assert not downloaded(tmp_path)


def test_a_name_that_leads_elsewhere_is_refused(store: ObjectStore, tmp_path: Path) -> None:
    store.put("camelyon-dataset", "CAMELYON16/images/../../evil.tif", b"evil")
    with pytest.raises(InputError, match=r"'\.\.' cannot be a file's name"):
        download_camelyon16(tmp_path / "here", "all", "images", endpoint=store.endpoint)
    assert not downloaded(tmp_path)


@pytest.mark.parametrize(
    ("slides", "what", "message"),
    [
        ("tumor_999", "images", r"--slides 'tumor_999': not in .*, which has 3 names, normal_001 to tumor_001"),
        (",", "images", r"--slides ',': not in"),
        ("all", "pictures", r"--what must name some of images, annotations, masks, but got 'pictures'"),
    ],
)
def test_what_is_not_there(store: ObjectStore, tmp_path: Path, slides: str, what: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        download_camelyon16(tmp_path, slides, what, endpoint=store.endpoint)


def test_the_command_brings_the_reference_table_and_the_checksums(
    store: ObjectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put("camelyon-dataset", "CAMELYON16/evaluation/reference.csv", b"test_001,Tumor,IDC,Macro")
    download(output=str(tmp_path), slides="test_001", endpoint=store.endpoint, source=SOURCE)
    found = downloaded(tmp_path)
    assert found["evaluation/reference.csv"] == b"test_001,Tumor,IDC,Macro"
    assert "checksums.md5" in found
    assert "also checksums.md5, reference.csv" in capsys.readouterr().out
