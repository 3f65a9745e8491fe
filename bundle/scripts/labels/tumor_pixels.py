"""Tumor of a slide on a map: its pixels, and the lesions that are too small for any."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..annotations.annotations import Annotation
from ..annotations.polygons import Polygon, in_any
from ..errors import counted
from ..geometry import level0_to_map, map_shape, map_to_level0
from .regions import SlideTruth, is_tumor

logger = logging.getLogger(__name__)

_MAX_CANDIDATES = 1 << 16


def tumor_pixels(truth: SlideTruth, slide_shape: tuple[int, int], stride: int) -> npt.NDArray[np.bool_]:
    """Which map pixels stand for a level-0 pixel, that of `geometry.map_to_level0`, that is tumor.

    Args:
        truth: the slide's truth; if it has outlines, its mask is of this stride.
        slide_shape: (height, width) in level-0 pixels.
        stride: level-0 pixels per map pixel.

    Returns:
        (rows, cols) bool of `geometry.map_shape`.
    """
    if truth.annotation is None:
        return truth.mask[_looked_up(truth, slide_shape, stride)]
    found = truth.mask.copy()
    if stride % 2:
        # Masks are drawn at pixel centers, for odd strides half a level-0 pixel off; beside outlines that matters.
        beside = np.argwhere(ndimage.maximum_filter(found, 3) & ~ndimage.minimum_filter(found, 3))
        found[tuple(beside.T)] = is_tumor(truth, map_to_level0(beside, stride))
    return found


def missed_lesions(
    rng: np.random.Generator, truth: SlideTruth, tumor: npt.NDArray[np.bool_], slide_shape: tuple[int, int], stride: int
) -> npt.NDArray[np.int64]:
    """A random point in each outline, or in each component of a mask, in which no pixel of a map lies.

    Args:
        rng: random generator.
        truth: the slide's truth.
        tumor: (rows, cols) of `tumor_pixels`.
        slide_shape: (height, width) in level-0 pixels.
        stride: level-0 pixels per pixel of ``tumor``.

    Returns:
        (T, 2) int64, (row, col), level-0 frame, all tumor and inside the slide.
    """
    if truth.annotation is None:
        found = _in_components(rng, truth, slide_shape, stride)
    else:
        found = _in_outlines(rng, truth, truth.annotation, tumor, slide_shape, stride)
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _in_components(
    rng: np.random.Generator, truth: SlideTruth, slide_shape: tuple[int, int], stride: int
) -> list[npt.NDArray[np.int64]]:
    lesions, count = ndimage.label(truth.mask, structure=np.ones((3, 3)))
    is_missed = np.ones(count + 1, dtype=np.bool_)
    is_missed[lesions[_looked_up(truth, slide_shape, stride)]] = False
    points = []
    for label, box in enumerate(ndimage.find_objects(lesions), start=1):
        if is_missed[label]:
            pixels = np.argwhere(lesions[box] == label) + [side.start for side in box]
            point = map_to_level0(rng.choice(pixels), truth.stride)
            points.append(np.minimum(point, np.array(slide_shape) - 1))
    return points


def _in_outlines(
    rng: np.random.Generator,
    truth: SlideTruth,
    annotation: Annotation,
    tumor: npt.NDArray[np.bool_],
    slide_shape: tuple[int, int],
    stride: int,
) -> list[npt.NDArray[np.int64]]:
    points = []
    num_empty = 0
    for polygon in annotation.tumor:
        top_left, bottom_right = np.array(polygon.bounds()).reshape(2, 2)
        low = np.clip(np.floor(top_left), 0, slide_shape).astype(np.int64)
        high = np.clip(np.floor(bottom_right) + 1, 0, slide_shape).astype(np.int64)
        if (low >= high).any() or _is_on_map(polygon, tumor, low, high, stride):
            continue
        candidates = _whole_pixels(rng, low, high)
        candidates = candidates[in_any([polygon], candidates.astype(np.float64)) & is_tumor(truth, candidates)]
        if len(candidates):
            points.append(rng.choice(candidates))
        else:
            num_empty += 1
    if num_empty:
        held = counted(num_empty, "outline holds", "outlines hold")
        logger.warning("%s: %s no tumor that a pixel shows; not sampled", annotation.path, held)
    return points


def _is_on_map(
    polygon: Polygon,
    tumor: npt.NDArray[np.bool_],
    low: npt.NDArray[np.int64],
    high: npt.NDArray[np.int64],
    stride: int,
) -> bool:
    (top, left), (bottom, right) = level0_to_map(low, stride), level0_to_map(high, stride) + 1
    pixels = np.argwhere(tumor[top:bottom, left:right]) + np.array([top, left])
    # A few suffice where the outline is large; all are asked only where they do not.
    for some in (pixels[:: max(1, len(pixels) // 512)], pixels):
        if in_any([polygon], map_to_level0(some, stride).astype(np.float64)).any():
            return True
    return False


def _whole_pixels(
    rng: np.random.Generator, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """(N, 2) level-0 pixels of a box; at random where they would be too many."""
    height, width = high - low
    if height * width > _MAX_CANDIDATES:
        return rng.integers(low, high, size=(_MAX_CANDIDATES, 2))
    return np.argwhere(np.ones((height, width), dtype=np.bool_)) + low


def _looked_up(truth: SlideTruth, slide_shape: tuple[int, int], stride: int) -> tuple[npt.NDArray[np.intp], ...]:
    """Index of a mask for the level-0 pixels that a map's pixels stand for; an incomplete last one may be missing."""
    rows, cols = (
        level0_to_map(map_to_level0(np.arange(num), stride), truth.stride).clip(max=side - 1)
        for num, side in zip(map_shape(slide_shape, stride), truth.mask.shape, strict=True)
    )
    return np.ix_(rows, cols)
