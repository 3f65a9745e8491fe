from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from scripts import files
from scripts.errors import InputError
from scripts.files import (
    NameIndex,
    atomic_path,
    find_slides,
    make_output_dir,
    read_json,
    write_json,
    write_npy,
    write_table,
)


def touch(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_atomic_path_replaces_the_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "map.npy"
    target.write_text("old")
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".npy"
        assert temporary.name.startswith(".")
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["map.npy"]


def test_atomic_path_leaves_nothing_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "map.npy"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError), atomic_path(target) as temporary:
        temporary.write_text("half" * 10_000 + "\ud800", encoding="utf-8")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["map.npy"]


def test_atomic_path_keeps_an_input_error_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^slide_3: damaged$"), atomic_path(tmp_path / "map.npy"):
        raise InputError("slide_3: damaged")


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_atomic_path_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    monkeypatch.setattr(files.os, call, full_disk)
    with pytest.raises(InputError, match=r"map\.npy: cannot be written \(No space left on device\); check"):
        write_npy(tmp_path / "map.npy", np.zeros((3, 5)))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("parent", ["missing", "file"])
def test_atomic_path_without_a_folder(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"map\.json: cannot be written"):
        write_json(tmp_path / parent / "map.json", {})


def test_atomic_path_where_the_target_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "map.json").mkdir()
    with pytest.raises(InputError, match=r"map\.json: cannot be written"):
        write_json(tmp_path / "map.json", {})
    assert os.listdir(tmp_path) == ["map.json"]


def test_json_round_trip(tmp_path: Path) -> None:
    content = {"slide": "ü.tif", "shape": [3301, 2203], "mpp": None}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content
    assert (tmp_path / "a.json").read_bytes().endswith(b"}\n")


def test_write_json_refuses_nan_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"score": float("nan")})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{}", b"slide,x,y"])
def test_read_json_of_something_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json: not a readable JSON file"):
        read_json(tmp_path / "a.json")


def test_read_json_of_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.json: no such file"):
        read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match="not a readable JSON file"):
        read_json(tmp_path)


def test_write_npy_round_trip(tmp_path: Path) -> None:
    array = np.arange(15, dtype=np.float32).reshape(3, 5)
    write_npy(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)
    with pytest.raises(ValueError, match="allow_pickle"):
        write_npy(tmp_path / "b.npy", np.array([object()]))
    assert os.listdir(tmp_path) == ["a.npy"]


def test_make_output_dir_makes_parents_and_leaves_no_probe(tmp_path: Path) -> None:
    folder = make_output_dir(tmp_path / "a" / "b")
    assert folder.is_dir()
    assert make_output_dir(str(folder)) == folder
    assert os.listdir(folder) == []


def test_make_output_dir_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=r"cannot be written .*; choose another output folder"):
            make_output_dir(folder)


def test_make_output_dir_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "touch", read_only)  # root may write where chmod forbids it
    with pytest.raises(InputError, match=r"cannot be written \(Read-only file system\)"):
        make_output_dir(tmp_path)


def test_find_slides_in_folders_and_files(tmp_path: Path) -> None:
    touch(
        tmp_path, "b/tumor_002.TIF", "b/c/a.svs", "normal_001.tif", "tumor_002_mask.tif", "notes.txt",
        ".hidden.tif", ".trash/old.tif", "b/.cache/x.tif", "folder.tif/inside.tiff", "odd.bin",
    )  # fmt: skip
    found = find_slides([tmp_path, tmp_path / "odd.bin"])
    assert [path.name for path in found] == ["a.svs", "inside.tiff", "normal_001.tif", "odd.bin", "tumor_002.TIF"]
    assert [path.name for path in find_slides(str(tmp_path / "b"))] == ["a.svs", "tumor_002.TIF"]


def test_find_slides_below_a_hidden_folder(tmp_path: Path) -> None:
    touch(tmp_path, ".store/a.tif")
    assert [path.name for path in find_slides(tmp_path / ".store")] == ["a.tif"]


def test_find_slides_takes_a_mask_that_is_named_outright(tmp_path: Path) -> None:
    (path,) = touch(tmp_path, "tumor_002_mask.tif")
    assert find_slides(path) == [path]


def test_find_slides_takes_a_file_given_twice_once(tmp_path: Path) -> None:
    (path,) = touch(tmp_path, "a.tif")
    (tmp_path / "b").mkdir()
    assert len(find_slides([path, tmp_path, tmp_path / "b" / ".." / "a.tif"])) == 1


def test_find_slides_with_one_name_twice(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.tif", "y/a.svs")
    with pytest.raises(InputError) as caught:
        find_slides(tmp_path)
    assert str(tmp_path / "x" / "a.tif") in str(caught.value)
    assert str(tmp_path / "y" / "a.svs") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_find_slides_finds_none(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(InputError, match=r"no slides found; expected files ending in \.tif"):
        find_slides(tmp_path)
    with pytest.raises(InputError, match="missing: no such file or folder"):
        find_slides([tmp_path, tmp_path / "missing"])


def test_name_index_prefers_the_exact_name(tmp_path: Path) -> None:
    lower, upper = touch(tmp_path, "x/tumor_001.json", "y/Tumor_001.json")
    touch(tmp_path, "tumor_001.xml", ".cache/tumor_001.json")
    index = NameIndex(tmp_path, (".json",), "annotation")
    assert len(index) == 2
    assert index["tumor_001"] == lower
    assert index["Tumor_001"] == upper
    with pytest.raises(InputError, match=r"2 annotations are named 'TUMOR_001' \(.*; keep one"):
        index["TUMOR_001"]


def test_name_index_takes_another_case(tmp_path: Path) -> None:
    (path,) = touch(tmp_path, "Tumor_001.TIF")
    index = NameIndex(tmp_path, (".tif", ".svs"), "slide")
    assert index["tumor_001"] == index.get("TUMOR_001") == path


def test_name_index_with_one_name_twice(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.tif", "y/a.tif")
    with pytest.raises(InputError, match="2 slides are named 'a'"):
        NameIndex(tmp_path, (".tif",), "slide").get("a")


def test_name_index_without_the_name(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif")
    index = NameIndex(tmp_path, (".tif",), "slide")
    assert index.get("b") is None
    with pytest.raises(InputError, match="no slide named 'b' anywhere below"):
        index["b"]
    with pytest.raises(InputError, match="no such folder; expected a folder of slides"):
        NameIndex(tmp_path / "missing", (".tif",), "slide")


def test_written_json_is_what_json_reads(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", [1, {"b": 0.5}])
    assert json.loads((tmp_path / "a.json").read_text()) == [1, {"b": 0.5}]


def test_write_table_has_a_header_and_the_columns_asked_for(tmp_path: Path) -> None:
    rows = [{"a": 'x,"y"', "b": True, "c": 1}, {"a": None, "b": False, "c": 0.1}]
    write_table(tmp_path / "t.csv", ("b", "a"), rows)
    assert (tmp_path / "t.csv").read_bytes() == b'b,a\ntrue,"x,""y"""\nfalse,\n'
