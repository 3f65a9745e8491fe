"""The resolution that a slide's file states, and whether a scanner can have made it."""

from __future__ import annotations

from pathlib import Path

import openslide

from ..errors import InputError
from .warnings import warn_once

FINEST_MPP_UM = 0.1
"""Scanners of tissue go down to 0.11 µm per pixel, with an objective of 80x."""

COARSEST_MPP_UM = 2.2
"""Scanners go up to 2 µm per pixel, with an objective of 5x."""


def stated_mpp(path: Path, handle: openslide.OpenSlide) -> float | None:
    """The resolution that a file states, in µm per level-0 pixel.

    Values that no scanner has come from elsewhere: 72 to 2400 dots per inch of a printer are 353 to 10.6 µm, and a
    program that mixes up its units is off by 10 or 2.54. DICOM alone is believed any positive value: its Pixel Spacing
    (0028,0030) is measured on the slide, also in copies of low resolution.

    Returns:
        None where the file says nothing, or, with a warning, a value outside of `FINEST_MPP_UM` to `COARSEST_MPP_UM`.

    Raises:
        InputError: if its pixels are not square.
    """
    try:
        mpp_y, mpp_x = (float(handle.properties[f"openslide.mpp-{axis}"]) for axis in "yx")
    except (KeyError, ValueError):
        return None
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
