"""A whole slide at low resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import InputError
from ..geometry import finest_level_for, map_shape

if TYPE_CHECKING:
    from .slide import Slide

_Resampling = Image.Resampling
_BAND_PIXELS = 16_000_000
MAX_OVERVIEW_PIXELS = 1 << 30
"""No larger overview is made: 32,768 x 32,768, a slide of `slide.MAX_SIDE` at stride 64."""


def read_overview(slide: Slide, stride: int) -> npt.NDArray[np.uint8]:
    """See `slide.Slide.read_overview`.

    Any pyramid will do: the coarsest level that is fine enough is read in bands, so that memory stays flat.
    """
    rows, cols = map_shape(slide.shape, stride)
    if rows * cols > MAX_OVERVIEW_PIXELS:
        raise InputError(
            f"{slide.path}: its {slide.shape[0]} x {slide.shape[1]} pixels make an overview of {rows} x {cols} at "
            f"stride {stride}, more than {MAX_OVERVIEW_PIXELS:,}; give a larger stride, or mend the file"
        )
    level = finest_level_for(slide.downsamples, stride)
    scale = stride / slide.downsamples[level]
    # Pillow's box of 2.5 pixels takes two or three whole ones, which displaces them
    resampling, margin = (_Resampling.BOX, 0) if scale.is_integer() else (_Resampling.HAMMING, int(np.ceil(scale)))
    width = int(np.ceil(cols * scale))
    band_rows = max(1, int(_BAND_PIXELS / (width * scale)))
    overview = np.empty((rows, cols, 3), dtype=np.uint8)
    for start in range(0, rows, band_rows):
        stop = min(start + band_rows, rows)
        top = int(np.floor(start * scale)) - margin
        height = int(np.ceil(stop * scale)) + margin - top
        band = slide.read_level((top, 0), (height, width), level)
        box = (0.0, start * scale - top, cols * scale, stop * scale - top)
        reduced = Image.fromarray(band).resize((cols, stop - start), resampling, box=box)
        overview[start:stop] = np.asarray(reduced)
    return overview
