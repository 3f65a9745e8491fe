"""The source of a DICOM map: that of its slide where the slide is DICOM, else made up and the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from scripts.errors import InputError
from scripts.exports.dicom_maps import source_image, write_parametric_map
from scripts.maps.files import MapInfo

SHAPE, STRIDE = (701, 1153), 37
SPACING = (0.0005, 0.0004)  # mm between rows and between columns: not square
INFO = MapInfo(Path("a.npy"), "a.dcm", SHAPE, STRIDE, 0.45)


def _series(folder):
    """A level 0 and a level 1, as a scanner writes them, without pixels; the upright orientation is (+x, +y)."""
    uids = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    for name, downsample in (("a.dcm", 1), ("level_1.dcm", 4)):
        level = source_image(INFO._replace(slide="other.tif"), None)
        for keyword, uid in uids.items():
            setattr(level, keyword, uid)
        level.SOPInstanceUID = generate_uid()
        level.PatientID, level.PatientName = "4711", "Müller^Änne"
        level.TotalPixelMatrixRows, level.TotalPixelMatrixColumns = (-(-side // downsample) for side in SHAPE)
        level.ImageOrientationSlide = [1, 0, 0, 0, 1, 0]
        level.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem = 20.0
        level.TotalPixelMatrixOriginSequence[0].YOffsetInSlideCoordinateSystem = 30.0
        measures = level.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        measures.PixelSpacing = [value * downsample for value in SPACING]
        level.file_meta = FileMetaDataset()
        level.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        level.file_meta.MediaStorageSOPClassUID = level.SOPClassUID
        level.file_meta.MediaStorageSOPInstanceUID = level.SOPInstanceUID
        level.save_as(folder / name, enforce_file_format=True)
    return folder


@pytest.mark.parametrize("given", ["a.dcm", "level_1.dcm"])
def test_a_map_lies_on_its_dicom_slide(tmp_path, given):
    slide = _series(tmp_path)
    prob_map = np.random.default_rng(0).random((19, 32)).astype(np.float32)
    info = INFO._replace(path=tmp_path / "a.npy")
    info.path.touch()
    write_parametric_map(tmp_path / "map.dcm", prob_map, info, slide / given)
    found, level0 = pydicom.dcmread(tmp_path / "map.dcm"), pydicom.dcmread(tmp_path / "a.dcm")
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID", "ImageOrientationSlide"):
        assert found[keyword].value == level0[keyword].value, keyword
    assert found.SeriesInstanceUID != level0.SeriesInstanceUID
    assert found.SourceImageSequence[0].ReferencedSOPInstanceUID == level0.SOPInstanceUID
    spacing = found.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    assert spacing == pytest.approx([value * STRIDE for value in SPACING])
    origin = found.TotalPixelMatrixOriginSequence[0]
    x, y = origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem
    assert (x, y) == pytest.approx((20 + 18 * SPACING[1], 30 + 18 * SPACING[0]), abs=1e-6)


def test_a_made_up_source_is_the_same_each_time_and_another_for_another_slide():
    one, again = (source_image(INFO._replace(slide="ä.tif"), None) for _ in range(2))
    other = source_image(INFO._replace(slide="b.tif"), None)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        assert one[keyword].value == again[keyword].value != other[keyword].value
    assert not one.PatientID
    assert (one.TotalPixelMatrixRows, one.TotalPixelMatrixColumns) == SHAPE


def test_a_dicom_slide_must_be_given():
    with pytest.raises(InputError, match=r"a\.npy: its slide a\.dcm is DICOM.*--slides"):
        source_image(INFO, None)


def test_a_slide_of_another_shape_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.dcm: expected level 0 of 700 x 1153"):
        source_image(INFO._replace(slide_shape=(700, 1153)), _series(tmp_path) / "a.dcm")


def test_what_a_slide_lacks(tmp_path, caplog):
    path = _series(tmp_path) / "a.dcm"
    content = pydicom.dcmread(path)
    del content.TotalPixelMatrixOriginSequence, content.PatientID
    content.save_as(path)
    source = source_image(INFO, path)
    assert not source.PatientID
    assert source.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem == 0
    assert "its first pixel is taken to lie at 0, 0 mm" in caplog.text
    del content.FrameOfReferenceUID
    content.save_as(path)
    with pytest.raises(InputError, match=r"a\.dcm: expected FrameOfReferenceUID"):
        source_image(INFO, path)


@pytest.mark.filterwarnings("ignore:The value length")  # the file's UIDs are too long
def test_a_real_slide(shared_data, tmp_path):
    import highdicom

    slide = shared_data / "slides" / "multiframe_camelyon_challenge_image.dcm"
    info = MapInfo(tmp_path / f"{slide.stem}.npy", slide.name, (700, 1152), 3, 28.97)
    prob_map = np.random.default_rng(0).random((234, 384)).astype(np.float32)
    info.path.touch()
    write_parametric_map(tmp_path / "map.dcm", prob_map, info, slide)
    found = highdicom.imread(tmp_path / "map.dcm")
    np.testing.assert_array_equal(found.get_total_pixel_matrix(apply_real_world_transform=True), prob_map)
    assert found.FrameOfReferenceUID == pydicom.dcmread(slide, stop_before_pixels=True).FrameOfReferenceUID
