from __future__ import annotations

import os
from pathlib import Path

import pytest

from helpers.touched import touch
from scripts.errors import InputError
from scripts.folders.search import files_below, find_slides


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


@pytest.mark.parametrize("names", [("M\u00fcller_1.tif", "Mu\u0308ller_1.tif"), ("Tumor_001.tif", "tumor_001.tif")])
def test_find_slides_whose_names_are_spelled_otherwise(tmp_path: Path, names: tuple[str, str]) -> None:
    touch(tmp_path, f"x/{names[0]}", f"y/{names[1]}")
    with pytest.raises(InputError, match="share the name"):
        find_slides(tmp_path)


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    touch(tmp_path, "slides/a.tif", "elsewhere/deep/b.tif", "far/c.tif", ".trash/d.tif")
    (tmp_path / "slides" / "batch2").symlink_to("../elsewhere")
    (tmp_path / "elsewhere" / "more").symlink_to(tmp_path / "far")
    (tmp_path / "slides" / ".old").symlink_to("../.trash")
    found = find_slides(tmp_path / "slides")
    names = ["a.tif", "batch2/deep/b.tif", "batch2/more/c.tif"]
    assert found == [tmp_path / "slides" / name for name in names]


def test_a_link_that_leads_back_ends(tmp_path: Path) -> None:
    touch(tmp_path, "slides/x/a.tif")
    (tmp_path / "slides" / "x" / "up").symlink_to("..")
    (tmp_path / "slides" / "loop").symlink_to("loop")
    assert files_below(tmp_path / "slides", (".tif",)) == [tmp_path / "slides" / "x" / "a.tif"]


def test_a_folder_is_searched_once_by_its_own_path(tmp_path: Path) -> None:
    touch(tmp_path, "z/a.tif")
    (tmp_path / "b").symlink_to("z")
    assert files_below(tmp_path, (".tif",)) == [tmp_path / "z" / "a.tif"]


def test_a_linked_file_keeps_the_name_of_the_link(tmp_path: Path) -> None:
    touch(tmp_path, "store/9f3.tif", "slides/b.tif")
    (tmp_path / "slides" / "a.tif").symlink_to("../store/9f3.tif")
    assert [path.name for path in find_slides(tmp_path / "slides")] == ["a.tif", "b.tif"]


@pytest.mark.parametrize("link", ["tumor_002.tif", "batch2"])
def test_a_link_to_nothing_is_named(tmp_path: Path, link: str, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "a.tif")
    (tmp_path / link).symlink_to("unmounted")
    assert find_slides(tmp_path) == [tmp_path / "a.tif"]
    (record,) = caplog.records
    assert record.getMessage() == f"{tmp_path / link}: a link to unmounted, which is missing; it is passed over"


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "a.tif", "closed/b.tif")
    listdir = os.listdir

    def refuse(folder: Path) -> list[str]:  # root may read what chmod forbids
        if folder.name == "closed":
            raise PermissionError(13, "Permission denied")
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", refuse)
    assert find_slides(tmp_path) == [tmp_path / "a.tif"]
    assert "closed: the folder cannot be read (Permission denied)" in caplog.text
