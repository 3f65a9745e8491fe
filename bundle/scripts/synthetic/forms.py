"""The forms in which slides are met, each written from one image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..slides.pyramid import write_pyramid
from .aperio import write_aperio
from .philips import tissue_tiles, write_philips

FORMS = ("philips", "aperio", "generic")
"""Philips TIFF, as CAMELYON16's slides are; Aperio SVS; pyramidal TIFF without a vendor."""


def write_slide(path: str | Path, image: npt.NDArray[np.uint8], mpp: float, form: str = "philips") -> None:
    """Write an image as a slide in JPEG of quality 90; the file appears when it is complete.

    Args:
        path: the file to write.
        image: (H, W, 3) uint8, RGB, level 0. A Philips TIFF fills it up with white to whole tiles of 512 pixels, and
            does not store tiles of clear glass.
        mpp: µm per level-0 pixel; all three state it.
        form: one of `FORMS`.

    Raises:
        ValueError: if an argument is not as described.
        InputError: if the file cannot be written.
    """
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, but got {form!r}")
    if form == "philips":
        write_philips(path, image, mpp, stored=tissue_tiles(image))
    elif form == "aperio":
        write_aperio(path, image, mpp)
    else:
        write_pyramid(path, image, mpp)
