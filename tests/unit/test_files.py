from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from helpers.touched import touch
from scripts import files
from scripts.annotations.annotations import read_annotation, read_tissue
from scripts.annotations.coords import read_coords
from scripts.annotations.verdict_log import VerdictLog
from scripts.errors import InputError
from scripts.files import (
    atomic_folder,
    atomic_path,
    make_output_dir,
    read_json,
    read_npy,
    read_number,
    read_rows,
    remove_leftovers,
    write_json,
    write_npy,
    write_table,
)
from scripts.inference.provenance import file_sha256
from scripts.labels.loclabel import read_loclabels
from scripts.maps.detection_files import read_detections
from scripts.maps.pictures import read_picture
from scripts.masks.files import level_shapes, read_level, read_mask_array
from scripts.masks.foreground_files import read_mask
from scripts.masks.truth import read_truth
from scripts.network.network import load_checkpoint
from scripts.quality.files import read_artifacts
from scripts.slides.slide import open_slide
from scripts.staging.classifier import load_classifier
from scripts.training.patch_images import open_patch, patch_datalist


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
    with pytest.raises(InputError), atomic_path(target) as temporary:
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


@pytest.mark.parametrize(
    "said",
    [
        "basic_ios::clear: iostream error",
        "[enforce fail at inline_container.cc:672] . PytorchStreamWriter failed writing file data/0: file write failed",
    ],
)
def test_atomic_path_on_a_disk_that_torch_finds_full(tmp_path: Path, said: str) -> None:
    expected = r"a\.pt: cannot be written \(.*\); check the folder's space"
    with pytest.raises(InputError, match=expected), atomic_path(tmp_path / "a.pt"):
        raise RuntimeError(said)
    with pytest.raises(RuntimeError, match="another fault"), atomic_path(tmp_path / "a.pt"):
        raise RuntimeError("another fault")


def test_atomic_path_of_a_text_that_is_not_utf_8(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"a\.csv: cannot be written, since 'slide_\\udcff,1' in it is not UTF-8; rename"
    ):
        write_table(tmp_path / "a.csv", ("slide", "n"), [{"slide": "slide_\udcff", "n": 1}])
    assert not list(tmp_path.iterdir())


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


def test_atomic_folder_replaces_the_whole_folder(tmp_path: Path) -> None:
    target = tmp_path / "a b.ome.zarr"
    for content in ("old", "new"):
        with atomic_folder(target) as temporary:
            assert temporary.parent == tmp_path
            assert temporary.name.startswith(".")
            (temporary / content).touch()
            assert not (target / content).exists()
        assert os.listdir(target) == [content]
    assert os.listdir(tmp_path) == [target.name]


def test_atomic_folder_leaves_nothing_on_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(UnicodeEncodeError), atomic_folder(target) as temporary:
        (temporary / "half").write_text("\ud800", encoding="utf-8")
    monkeypatch.setattr(files.os, "replace", full_disk)
    with pytest.raises(InputError, match=r"a: cannot be written \(No space left"), atomic_folder(target):
        pass
    assert os.listdir(tmp_path) == ["a"]
    assert os.listdir(target) == ["old"]


def test_atomic_folder_puts_the_old_one_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.zarr"
    target.mkdir()
    (target / "old").touch()
    replace, calls = os.replace, []

    def fail_once(*paths: Path) -> None:
        calls.append(paths)
        if len(calls) == 2:
            full_disk()
        replace(*paths)

    monkeypatch.setattr(files.os, "replace", fail_once)
    with pytest.raises(InputError, match=r"a\.zarr: cannot be written"), atomic_folder(target):
        pass
    assert os.listdir(tmp_path) == ["a.zarr"]
    assert os.listdir(target) == ["old"]


def test_a_killed_run_with_the_same_process_id_is_not_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.os, "getpid", lambda: 1)
    killed = atomic_folder(tmp_path / "a.zarr")
    killed.__enter__()  # and never left: the process is gone
    with atomic_folder(tmp_path / "a.zarr") as temporary:
        (temporary / "new").touch()
    assert os.listdir(tmp_path / "a.zarr") == ["new"]


