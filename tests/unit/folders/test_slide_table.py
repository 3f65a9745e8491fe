"""Tables of slides: what their columns mean, and that each bad cell is one line that names file and row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.dicom_slide import write_dicom_slide
from helpers.touched import touch
from scripts.errors import InputError
from scripts.folders.search import find_slides
from scripts.folders.slide_table import SlideTable, expand_tables, read_slide_table
from scripts.storage.remote import list_slides


def write(folder: Path, *lines: str, name: str = "list.csv") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_paths_count_from_the_folder_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, mask, annotation = touch(tmp_path, "lists/x/a.tif", "b.svs", "lists/m.png", "lists/a.xml")
    table = write(
        tmp_path / "lists",
        "path,mpp,label,mask,annotation,patient",
        "x/a.tif,0.25,Tumor,m.png,a.xml,P1",
        f"{b},,,,,",
    )
    monkeypatch.chdir("/")
    first, second = read_slide_table(table)
    assert (Path(first.path), first.mpp, first.label, first.patient) == (a, 0.25, "tumor", "P1")
    assert (first.mask, first.annotation) == (mask, annotation)
    assert second[1:] == (str(b), None, None, None, None, None)
    assert find_slides(table) == find_slides([table, a]) == [a, b]


def test_rows_are_found_by_name_and_tables_stand_beside_folders(tmp_path: Path) -> None:
    a, b = touch(tmp_path, "x/A.tif", "y/b.tif")
    table = write(tmp_path, "path,mpp", "x/A.tif,0.5")
    found = SlideTable([tmp_path / "y", table])
    assert find_slides([tmp_path / "y", table]) == [a, b]
    assert (found.mpp(a), found.mpp(a, 0.2), found.mpp(b), found.mpp(b, 0.2)) == (0.5, 0.5, None, 0.2)
    assert found.get("a") is not None
    assert found.get("b") is None
    assert not SlideTable(tmp_path).rows
    assert not SlideTable(None).rows


def test_addresses_keep_working(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif")
    table = write(tmp_path, "path,mpp", "a.tif,", "s3://bucket/folder/b.tif,0.25")
    assert list_slides(table) == [str(tmp_path / "a.tif"), "s3://bucket/folder/b.tif"]
    assert SlideTable(table).mpp("s3://bucket/folder/b.tif") == 0.25
    assert expand_tables(["s3://bucket/list.csv"]) == ["s3://bucket/list.csv"]
    with pytest.raises(InputError, match=r"s3://bucket/folder/b\.tif: only infer reads slides from an address"):
        find_slides(table)


def test_a_dicom_slide_is_listed_by_its_folder_or_one_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "slides" / "a"
    files = write_dicom_slide(folder, [np.zeros((70, 130, 3), np.uint8), np.zeros((35, 65, 3), np.uint8)])
    for cell in (folder, *files):
        table = write(tmp_path, "path", str(cell))
        assert find_slides(table) == [folder]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path,mp", "a.tif,1"], "line 1: unknown columns 'mp'; expected some of path, mpp, label"),
        (["path"], "holds no slide"),
        (["path", "a.tif", "none.tif"], "line 3: path: none.tif: no such slide; .*none.tif was looked for"),
        (["path", "a.tif", "x/A.tif"], "line 3: the slide 'A' is already in .*list.csv, line 2"),
        (["path", "x"], "line 2: path: x: is a folder, and not one of a single DICOM slide"),
        (["path,mpp", "a.tif,fine"], "line 2: mpp: expected a number of µm per level-0 pixel.*found 'fine'"),
        (["path,mpp", 'a.tif,"0,25"'], "line 2: mpp: expected a number"),
        (["path,mpp", "a.tif,nan"], "line 2: mpp must be a number of µm per pixel from"),
        (["path,mpp", "a.tif,250"], "line 2: mpp must be a number of µm per pixel from .*250.*leave the cell empty"),
        (["path,label", "a.tif,benign"], "line 2: label: expected normal or tumor, or nothing, found 'benign'"),
        (["path", "9" * 400], "line 2: path: 9+: no such slide; "),
        (["path,mask", f"a.tif,{'9' * 400}"], "line 2: mask: 9+: no such file; "),
        (["path,mask", "a.tif,m.png"], "line 2: mask: m.png: no such file; .*leave the cell empty"),
        (["path,annotation", "a.tif,x"], "line 2: annotation: x: no such file"),
        (["path,patient", "a.tif,=1+1"], "line 2: patient: .*spreadsheets take that for a formula"),
    ],
)
def test_a_bad_table_is_one_line(tmp_path: Path, lines: list[str], message: str) -> None:
    touch(tmp_path, "a.tif", "x/A.tif")
    table = write(tmp_path, *lines)
    with pytest.raises(InputError, match=message) as caught:
        find_slides(table)
    assert str(caught.value).startswith(str(table))
    assert "\n" not in str(caught.value)


def test_a_slide_in_two_tables(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif")
    one, two = write(tmp_path, "path", "a.tif"), write(tmp_path, "path,mpp", "a.tif,0.3", name="two.csv")
    with pytest.raises(InputError, match=r"two.csv, line 2: the slide 'a' is already in .*list.csv, line 2"):
        SlideTable([one, two])
