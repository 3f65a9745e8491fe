"""Write a probability map as a DICOM Parametric Map that lies on its slide.

Where its patient, study and frame of reference come from: docs/decisions/0003-dicom-source.md.
"""

from __future__ import annotations

import hashlib
import logging
import math
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..files import atomic_path
from ..folders.dicom import finest_file
from ..geometry import map_shape
from ..maps.files import MapInfo

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

logger = logging.getLogger(__name__)

TILE = 256
"""Side of a frame in pixels."""

_ORIENTATION = (0.0, -1.0, 0.0, -1.0, 0.0, 0.0)  # of a made-up source: columns along -y, rows along -x, as scanners do
_TYPE_2 = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"),
    *("StudyDate", "StudyTime"),
)
"""Attributes that DICOM lets be empty, but not absent."""

_NEEDED = ("StudyInstanceUID", "FrameOfReferenceUID", "ImageOrientationSlide", "SharedFunctionalGroupsSequence")


def write_parametric_map(
    path: str | Path, prob_map: npt.NDArray[np.floating[Any]], info: MapInfo, slide: Path | None
) -> None:
    """Write a map as a tiled Parametric Map in float32, without compression.

    The same map gives the same file: its UIDs are made of what it holds, its dates are that of the map's file, in UTC.

    Args:
        path: the file to write.
        prob_map: (rows, cols) floating.
        info: its sidecar.
        slide: the slide; None where only its sidecar is known.

    Raises:
        InputError: if a DICOM slide is needed and not given, is damaged or another one than the map's.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid
    from pydicom.valuerep import DT

    source = source_image(info, slide)
    row_mm, col_mm = source.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    orientation = np.array(source.ImageOrientationSlide, dtype=np.float64)
    origin = source.TotalPixelMatrixOriginSequence[0]
    corner = np.array([origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem, 0], np.float64)
    # A position is that of a pixel's center, and the first map pixel's lies at (stride - 1) / 2 level-0 pixels.
    inside = (info.stride - 1) / 2
    position = corner + inside * (orientation[:3] * col_mm + orientation[3:] * row_mm)
    made = datetime.fromtimestamp(info.path.stat().st_mtime, timezone.utc).replace(microsecond=0)
    sources = [*map(str, (*info[1:], source.SOPInstanceUID, made, _version())), _digest(prob_map)]
    slide_frame = hd.CoordinateSystemNames.SLIDE
    parametric_map = hd.pm.ParametricMap(
        [source],
        prob_map.astype(np.float32),
        series_instance_uid=hd.UID(generate_uid(entropy_srcs=[*sources, "series"])),
        series_number=1,
        sop_instance_uid=hd.UID(generate_uid(entropy_srcs=[*sources, "instance"])),
        instance_number=1,
        manufacturer="pathology-tumor-detection",
        manufacturer_model_name="pathology_tumor_detection",
        software_versions=_version(),
        device_serial_number="none",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            hd.pm.RealWorldValueMapping(
                lut_label="PROBABILITY",
                lut_explanation="Probability of metastasis",
                unit=codes.UCUM.NoUnits,
                value_range=(0.0, 1.0),
                slope=1.0,
                intercept=0.0,
            )
        ],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=0.5, window_width=1.0)],
        content_label="PROBABILITY_MAP",
        content_description="Probability of metastasis",
        pixel_measures=hd.PixelMeasuresSequence([row_mm * info.stride, col_mm * info.stride], slice_thickness=0.001),
        plane_orientation=hd.PlaneOrientationSequence(slide_frame, orientation.tolist()),
        plane_positions=[hd.PlanePositionSequence(slide_frame, position.tolist(), (1, 1))],
        dimension_organization_type="TILED_FULL",
        tile_pixel_array=True,
        tile_size=(TILE, TILE),
        content_date=made.date(),
        content_time=made.time(),
    )
    del parametric_map.InstanceCreationDate, parametric_map.InstanceCreationTime  # of this moment
    for equipment in parametric_map.ContributingEquipmentSequence:
        equipment.ContributionDateTime = DT(made)
    dimensions = generate_uid(entropy_srcs=[*sources, "dimensions"])  # highdicom draws one
    for item in (*parametric_map.DimensionOrganizationSequence, *parametric_map.get("DimensionIndexSequence", ())):
        item.DimensionOrganizationUID = dimensions
    with atomic_path(path) as temporary:
        parametric_map.save_as(temporary)


def source_image(info: MapInfo, slide: Path | None) -> Dataset:
    """The attributes of the slide's level 0 that a derived image repeats or refers to.

    Args:
        info: the map's sidecar.
        slide: the slide's path, or None.

    Returns:
        Those of the DICOM slide, without pixels; for a slide of another form made up, with UIDs that are always the
        same for the same slide name.

    Raises:
        InputError: as `write_parametric_map`.
    """
    from pydicom.misc import is_dicom

    file = None if slide is None else finest_file(slide)
    if file is not None and is_dicom(file):
        return _level0_of(file, info)
    if Path(info.slide).suffix.lower() == ".dcm":
        raise InputError(
            f"{info.path}: its slide {info.slide} is DICOM, whose patient and study belong into the export; "
            "give its folder with --slides"
        )
    return _made_up(info)


def _level0_of(slide: Path, info: MapInfo) -> Dataset:
    """The instance of the slide's series that has the map's shape."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError
    from pydicom.misc import is_dicom

    wanted = dcmread(slide, specific_tags=["SeriesInstanceUID"]).get("SeriesInstanceUID")
    others = sorted(path for path in slide.parent.iterdir() if path != slide and path.is_file() and is_dicom(path))
    for path in (slide, *others):
        try:
            found = dcmread(path, stop_before_pixels=True)
        except (InvalidDicomError, OSError) as error:
            raise InputError(f"{path}: not a readable DICOM file ({error}); copy it again") from error
        shape = (found.get("TotalPixelMatrixRows"), found.get("TotalPixelMatrixColumns"))
        if found.get("SeriesInstanceUID") == wanted and shape == info.slide_shape:
            return _completed(found, path)
    raise InputError(
        f"{slide}: expected level 0 of {info.slide_shape[0]} x {info.slide_shape[1]} (height x width), as in the map's "
        "sidecar, found none in its series; give the slide that the map was made of"
    )


