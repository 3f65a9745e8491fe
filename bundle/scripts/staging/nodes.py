"""The class of a node: by the largest lesion that its map shows, as CAMELYON17 rules. Arrays in, no files.

Source of the rules: Bándi et al. 2019, "From detection of individual metastases to classification of lymph node status
at the patient level: the CAMELYON17 challenge", IEEE Transactions on Medical Imaging 38 (2).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..maps.files import MapInfo
from ..scoring.lesions import MACROMETASTASIS_UM, evaluation_mask, measure_lesions

NEGATIVE, ITC, MICRO, MACRO = "negative", "itc", "micro", "macro"

CLASSES = (NEGATIVE, ITC, MICRO, MACRO)
"""What a node holds, in the order of their gravity and in the challenge's words; ``itc`` is isolated tumor cells."""

MICROMETASTASIS_UM = 200.0
"""A lesion of a longer extent is a micrometastasis, a shorter one isolated tumor cells (CAMELYON17, TNM: 0.2 mm). The
rules also call a lesion of over 200 cells a micrometastasis; a map of probabilities does not show cells."""


class NodeSettings(NamedTuple):
    """What of a map is a lesion, and which class its size is.

    Attributes:
        threshold: from 0 to below 1; only higher probabilities are evidence of tumor.
        min_area_um2: neighboring pixels above the threshold that cover less are no evidence; an area and no number of
            pixels, so that it means the same at each stride.
        micro_um: a node whose largest lesion is longer is ``micro``.
        macro_um: a node whose largest lesion is longer is ``macro``.
    """

    threshold: float = 0.5
    min_area_um2: float = 2000.0
    micro_um: float = MICROMETASTASIS_UM
    macro_um: float = MACROMETASTASIS_UM

    def check(self) -> None:
        """Refuse what is out of range.

        Raises:
            InputError: names the setting.
        """
        if not 0 <= self.threshold < 1:
            raise InputError(f"threshold: expected a number in [0, 1), found {self.threshold}; mend it")
        if not (math.isfinite(self.min_area_um2) and self.min_area_um2 >= 0):
            raise InputError(f"min_area_um2: expected a number of at least 0, found {self.min_area_um2}; mend it")
        if not 0 <= self.micro_um <= self.macro_um < math.inf:
            raise InputError(
                f"micro_um and macro_um: expected two numbers of µm, the first the smaller, found {self.micro_um} and "
                f"{self.macro_um}; mend them"
            )


class NodeLesions(NamedTuple):
    """The lesions of a node, the longest first.

    Attributes:
        extent_um: (N,) float64, major extent before growing, see `scoring.lesions.LesionSizes.extent_um`.
        regions: of each, scikit-image's properties of the pixels that are evidence, with their probabilities.
    """

    extent_um: npt.NDArray[np.float64]
    regions: list[Any]


def find_node_lesions(
    prob_map: npt.NDArray[np.floating[Any]], info: MapInfo, settings: NodeSettings | None = None
) -> NodeLesions:
    """Find and measure the lesions of a node.

    Pixels above the threshold that touch, diagonally too, are evidence if they cover enough. Evidence is joined and
    measured by the rules of CAMELYON16's lesions: what lies within 75 µm is one lesion, holes are filled.

    Args:
        prob_map: (rows, cols) floating, from 0 to 1.
        info: its sidecar.
        settings: the defaults if None.

    Returns:
        The lesions; none of a negative node.
    """
    from skimage import measure

    settings = settings or NodeSettings()
    pixel_um = info.stride * info.mpp
    pieces = measure.label(prob_map > float(settings.threshold), connectivity=2)
    is_large = np.bincount(pieces.ravel()) * pixel_um**2 >= settings.min_area_um2
    is_large[0] = False
    is_evidence = is_large[pieces]
    labels = evaluation_mask(is_evidence, pixel_um)
    extent_um = measure_lesions(labels).extent_um(pixel_um)
    # every grown lesion holds evidence, so that the labels of both are the same
    regions = measure.regionprops(np.where(is_evidence, labels, 0), intensity_image=prob_map)
    order = np.argsort(-extent_um, kind="stable")
    return NodeLesions(extent_um[order], [regions[index] for index in order])


def node_class(extent_um: float | None, settings: NodeSettings | None = None) -> str:
    """The class of a node.

    Args:
        extent_um: of its largest lesion, or None if there is none.
        settings: the defaults if None.

    Returns:
        One of `CLASSES`.
    """
    settings = settings or NodeSettings()
    if extent_um is None:
        return NEGATIVE
    return MACRO if extent_um > settings.macro_um else MICRO if extent_um > settings.micro_um else ITC


def node_row(lesions: NodeLesions, prob_map: npt.NDArray[np.floating[Any]], info: MapInfo) -> dict[str, Any]:
    """What a table says of a node's lesions.

    Args:
        lesions: of `find_node_lesions`.
        prob_map: (rows, cols) floating, the map.
        info: its sidecar.

    Returns:
        Their number, and of the longest the extent, the evidence, the probabilities and the center of mass in level-0
        pixels; None where there is no lesion. ``score`` is the highest probability of the map.
    """
    row: dict[str, Any] = {"score": float(str(prob_map.max(initial=0))), "num_lesions": len(lesions.regions)}
    if not lesions.regions:
        keys = ("size_um", "area_um2", "num_pixels", "mean_probability", "max_probability", "x", "y")
        return row | dict.fromkeys(keys)
    region = lesions.regions[0]
    center = [int((side + 0.5) * info.stride) for side in region.centroid]
    return row | {
        "size_um": round(float(lesions.extent_um[0]), 1),
        "area_um2": round(float(region.num_pixels) * (info.stride * info.mpp) ** 2, 1),
        "num_pixels": int(region.num_pixels),
        "mean_probability": round(float(region.intensity_mean), 6),
        "max_probability": round(float(region.intensity_max), 6),
        "x": center[1],
        "y": center[0],
    }
