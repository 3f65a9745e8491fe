"""Lesions by the rules of CAMELYON16: a tumor mask grown, filled and numbered, and which are isolated tumor cells.

Source of the rules: ``Evaluation_FROC.py`` in https://github.com/computationalpathologygroup/Camelyon16.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

GROW_UM = 75.0
"""Lesions are grown by this, measured across, so by half of it to each side (CAMELYON16: about five tumor cells)."""

ITC_DIAMETER_UM = 275.0
"""A grown lesion with a shorter major axis is isolated tumor cells (CAMELYON16: 200 µm, and 75 µm of growth)."""

MACROMETASTASIS_UM = 2000.0
"""A lesion of a longer extent is a macrometastasis, a shorter one a micrometastasis (CAMELYON16, and the TNM: 2 mm)."""

ISOLATED, MICRO, MACRO = "isolated tumor cells", "micrometastasis", "macrometastasis"


def evaluation_mask(tumor_mask: npt.NDArray[Any], pixel_um: float) -> npt.NDArray[np.int32]:
    """Grow the tumor, fill its holes and number the lesions (CAMELYON16's ``computeEvaluationMask``).

    A pixel belongs to the grown tumor if its Euclidean distance to a tumor pixel is below half of `GROW_UM`.
    Lesions that touch, diagonally too, are one.

    Args:
        tumor_mask: (rows, cols), nonzero is tumor.
        pixel_um: µm per mask pixel, positive.

    Returns:
        (rows, cols) int32: 0 outside, 1 to N the lesions in reading order of their first pixels.

    Raises:
        ValueError: for a mask that is not 2-D or a ``pixel_um`` that is not positive.
    """
    from skimage import measure

    if tumor_mask.ndim != 2:
        raise ValueError(f"tumor_mask must be (rows, cols), but got shape {tumor_mask.shape}")
    reach = GROW_UM / (_positive(pixel_um) * 2)
    is_tumor = tumor_mask != 0
    labels = np.zeros(is_tumor.shape, dtype=np.int32)
    rows, cols = np.flatnonzero(is_tumor.any(axis=1)), np.flatnonzero(is_tumor.any(axis=0))
    if rows.size == 0:
        return labels
    # A ring of background around the grown tumor keeps the holes of the crop those of the whole mask.
    margin = math.ceil(reach) + 1
    crop = (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + margin + 1),
        slice(max(int(cols[0]) - margin, 0), int(cols[-1]) + margin + 1),
    )
    labels[crop] = measure.label(_fill_holes(_grow(is_tumor[crop], reach)), connectivity=2)
    return labels


def _grow(mask: npt.NDArray[np.bool_], distance: float) -> npt.NDArray[np.bool_]:
    """Pixels whose Euclidean distance to the mask is below ``distance``, by shifting it through a disk.

    Equal to thresholding a distance transform, and much faster for the few pixels that 37.5 µm are on a mask.
    """
    num_rows = mask.shape[0]
    offsets = range(math.ceil(distance))
    half_widths = [max(col for col in offsets if math.hypot(row, col) < distance) for row in offsets]
    wide, grown = mask.copy(), np.zeros_like(mask)
    for col in offsets:
        if col:
            wide[:, col:] |= mask[:, :-col]
            wide[:, :-col] |= mask[:, col:]
        for row in (row for row in offsets if half_widths[row] == col):
            grown[row:] |= wide[: max(num_rows - row, 0)]
            grown[: max(num_rows - row, 0)] |= wide[row:]
    return grown


def _fill_holes(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Fill background that is not 4-connected to the border, as `scipy.ndimage.binary_fill_holes` does."""
    background, num_regions = ndimage.label(~mask)
    is_open = np.zeros(num_regions + 1, dtype=np.bool_)
    for edge in (background[0], background[-1], background[:, 0], background[:, -1]):
        is_open[edge] = True
    is_open[0] = False
    filled: npt.NDArray[np.bool_] = ~is_open[background]
    return filled


class LesionSizes(NamedTuple):
    """Sizes and places of the lesions of an evaluation mask, by label.

    Attributes:
        diameter: (N,) float64 in mask pixels: the major axis of the ellipse with the lesion's second moments.
        area: (N,) int64 in mask pixels.
        center: (N, 2) float64, (row, col) on the mask: the center of mass, of pixel indices.
    """

    diameter: npt.NDArray[np.float64]
    area: npt.NDArray[np.int64]
    center: npt.NDArray[np.float64]

    def is_isolated(self, pixel_um: float) -> npt.NDArray[np.bool_]:
        """Which are isolated tumor cells (CAMELYON16's ``computeITCList``): (N,) bool."""
        return self.diameter < ITC_DIAMETER_UM / _positive(pixel_um)

    def extent_um(self, pixel_um: float) -> npt.NDArray[np.float64]:
        """Major extent of the lesions before they were grown: (N,) float64, the diameter less the growth."""
        return np.maximum(self.diameter * _positive(pixel_um) - GROW_UM, 0.0)


def measure_lesions(labels: npt.NDArray[np.int32]) -> LesionSizes:
    """Measure the lesions of an evaluation mask.

    Args:
        labels: (rows, cols) int32 of `evaluation_mask`, labels 1 to N.

    Returns:
        Their sizes, in the order of their labels.
    """
    from skimage import measure

    regions = measure.regionprops(labels)
    return LesionSizes(
        np.array([region.axis_major_length for region in regions], dtype=np.float64),
        np.array([region.area for region in regions], dtype=np.int64),
        np.array([region.centroid for region in regions], dtype=np.float64).reshape(-1, 2),
    )


def _positive(pixel_um: float) -> float:
    if not (math.isfinite(pixel_um) and pixel_um > 0):
        raise ValueError(f"pixel_um must be positive, but got {pixel_um}")
    return pixel_um
