"""How sharp a slide is, place by place: out of focus is what blurring once more hardly changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import skimage

from .places import choose_places

SHARPNESS_UM = 0.486
"""µm per pixel at which blur is measured: half of CAMELYON's finest resolution, where noise of compression is less."""

COARSEST_UM = 0.6
"""µm per pixel; on coarser slides nobody can say from the pixels whether they are in focus."""

PLACE_SIDE = 128
"""Side of a place that is looked at, in pixels of `SHARPNESS_UM`."""

NUM_PLACES = 24
"""No more places are looked at on a slide."""

_BLURRED = 0.45
"""From this blur on a place is out of focus whatever the slide: a Gaussian of 1 µm or more. Sharp tissue has 0.24 to
0.36."""

_BLURRED_BESIDE, _WORSE = 0.4, 0.1
"""From this blur on it is if it is also by so much worse than the slide's median."""

_LEAST_CONTRAST = 6.0
"""Standard deviation of the grays, of 255, below which a place shows nothing that could be sharp."""


def measure_blur(picture: npt.NDArray[np.uint8]) -> float | None:
    """Blur of a place, from 0, sharp, to 1 (Crete et al. 2007, as scikit-image computes it).

    Args:
        picture: (rows, cols, 3) uint8 RGB at `SHARPNESS_UM`.

    Returns:
        The blur; None where the place shows nothing.
    """
    gray = picture.mean(axis=-1, dtype=np.float32)
    return None if gray.std() < _LEAST_CONTRAST else float(skimage.measure.blur_effect(gray / 255))


class Sharpness(NamedTuple):
    """How sharp a slide is.

    Attributes:
        num_places: places that were measured.
        num_blurred: those that are out of focus.
        median_blur: of the places, or None without any.
        mask: (rows, cols) bool, tissue of squares that are out of focus.
    """

    num_places: int
    num_blurred: int
    median_blur: float | None
    mask: npt.NDArray[np.bool_]


def find_blur(tissue: npt.NDArray[np.bool_], read: Callable[[tuple[int, int]], npt.NDArray[np.uint8]]) -> Sharpness:
    """Find tissue that is out of focus.

    Args:
        tissue: (rows, cols) bool.
        read: gives the `PLACE_SIDE` x `PLACE_SIDE` pixels at `SHARPNESS_UM` around a (row, col) of the mask.

    Returns:
        The places' sharpness.
    """
    measured = [(place, measure_blur(read(place.center))) for place in choose_places(tissue, NUM_PLACES)]
    known = [(place, blur) for place, blur in measured if blur is not None]
    mask = np.zeros(tissue.shape, dtype=np.bool_)
    if not known:
        return Sharpness(0, 0, None, mask)
    median = float(np.median([blur for _, blur in known]))
    limit = min(_BLURRED, max(_BLURRED_BESIDE, median + _WORSE))
    blurred = [place for place, blur in known if blur >= limit]
    for place in blurred:
        mask[place.rows, place.cols] = tissue[place.rows, place.cols]
    return Sharpness(len(known), len(blurred), round(median, 4), mask)
