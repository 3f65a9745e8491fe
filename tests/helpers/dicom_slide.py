"""DICOM slides of several files, a level each, as scanners write them (DICOM PS3.3 A.32.8), uncompressed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, VLWholeSlideMicroscopyImageStorage, generate_uid

TILE = 64


def write_dicom_slide(
    folder: Path,
    levels: Sequence[npt.NDArray[np.uint8]],
    mpp: float = 0.243,
    names: Sequence[str] = (),
    label: str = "",
) -> list[Path]:
    """Write a series: a file for each level, named ``level_0.dcm`` and so on, and one of a label if it has a name."""
    folder.mkdir(parents=True, exist_ok=True)
    series, frame = generate_uid(), generate_uid()
    names = list(names) or [f"level_{index}" for index in range(len(levels))]
    paths = []
    for index, (level, name) in enumerate(zip(levels, names, strict=True)):
        kind = (
            ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"] if index == 0 else ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
        )
        level_mpp = mpp * levels[0].shape[0] / level.shape[0]
        paths.append(folder / f"{name}.dcm")
        _instance(level, level_mpp, kind, series, frame).save_as(paths[-1], enforce_file_format=True)
    if label:
        picture = np.full((2000, 3000, 3), 90, dtype=np.uint8)  # larger than the slide, but no level of it
        kind = ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]
        paths.append(folder / f"{label}.dcm")
        _instance(picture, 10.0, kind, series, frame).save_as(paths[-1], enforce_file_format=True)
    return paths


def _instance(image: npt.NDArray[np.uint8], mpp: float, kind: list[str], series: str, frame: str) -> Dataset:
    height, width = image.shape[:2]
    rows, cols = -(-height // TILE), -(-width // TILE)
    padded = np.full((rows * TILE, cols * TILE, 3), 255, dtype=np.uint8)
    padded[:height, :width] = image
    frames = padded.reshape(rows, TILE, cols, TILE, 3).swapaxes(1, 2)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    measures, groups, path = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [mpp / 1000, mpp / 1000], 0.001
    groups.PixelMeasuresSequence = [measures]
    path.OpticalPathIdentifier = "1"
    found = Dataset()
    found.file_meta = meta
    found.SOPClassUID, found.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    found.ImageType, found.Modality = kind, "SM"
    found.StudyInstanceUID, found.SeriesInstanceUID, found.FrameOfReferenceUID = frame, series, frame
    found.PatientID = found.PatientName = ""
    found.Rows = found.Columns = TILE
    found.TotalPixelMatrixRows, found.TotalPixelMatrixColumns = height, width
    found.TotalPixelMatrixFocalPlanes = found.NumberOfOpticalPaths = 1
    found.NumberOfFrames = rows * cols
    found.SamplesPerPixel, found.PhotometricInterpretation, found.PlanarConfiguration = 3, "RGB", 0
    found.BitsAllocated, found.BitsStored, found.HighBit, found.PixelRepresentation = 8, 8, 7, 0
    found.DimensionOrganizationType = "TILED_FULL"
    found.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    found.SharedFunctionalGroupsSequence, found.OpticalPathSequence = [groups], [path]
    found.PixelData = np.ascontiguousarray(frames).tobytes()
    found["PixelData"].VR = "OB"
    return found
