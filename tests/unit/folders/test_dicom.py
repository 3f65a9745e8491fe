from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest

from helpers.dicom_slide import write_dicom_slide
from helpers.touched import touch
from scripts.errors import InputError
from scripts.folders.dicom import files_of, finest_file
from scripts.folders.index import NameIndex
from scripts.folders.names import slide_file_name, slide_name
from scripts.folders.search import find_slides
from scripts.slides.slide import open_slide


def levels() -> list[npt.NDArray[np.uint8]]:
    blocks = np.random.default_rng(2).integers(0, 255, (19, 13, 3), dtype=np.uint8)
    image = blocks.repeat(16, axis=0).repeat(16, axis=1)[:301, :203]
    return [image, image[::2, ::2], image[::4, ::4]]


def test_a_series_in_a_folder_of_its_own_is_one_slide_named_by_the_folder(tmp_path: Path) -> None:
    for name in ("tumor_001", "2024.01.15.b"):
        write_dicom_slide(tmp_path / name, levels(), label="label")
    found = find_slides(tmp_path)
    assert found == [tmp_path / "2024.01.15.b", tmp_path / "tumor_001"]
    assert [slide_name(path) for path in found] == ["2024.01.15.b", "tumor_001"]
    assert [slide_file_name(path) for path in found] == ["2024.01.15.b.dcm", "tumor_001.dcm"]


def test_such_a_slide_opens_with_all_its_levels(tmp_path: Path) -> None:
    written = levels()
    write_dicom_slide(tmp_path / "tumor_001", written, names=["c", "a", "b"], label="label")
    assert finest_file(tmp_path / "tumor_001").name == "c.dcm"
    assert len(files_of(tmp_path / "tumor_001")) == 4
    with open_slide(tmp_path / "tumor_001") as slide:
        assert slide.level_shapes == tuple(level.shape[:2] for level in written)
        assert slide.mpp == pytest.approx(0.243)
        np.testing.assert_array_equal(slide.read_level((0, 0), (301, 203), 0), written[0])


@pytest.mark.parametrize("names", [["level_1.dcm"], ["label.dcm"], ["level_0.dcm", "level_2.dcm"]])
def test_a_slide_named_by_some_of_its_files(tmp_path: Path, names: list[str]) -> None:
    write_dicom_slide(tmp_path / "tumor_001", levels(), label="label")
    given = [tmp_path / "tumor_001" / name for name in names]
    assert find_slides([*given, tmp_path]) == find_slides(given) == [tmp_path / "tumor_001"]


def test_a_folder_that_is_given_as_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dicom_slide(tmp_path / "tumor_001" / "x" / "..", levels())
    monkeypatch.chdir(tmp_path / "tumor_001")
    for given in (".", "level_0.dcm", "../tumor_001", tmp_path / "tumor_001" / "x" / ".."):
        (path,) = find_slides(given)
        assert slide_name(path) == "tumor_001"
        open_slide(path).close()


def test_several_series_in_one_folder_are_named_by_their_finest_files(tmp_path: Path) -> None:
    write_dicom_slide(tmp_path, levels(), names=["a2", "a1", "a0"], label="a_label")
    write_dicom_slide(tmp_path, levels()[:1], names=["b"])
    touch(tmp_path, "c.tif")
    assert find_slides(tmp_path) == [tmp_path / name for name in ("a2.dcm", "b.dcm", "c.tif")]
    assert find_slides(tmp_path / "a0.dcm") == [tmp_path / "a2.dcm"]
    with open_slide(tmp_path / "a2.dcm") as slide:
        assert len(slide.level_shapes) == 3


def test_one_file_in_a_folder_is_named_by_the_file(tmp_path: Path) -> None:
    write_dicom_slide(tmp_path / "a", levels()[:1], names=["tumor_001"])
    assert find_slides(tmp_path) == [tmp_path / "a" / "tumor_001.dcm"]


def test_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("tumor_001", "tumor_002"):
        write_dicom_slide(tmp_path / name / "DICOM", levels())
    with pytest.raises(InputError, match="share the name 'DICOM'"):
        find_slides(tmp_path)


def test_a_label_alone_is_no_slide_and_another_object_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_dicom_slide(tmp_path / "tumor_001", levels())
    *_, label = write_dicom_slide(tmp_path / "labels", levels()[:1], label="label")
    (tmp_path / "labels" / "level_0.dcm").unlink()
    content = pydicom.dcmread(label)
    content.SOPClassUID = "1.2.840.10008.5.1.4.1.1.30"  # Parametric Map, as export writes it
    content.save_as(tmp_path / "tumor_001" / "map.dcm")
    assert find_slides(tmp_path) == [tmp_path / "tumor_001"]
    (record,) = caplog.records
    assert "1 DICOM file is no whole-slide image and passed over, first map.dcm" in record.getMessage()


@pytest.mark.parametrize("content", [b"", b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + b"\xff" * 300, b"tumor" * 99])
def test_a_damaged_file_is_a_slide_that_does_not_open(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.dcm").write_bytes(content)
    assert find_slides(tmp_path) == [tmp_path / "a.dcm"]
    with pytest.raises(InputError, match=r"a\.dcm"):
        open_slide(tmp_path / "a.dcm")


def test_a_folder_of_no_slide_does_not_open(tmp_path: Path) -> None:
    write_dicom_slide(tmp_path / "a", levels()[:1], names=["x"])
    write_dicom_slide(tmp_path / "a", levels()[:1], names=["y"])
    with pytest.raises(InputError, match="expected a file, or a folder that holds the files of one DICOM slide"):
        open_slide(tmp_path / "a")


def test_files_that_come_later_are_seen(tmp_path: Path) -> None:
    write_dicom_slide(tmp_path / "a", levels()[:1], names=["x"])
    os.utime(tmp_path / "a", ns=(0, 0))
    assert find_slides(tmp_path) == [tmp_path / "a" / "x.dcm"]
    write_dicom_slide(tmp_path / "a", levels()[:1], names=["y"])
    assert find_slides(tmp_path) == [tmp_path / "a" / "x.dcm", tmp_path / "a" / "y.dcm"]


def test_name_index_finds_a_dicom_slide_by_its_folder(tmp_path: Path) -> None:
    write_dicom_slide(tmp_path / "tumor_001", levels())
    index = NameIndex(tmp_path, (".tif", ".dcm"), "slide")
    assert len(index) == 1
    assert index["Tumor_001"] == tmp_path / "tumor_001"
