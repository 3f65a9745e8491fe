"""Features of a map, from which a classifier tells the class of a node. Arrays in, no files.

They follow those published for whole-slide maps: sizes, extents, eccentricity and probabilities of the largest lesions,
numbers and areas of lesions over several thresholds, and the share of tissue that is called tumor. Sources: Wang et al.
2016, "Deep learning for identifying metastatic breast cancer", arXiv:1606.05718, the winners of CAMELYON16; for
CAMELYON17 Lee and Paeng 2018, arXiv:1805.02699, and Bándi et al. 2019, see `nodes`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..maps.files import MapInfo
from .nodes import NodeLesions

THRESHOLDS = (0.5, 0.7, 0.9)
"""Probabilities over which areas and regions are counted, besides the threshold of the lesions."""

NUM_LARGEST = 2
"""Lesions that are described one by one, the longest first."""

_OF_LESION = ("extent_um", "area_um2", "minor_um", "eccentricity", "solidity", "mean_probability", "max_probability")

NAMES = (
    *("max_probability", "num_lesions", "sum_extent_um", "tumor_share"),
    *(f"{what}_over_{threshold:g}" for threshold in THRESHOLDS for what in ("area_um2", "num_regions")),
    *(f"lesion_{number}_{what}" for number in range(1, NUM_LARGEST + 1) for what in _OF_LESION),
)
"""Names of the features, in their order. Lengths and areas are in µm and µm², so that they fit any stride."""


def map_features(
    lesions: NodeLesions, prob_map: npt.NDArray[np.floating[Any]], info: MapInfo
) -> npt.NDArray[np.float64]:
    """The features of a map.

    Args:
        lesions: of `nodes.find_node_lesions`.
        prob_map: (rows, cols) floating, from 0 to 1.
        info: its sidecar.

    Returns:
        (len(NAMES),) float64; 0 where there is no lesion to describe.
    """
    from skimage import measure

    pixel_um = info.stride * info.mpp
    evidence = sum(region.num_pixels for region in lesions.regions)
    found = [
        float(prob_map.max(initial=0)),
        float(len(lesions.regions)),
        float(lesions.extent_um.sum()),
        evidence / max(int(np.count_nonzero(prob_map)), 1),
    ]
    for threshold in THRESHOLDS:
        is_over = prob_map > threshold
        found += [
            float(np.count_nonzero(is_over)) * pixel_um**2,
            float(measure.label(is_over, connectivity=2).max(initial=0)),
        ]
    for number in range(NUM_LARGEST):
        if number >= len(lesions.regions):
            found += [0.0] * len(_OF_LESION)
            continue
        region = lesions.regions[number]
        found += [
            float(lesions.extent_um[number]),
            float(region.num_pixels) * pixel_um**2,
            float(region.axis_minor_length) * pixel_um,
            float(region.eccentricity),
            region.num_pixels / _convex_area(region),
            float(region.intensity_mean),
            float(region.intensity_max),
        ]
    return np.array(found, dtype=np.float64)


def _convex_area(region: Any) -> float:
    """Pixels of the convex hull; a row of pixels is its own hull, of which scikit-image warns."""
    is_line = min(region.image.shape) == 1
    return float(np.ptp(region.coords, axis=0).max() + 1 if is_line else region.area_convex)
