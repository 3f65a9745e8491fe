"""Whether a slide is what the model was trained on: stained tissue in RGB of 8 bits.

A slide in gray has no saturation, so nothing on it would be tissue, and it would count as normal.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy
import tifffile

from ..errors import InputError
from ..folders.dicom import finest_file

_GRAY = (tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.MINISBLACK)
_MAX_SPREAD = 2  # JPEG rounds; a stained slide has pixels whose channels differ by tens
_LEAST_DIFFERENCE, _LEAST_SHARE = 25, 0.002  # from the brightest pixels, and of how many, to be more than noise
_DARKEST = 40  # a black border is no tissue either


class StoredColor(NamedTuple):
    """How a TIFF stores its largest page.

    Attributes:
        samples: values of a pixel.
        bits: of a value.
        photometric: what they mean, as TIFF 6.0 names it.
    """

    samples: int
    bits: int
    photometric: tifffile.PHOTOMETRIC

    @property
    def is_rgb(self) -> bool:
        """Whether it holds colors of 8 bits each; a palette of colors does, by one value a pixel."""
        return self.bits == 8 and not (self.samples < 3 and self.photometric in _GRAY)


def stored_color(path: Path) -> StoredColor | None:
    """How a TIFF stores its pixels, by its tags (TIFF 6.0: SamplesPerPixel, BitsPerSample, PhotometricInterpretation).

    Args:
        path: a slide of any format.

    Returns:
        That of the largest page, or None for files that are no TIFF.
    """
    try:
        with tifffile.TiffFile(finest_file(path)) as tiff:
            pages = [page for page in tiff.pages if isinstance(page, tifffile.TiffPage)]
            page = max(pages, key=lambda page: page.imagelength * page.imagewidth)
            return StoredColor(page.samplesperpixel, page.bitspersample, tifffile.PHOTOMETRIC(page.photometric))
    except tifffile.TiffFileError:
        return None


def check_stored_color(path: Path) -> None:
    """Refuse a TIFF that stores gray, or other than 8 bits.

    Raises:
        InputError: if it does.
    """
    stored = stored_color(path)
    if stored is not None and not stored.is_rgb:
        channels = "1 channel" if stored.samples == 1 else f"{stored.samples} channels"
        raise InputError(
            f"{path}: expected RGB of 8 bits, found {channels} of {stored.bits} bits "
            f"({stored.photometric.name.lower()}); write the slide again as one RGB image of 8 bits"
        )


def check_color(path: Path, overview: npt.NDArray[np.uint8]) -> None:
    """Refuse a slide that is stored in gray or shows gray alone: stained tissue has color.

    Args:
        path: the slide.
        overview: (rows, cols, 3) uint8 RGB of the whole slide.

    Raises:
        InputError: see `check_stored_color`; if red, green and blue are the same in each pixel, and the brightness is
            not the same everywhere.
    """
    check_stored_color(path)
    if np.ptp(overview, axis=2).max() > _MAX_SPREAD:
        return
    brightness = overview[..., 1].astype(np.int16)
    bright = np.percentile(brightness, 99) - _LEAST_DIFFERENCE
    is_shown = (brightness < bright) & (brightness > _DARKEST)
    # Where black meets glass pixels are gray, which counts on a small slide.
    darkest, brightest = scipy.ndimage.minimum_filter(brightness, 5), scipy.ndimage.maximum_filter(brightness, 5)
    is_shown &= ~((darkest <= _DARKEST) & (brightest >= bright))
    if is_shown.mean() > _LEAST_SHARE:
        raise InputError(
            f"{path}: expected a stained slide in RGB, found gray pixels alone; write the slide again with its colors"
        )