def test_leftovers_of_killed_runs_are_removed(tmp_path: Path) -> None:
    kept = ["map.npy", ".lock", ".hidden.npy", ".ab.tmp.npy.txt", ".lock.tmp"]
    of_earlier_versions = [".map.1234.tmp.npy", ".map.ome.1.tmp.tiff", ".a.zarr.77.tmp", ".a.zarr.77.old"]
    touch(tmp_path, *kept, *of_earlier_versions)
    killed = [atomic_path(tmp_path / name) for name in ("map.npy", "a b.ome.tiff")]
    for context in killed:
        context.__enter__().touch()
    killed.append(atomic_folder(tmp_path / "a.ome.zarr"))
    killed[-1].__enter__().joinpath("0").mkdir()
    make_output_dir(tmp_path)
    assert len(os.listdir(tmp_path)) == len(kept) + len(of_earlier_versions) + 3, "another run may be at work"
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    make_output_dir(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_a_name_as_long_as_the_disk_takes(tmp_path: Path) -> None:
    target = tmp_path / f"{'ü' * 125}.json"
    write_json(target, {})
    assert read_json(target) == {}


@pytest.mark.parametrize("name", ["a\udcff.json", f"{'a' * 250}.json"])
def test_any_name_that_the_disk_takes_can_be_written(tmp_path: Path, name: str) -> None:
    write_json(tmp_path / name, {})
    assert read_json(tmp_path / name) == {}


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("a.json", read_json),
        ("a.json", read_annotation),
        ("a.geojson", read_tissue),
        ("a.xml", read_annotation),
        ("coords.csv", read_coords),
        ("labels.csv", read_loclabels),
        ("table.csv", read_rows),
        ("pictures.csv", lambda path: patch_datalist(tables=[path])),
        ("a.csv", read_detections),
        ("a.npy", read_npy),
        ("a.npy", read_mask_array),
        ("a.png", read_mask_array),
        ("a.png", partial(read_mask, slide_shape=(300, 500), stride=16)),
        ("a.png", partial(read_picture, shape=(3, 5), value_of_one=255)),
        ("a_artifacts.png", partial(read_artifacts, shape=(3, 5))),
        ("a.tif", partial(read_truth, slide_shape=(300, 500), map_stride=4, wanted_stride=4)),
        ("a.tif", level_shapes),
        ("a.tif", partial(read_level, level=0)),
        ("a.tif", open_slide),
        ("a.png", open_patch),
        ("a.pt", load_checkpoint),
        ("a.pt", file_sha256),
        ("a.skops", load_classifier),
        ("a.jsonl", partial(VerdictLog, origin=(0, 0))),
    ],
)
def test_a_pipe_is_no_file(tmp_path: Path, name: str, read: Callable[[Path], object]) -> None:
    """Reading it would wait for ever, and a device never ends."""
    (tmp_path / "links").mkdir()
    os.mkfifo(tmp_path / name)
    (tmp_path / "links" / name).symlink_to(tmp_path / name)
    for path in (tmp_path / name, tmp_path / "links" / name):
        with pytest.raises(InputError, match=f"{path}: expected a file, found a pipe or a device; copy it to a file"):
            read(path)


def test_json_round_trip(tmp_path: Path) -> None:
    content = {"slide": "ü.tif", "shape": [3301, 2203], "mpp": None}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content
    assert (tmp_path / "a.json").read_bytes().endswith(b"}\n")


def test_write_json_refuses_nan_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"score": float("nan")})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{}", b'{"a": "\xff"}', b"slide,x,y"])
def test_read_json_of_something_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json: not a readable JSON file"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_read_json_of_each_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.json").write_bytes('{"slide": "ü.tif"}'.encode(encoding))
    assert read_json(tmp_path / "a.json") == {"slide": "ü.tif"}


