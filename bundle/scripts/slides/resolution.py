"""The resolution that a slide's file states, and whether a scanner can have made it."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import openslide
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ..errors import InputError
from .warnings import warn_once

FINEST_MPP_UM = 0.1
"""Scanners of tissue go down to 0.11 µm per pixel, with an objective of 80x."""

COARSEST_MPP_UM = 2.2
"""Scanners go up to 2 µm per pixel, with an objective of 5x."""

_UM_OF_UNIT = {"nm": 1e-3, "\u00b5m": 1.0, "\u03bcm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6, "in": 25_400.0}
"""Units of length of OME-XML (schema 2016-06); µ is written with two characters."""


def stated_mpp(path: Path, handle: openslide.OpenSlide) -> float | None:
    """The resolution that a file states, in µm per level-0 pixel.

    An OME-TIFF says it by PhysicalSizeX and PhysicalSizeY, which OpenSlide does not read.

    Values that no scanner has come from elsewhere: 72 to 2400 dots per inch of a printer are 353 to 10.6 µm, and a
    program that mixes up its units is off by 10 or 2.54. DICOM alone is believed any positive value: its Pixel Spacing
    (0028,0030) is measured on the slide, also in copies of low resolution.

    Returns:
        None where the file says nothing, or, with a warning, a value outside of `FINEST_MPP_UM` to `COARSEST_MPP_UM`.

    Raises:
        InputError: if its pixels are not square.
    """
    stated = _ome_mpp(handle) or _openslide_mpp(handle)
    if stated is None:
        return None
    mpp_y, mpp_x = stated
    is_dicom = handle.properties.get(openslide.PROPERTY_NAME_VENDOR) == "dicom" and mpp_y > 0 and mpp_x > 0
    if not is_dicom and not all(FINEST_MPP_UM <= mpp <= COARSEST_MPP_UM for mpp in (mpp_y, mpp_x)):
        warn_once(
            f"{path}: states {mpp_x:.4g} x {mpp_y:.4g} µm per level-0 pixel, but scanners have {FINEST_MPP_UM} to "
            f"{COARSEST_MPP_UM} µm; it counts as not stated, give the true value with --assume_mpp"
        )
        return None
    if abs(mpp_y / mpp_x - 1) > 0.05:
        raise InputError(
            f"{path}: pixels must be square, but the file states {mpp_x} x {mpp_y} µm; resample it, "
            "or give the resolution with --assume_mpp"
        )
    return (mpp_y + mpp_x) / 2


def _openslide_mpp(handle: openslide.OpenSlide) -> tuple[float, float] | None:
    """(y, x) in µm, as OpenSlide reads it from the tags of the format."""
    try:
        return float(handle.properties["openslide.mpp-y"]), float(handle.properties["openslide.mpp-x"])
    except (KeyError, ValueError):
        return None


def _ome_mpp(handle: openslide.OpenSlide) -> tuple[float, float] | None:
    """(y, x) in µm that an OME-TIFF's description states for the picture of level 0's shape, or else for the first."""
    description = handle.properties.get("tiff.ImageDescription", "")
    if "<OME" not in description[:1000]:
        return None
    try:
        pictures = fromstring(description.encode()).findall("./{*}Image/{*}Pixels")
    except (ParseError, DefusedXmlException, ValueError):
        return None
    shape_xy = tuple(str(side) for side in handle.dimensions)
    pictures.sort(key=lambda pixels: (pixels.get("SizeX"), pixels.get("SizeY")) != shape_xy)
    sizes = [_um(pixels, f"PhysicalSize{axis}") for pixels in pictures[:1] for axis in "YX"]
    return (sizes[0], sizes[1]) if len(sizes) == 2 and sizes[0] and sizes[1] else None


def _um(pixels: Element, name: str) -> float:
    """A length in µm, the unit where none is stated; 0 where it is missing, or in pixels."""
    try:
        return float(pixels.get(name, "0")) * _UM_OF_UNIT.get(pixels.get(f"{name}Unit", "\u00b5m"), 0.0)
    except ValueError:
        return 0.0
