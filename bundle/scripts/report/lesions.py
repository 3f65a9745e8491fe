"""Sizes of the lesions of a slide, of the map and of the truth: the longest extent and the area. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..geometry import level0_to_map
from ..maps.detections import Detections
from ..maps.files import MapInfo
from ..maps.findings import rank_regions
from ..masks.truth import Truth
from ..scoring.slides import SlideLesions

MAX_LESIONS = 20
"""Lesions of a slide that are listed: the first, in the order of their numbers."""


class LesionSize(NamedTuple):
    """A lesion on a slide.

    Attributes:
        number: from 1.
        extent_um: largest distance between two points of its outline.
        area_mm2: of its pixels.
        row: level-0 row of the center of its bounding box.
        col: level-0 column of it.
        left: the same place as a share of the slide's width.
        bottom: its lowest point as a share of the slide's height.
        confidence: of the strongest detection in it; None in the truth, 0 if it holds none.
    """

    number: int
    extent_um: float
    area_mm2: float
    row: int
    col: int
    left: float
    bottom: float
    confidence: float | None


def lesions_of_map(
    prob_map: npt.NDArray[np.floating[Any]], info: MapInfo, detections: Detections, threshold: float
) -> list[LesionSize]:
    """Measure what exceeds the threshold, in the order of `maps.findings.find_lesions`.

    Args:
        prob_map: (rows, cols) floating, from 0 to 1.
        info: its sidecar.
        detections: of the map, level-0 frame.
        threshold: only higher probabilities count.

    Returns:
        All of them, the most confident first.
    """
    rows, cols = (
        level0_to_map(axis, info.stride).clip(max=side - 1)
        for axis, side in zip((detections.row, detections.col), prob_map.shape, strict=True)
    )
    regions = rank_regions(prob_map, threshold, detections._replace(row=rows, col=cols))
    return [
        _measured(region, number, info, info.stride, float(regions.confidences[region.label]))
        for number, region in enumerate(regions.ranked, start=1)
    ]


def lesions_of_truth(truth: Truth | None, lesions: SlideLesions | None, info: MapInfo) -> list[LesionSize]:
    """Measure the lesions of the truth as they are drawn: not grown, as they are to be scored.

    Args:
        truth: of the slide, or None.
        lesions: of `scoring.slides.find_lesions` of the same truth, which numbers them, or None without tumor.
        info: sidecar of the slide's map.

    Returns:
        All of them, by their numbers in ``lesions.csv``.
    """
    from skimage import measure

    if truth is None or lesions is None:
        return []
    drawn = np.where(truth.mask, lesions.labels, 0)
    return [_measured(region, int(region.label), info, truth.stride, None) for region in measure.regionprops(drawn)]


def _measured(region: Any, number: int, info: MapInfo, stride: int, confidence: float | None) -> LesionSize:
    top, left, bottom, right = region.bbox
    height, width = info.slide_shape
    row, col = (top + bottom) / 2 * stride, (left + right) / 2 * stride
    pixel_um = stride * info.mpp
    return LesionSize(
        number,
        longest_extent(region.image) * pixel_um,
        float(region.num_pixels) * pixel_um**2 / 1e6,
        int(row),
        int(col),
        min(col / width, 1.0),
        min(bottom * stride / height, 1.0),
        confidence,
    )


def longest_extent(image: npt.NDArray[np.bool_]) -> float:
    """The largest distance between two corners of the pixels of a lesion (its maximum Feret diameter), in pixels.

    Args:
        image: (rows, cols) bool, with a pixel in it.
    """
    import shapely
    from scipy.spatial.distance import pdist

    rows = np.flatnonzero(image.any(axis=1))
    first = image[rows].argmax(axis=1)
    last = image.shape[1] - image[rows, ::-1].argmax(axis=1)
    corners = np.concatenate([np.stack([rows + down, cols], axis=1) for down in (0, 1) for cols in (first, last)])
    hull = shapely.get_coordinates(shapely.convex_hull(shapely.multipoints(corners)))
    return float(pdist(hull).max())
