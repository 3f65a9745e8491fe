"""DICOM slides: one slide is a series of several files, a level each, besides its label and its overview.

A series that has a folder of its own is named by the folder: its path is the folder's. Another one is named by the file
of its finest level.
"""

from __future__ import annotations

import logging
import struct
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError, counted
from .names import SLIDE_SUFFIXES

logger = logging.getLogger(__name__)

_SUFFIX = ".dcm"
_SLIDE_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""SOP class VL Whole Slide Microscopy Image Storage (DICOM PS3.6)."""

_NO_LEVELS = ("LABEL", "OVERVIEW", "THUMBNAIL")
"""Third values of Image Type of what a series holds besides its levels (DICOM PS3.3 C.8.12.4.1.1)."""

_TAGS = (0x00080008, 0x00080016, 0x0020000E, 0x00480006, 0x00480007)
"""Image Type, SOP Class UID, Series Instance UID, Total Pixel Matrix Columns and Rows; all before the pixels."""

_DAMAGE = (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError, struct.error)


class _Instance(NamedTuple):
    """What a file says of itself; ``num_pixels`` is that of its level, 0 for a label or an overview."""

    is_slide: bool
    series: str
    num_pixels: int


def one_path_for_each(paths: list[Path]) -> list[Path]:
    """Replace the files of DICOM slides by one path for each slide, and leave out those that show no slide.

    Args:
        paths: files of slides of any kind.

    Returns:
        In the order in which each slide comes first; other files as they are.
    """
    found: dict[Path, None] = {}
    for path in paths:
        slide = path if path.suffix.lower() != _SUFFIX else _slides_of(path.parent).get(path.name)
        if slide is not None:
            found[slide] = None
    return list(found)


def path_of(file: Path) -> Path:
    """The path of the slide that one of its files was given for; the file itself where it shows no slide."""
    return next(iter(one_path_for_each([file])), file)


def finest_file(path: Path) -> Path:
    """The file of a slide's finest level, by which a library opens it.

    Args:
        path: see `one_path_for_each`; a file is its own.

    Raises:
        InputError: if it is a folder, and not one that holds a single DICOM slide.
    """
    if not path.is_dir():
        return path
    files = files_of(path)
    if not files:
        raise InputError(f"{path}: no such slide; expected a file, or a folder that holds the files of one DICOM slide")
    return max(files, key=lambda file: _pixels_of(_read(file)))


def files_of(path: Path) -> list[Path]:
    """All files of a slide: of a DICOM slide in a folder of its own those of its series, else the one file."""
    if not path.is_dir():
        return [path]
    return [path / name for name, slide in _slides_of(path).items() if slide.is_dir()]


def _slides_of(folder: Path) -> dict[str, Path]:
    return _slides_in(folder, folder.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _slides_in(folder: Path, _modified_ns: int) -> dict[str, Path]:
    """The slide's path for each name of a DICOM file in a folder; files that show no slide are missing."""
    files = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    instances = {path: _read(path) for path in files if path.suffix.lower() == _SUFFIX}
    others = [path for path, instance in instances.items() if instance is not None and not instance.is_slide]
    slides = [path for path in files if path.suffix.lower() in SLIDE_SUFFIXES and path not in others]
    found = {path.name: path for path, instance in instances.items() if instance is None}  # opening it will say why
    by_series: dict[str, list[Path]] = {}
    for path, instance in instances.items():
        if instance is not None and instance.is_slide:
            by_series.setdefault(instance.series, []).append(path)
    for series in by_series.values():
        finest = max(series, key=lambda path: _pixels_of(instances[path]))
        if _pixels_of(instances[finest]):
            named = folder if folder.name not in ("", "..") else folder.resolve()
            found |= dict.fromkeys((path.name for path in series), named if len(series) == len(slides) > 1 else finest)
    if others:
        logger.warning(
            "%s: %s no whole-slide image and passed over, first %s",
            *(folder, counted(len(others), "DICOM file is", "DICOM files are"), others[0].name),
        )
    return found


def _pixels_of(instance: _Instance | None) -> int:
    return 0 if instance is None else instance.num_pixels


def _read(path: Path) -> _Instance | None:
    """Read the tags; None where the file is damaged, cut off before them, or no DICOM."""
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_partial

    try:
        with open(path, "rb") as file:
            content = read_partial(file, stop_when=lambda tag, *_: tag > max(_TAGS), specific_tags=list(_TAGS))
        if "SOPClassUID" not in content:
            return None
        kind = [str(value) for value in content.get("ImageType") or ()]
        num_pixels = int(content.get("TotalPixelMatrixColumns") or 1) * int(content.get("TotalPixelMatrixRows") or 1)
        is_slide = content.SOPClassUID == _SLIDE_CLASS
        return _Instance(
            is_slide,
            str(content.get("SeriesInstanceUID")),
            0 if any(part in _NO_LEVELS for part in kind[2:3]) else num_pixels,
        )
    except (InvalidDicomError, *_DAMAGE):
        return None