def _completed(source: Dataset, path: Path) -> Dataset:
    """Fill in what anonymizing leaves out; what says where the pixels lie must be there but for the origin."""
    missing = [name for name in _NEEDED if name not in source]
    if missing:
        raise InputError(f"{path}: expected {missing[0]}, which a DICOM slide must have, found none; convert it again")
    for name in _TYPE_2:
        if name not in source:
            setattr(source, name, None)
    if "TotalPixelMatrixOriginSequence" not in source:
        logger.warning("%s: no TotalPixelMatrixOriginSequence; its first pixel is taken to lie at 0, 0 mm", path)
        source.TotalPixelMatrixOriginSequence = [_origin()]
    return source


def _made_up(info: MapInfo) -> Dataset:
    """A VL Whole Slide Microscopy Image of the slide's size that exists nowhere, its patient and study unknown."""
    from pydicom.dataset import Dataset
    from pydicom.uid import VLWholeSlideMicroscopyImageStorage, generate_uid

    source = Dataset()
    source.SpecificCharacterSet = "ISO_IR 192"  # UTF-8
    source.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        setattr(source, name, generate_uid(entropy_srcs=["pathology-tumor-detection", info.slide, name]))
    for name in _TYPE_2:
        setattr(source, name, None)
    source.Modality = "SM"
    source.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    source.PositionReferenceIndicator = "SLIDE_CORNER"
    source.ContainerIdentifier = info.name[:64].replace("\\", "_")  # a backslash separates values
    source.Rows, source.Columns = TILE, TILE
    source.TotalPixelMatrixRows, source.TotalPixelMatrixColumns = info.slide_shape
    source.NumberOfFrames = math.prod(map_shape(info.slide_shape, TILE))
    source.DimensionOrganizationType = "TILED_FULL"
    source.ImageOrientationSlide = list(_ORIENTATION)
    source.TotalPixelMatrixOriginSequence = [_origin()]
    measures = Dataset()
    measures.PixelSpacing = [info.mpp / 1000] * 2
    measures.SliceThickness = 0.001
    groups = Dataset()
    groups.PixelMeasuresSequence = [measures]
    source.SharedFunctionalGroupsSequence = [groups]
    return source


def _origin() -> Dataset:
    from pydicom.dataset import Dataset

    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem = origin.YOffsetInSlideCoordinateSystem = 0.0
    return origin


def _digest(prob_map: npt.NDArray[np.floating[Any]]) -> str:
    return hashlib.sha256(np.ascontiguousarray(prob_map, dtype=np.float32).tobytes()).hexdigest()


def _version() -> str:
    try:
        return version("pathology-tumor-detection")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