@pytest.mark.parametrize(
    "text", ['{"positive": [], "negative": [], "positive": [1]}', '[{"a": {"positive": 1, "positive": 2}}]']
)
def test_read_json_refuses_a_repeated_key(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json: not a readable JSON file \(an object has the key 'positive' twice"):
        read_json(tmp_path / "a.json")


def test_read_json_takes_a_key_that_is_repeated_with_its_value(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"metadata": {"a": [1]}, "b": 2, "metadata": {"a": [1]}}')
    assert read_json(tmp_path / "a.json") == {"metadata": {"a": [1]}, "b": 2}


@pytest.mark.parametrize(("text", "value"), [("12", 12), (" -1.5e3 ", -1500), ("007", 7), (".5", 0.5), ("inf", np.inf)])
def test_read_number(text: str, value: float) -> None:
    assert read_number(text) == value


@pytest.mark.parametrize("text", ["1_000", "1_0.5", "\u0663", "\uff11", "", "1,5", "0x10", "one"])
def test_read_number_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_number(text)


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


@pytest.mark.parametrize("limit", [100, 5_000, 10_000, 10_879])
def test_an_array_is_written_whole_or_not_at_all(tmp_path: Path, limit: int) -> None:
    array = np.ones((42, 64), dtype=np.float32)  # a file of 10,880 bytes
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(InputError, match=r"a\.npy: cannot be written \(File too large\)"):
            write_npy(tmp_path / "a.npy", array)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []


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


@pytest.mark.parametrize("name", ["~", "~/maps", "~root/maps"])
def test_make_output_dir_makes_no_folder_called_tilde(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    for path in (name, Path(name)):
        with pytest.raises(InputError, match=r"does not replace ~ by the home folder; write /"):
            make_output_dir(path)
    assert not list(tmp_path.iterdir())
    assert make_output_dir("~~maps").is_dir()


@pytest.mark.parametrize("name", ["$HOME", "$HOME/maps", "a/${HOME}/maps"])
def test_make_output_dir_makes_no_folder_called_like_a_variable(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("nothing", raising=False)
    for path in (name, Path(name)):
        with pytest.raises(InputError, match=r"only a shell replaces variables, outside of quotes; write .*/home/some"):
            make_output_dir(path)
    assert not list(tmp_path.iterdir())
    assert make_output_dir("$nothing").is_dir()


def test_make_output_dir_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "touch", read_only)  # root may write where chmod forbids it
    with pytest.raises(InputError, match=r"cannot be written \(Read-only file system\)"):
        make_output_dir(tmp_path)


def test_written_json_is_what_json_reads(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", [1, {"b": 0.5}])
    assert json.loads((tmp_path / "a.json").read_text()) == [1, {"b": 0.5}]


def test_write_table_has_a_header_and_the_columns_asked_for(tmp_path: Path) -> None:
    rows = [{"a": 'x,"y"', "b": True, "c": 1}, {"a": None, "b": False, "c": 0.1}]
    write_table(tmp_path / "t.csv", ("b", "a"), rows)
    assert (tmp_path / "t.csv").read_bytes() == b'b,a\ntrue,"x,""y"""\nfalse,\n'


def test_read_rows_numbers_lines_and_passes_blank_ones_over(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('\ufeffa,b\r\n\r\n ,\nc,"d,e"\n'.encode())
    assert files.read_rows(path) == [(1, ["a", "b"]), (4, ["c", "d,e"])]
    path.write_bytes(b'"a\nb",c\nd,e\n')
    assert files.read_rows(path) == [(2, ["a\nb", "c"]), (3, ["d", "e"])]
    path.write_bytes(b"a,\xff\n")
    with pytest.raises(InputError, match="not a readable CSV file"):
        files.read_rows(path)
    with pytest.raises(InputError, match="no such file"):
        files.read_rows(tmp_path / "none.csv")


@pytest.mark.parametrize("content", ['{"a": 1, "a": 1}', '{"b": {"a": [1, {}], "a": [1, {}]}}'])
def test_a_key_that_comes_twice_alike_is_read(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    assert read_json(tmp_path / "a.json") in ({"a": 1}, {"b": {"a": [1, {}]}})


@pytest.mark.parametrize(
    "content",
    ['{"a": 1, "a": 2}', '{"a": 1, "b": 1, "a": null}', '{"a": 1, "a": true}', '[{"b": {"a": [], "a": {}}}]'],
)
def test_a_key_that_comes_twice_with_two_values_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=r"a\.json: not a readable JSON file \(an object has the key 'a' twice"):
        read_json(tmp_path / "a.json")


def test_a_folder_that_another_process_tidies_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch = Path.touch

    def touch_and_lose(path: Path) -> None:
        touch(path)
        remove_leftovers(tmp_path, 0)

    monkeypatch.setattr(Path, "touch", touch_and_lose)
    assert make_output_dir(tmp_path) == tmp_path
