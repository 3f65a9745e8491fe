"""Pen marks of any color: ink is what hematoxylin, eosin and blood cannot look like.

First comes what is ink for sure by its color alone; then what holds the same ink, thinner or over tissue, measured
against this slide's own tissue (docs/quality.md).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy

from .density import chromatic_coordinates, color_densities, color_index

_LEAST_MM2 = 0.03
"""No smaller mark is pen: specks of dirt and pigment are smaller, a dot of a pen is not."""

_LEAST_TISSUE_MM2 = 0.1
"""With less tissue beside the ink, nothing is known of the slide's stain, and no more than sure ink is taken."""

_AWAY_UM = 200.0
"""So far from sure ink begins what the tissue's color is learned from."""

_REACH_UM = 400.0
"""So far from ink weak ink is looked for: the dry end of a stroke, a streak beside it."""

_LEAST_AMOUNT, _LEAST_SHARE, _MOST_SHARE = 0.1, 0.35, 0.6
"""Density of ink, and its share of all density, from which on there is ink where tissue varies less than that."""

_DEVIATIONS = 5.0
"""So many standard deviations of the tissue's own amounts must ink exceed them."""

_WEAK = 0.55
"""Share of these limits that weak ink must reach."""

_ALIKE = 0.97
"""Cosine between the densities of two marks from which on they are of one ink."""

_AROUND = np.ones((3, 3), dtype=bool)


class _Colors(NamedTuple):
    """Of each rounded color: its densities (N, 3), and whether it is sure ink and whether it can be tissue (N,)."""

    densities: npt.NDArray[np.float64]
    is_ink: npt.NDArray[np.bool_]
    is_tissue: npt.NDArray[np.bool_]


@cache
def _colors() -> _Colors:
    """The limits were read off real tissue: patches of PatchCamelyon and CAMELYON16 and whole pieces of CAMELYON17."""
    densities = color_densities()
    mean, x, y = chromatic_coordinates(densities)
    is_gray = np.hypot(x, y) < 0.25
    is_blue = (x > 0.2) & (mean > 0.15)
    is_red = (x < -0.6) & (y < 0.45) & (mean > 0.3)
    is_other = (y < 0.12) & (mean > np.where(is_gray, 0.35, 0.15))
    return _Colors(densities, is_blue | is_red | is_other, (mean > 0.12) & (x < 0.15) & (y > 0.12))


def find_pen(
    picture: npt.NDArray[np.uint8], pixel_um: float, excluded: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.bool_]:
    """Find pen.

    Args:
        picture: (rows, cols, 3) uint8 RGB.
        pixel_um: side of a pixel in µm.
        excluded: (rows, cols) bool, what is known to be something else.

    Returns:
        (rows, cols) bool.
    """
    colors, index = _colors(), color_index(picture)
    least_pixels = _LEAST_MM2 * 1e6 / pixel_um**2
    is_ink = colors.is_ink[index]
    if excluded is not None:
        is_ink &= ~excluded
    if is_ink.sum() < least_pixels:
        return np.zeros(index.shape, dtype=np.bool_)
    labels, is_mark = _large_components(is_ink, least_pixels)
    sure = is_mark[labels]
    if not sure.any():
        return sure
    away = ~_dilated(sure, _AWAY_UM / pixel_um)
    num_tissue = np.bincount(index[away], minlength=len(colors.is_tissue)) * colors.is_tissue
    found = sure.copy()
    if num_tissue.sum() * pixel_um**2 >= _LEAST_TISSUE_MM2 * 1e6:
        for ink in _inks(index, labels, is_mark, colors.densities):
            found |= _same_ink(index, ink, num_tissue, sure, least_pixels, _REACH_UM / pixel_um)
    if excluded is not None:
        found &= ~excluded
    return found


def _inks(
    index: npt.NDArray[np.int32],
    labels: npt.NDArray[np.int32],
    is_mark: npt.NDArray[np.bool_],
    densities: npt.NDArray[np.float64],
) -> list[npt.NDArray[np.float64]]:
    """Directions of the densities of the marks, (3,) of length 1; marks that are alike make one."""
    places = is_mark[labels]
    sums = np.stack(
        [np.bincount(labels[places], densities[index[places], channel], len(is_mark)) for channel in range(3)], axis=1
    )
    inks: list[npt.NDArray[np.float64]] = []
    for mark in sums[is_mark][np.argsort(-np.linalg.norm(sums[is_mark], axis=1))]:
        cosines = [float(mark @ ink / np.linalg.norm(mark) / np.linalg.norm(ink)) for ink in inks]
        if cosines and max(cosines) >= _ALIKE:
            inks[int(np.argmax(cosines))] += mark
        else:
            inks.append(mark.copy())
    return [np.asarray(ink / np.linalg.norm(ink)) for ink in inks]


def _same_ink(
    index: npt.NDArray[np.int32],
    ink: npt.NDArray[np.float64],
    num_tissue: npt.NDArray[np.int64],
    sure: npt.NDArray[np.bool_],
    least_pixels: float,
    reach: float,
) -> npt.NDArray[np.bool_]:
    """Where an ink lies, thin or over tissue.

    The amount of ink in a color is that of a matched filter: of all weights of the three densities which give 1 for the
    ink those that give the least for the slide's tissue (Harsanyi 1993, constrained energy minimization).
    """
    densities = _colors().densities
    scatter = (densities.T * num_tissue) @ densities / num_tissue.sum() + 1e-4 * np.eye(3)
    weights = np.linalg.solve(scatter, ink)
    amount = densities @ (weights / (ink @ weights))
    share = amount / np.maximum(np.linalg.norm(densities, axis=1), 0.1)
    least_amount = max(_LEAST_AMOUNT, _upper_limit(amount, num_tissue))
    least_share = min(_MOST_SHARE, max(_LEAST_SHARE, _upper_limit(share, num_tissue)))
    amounts, in_shares = (
        scipy.ndimage.uniform_filter(values.astype(np.float32)[index], 3) for values in (amount, share)
    )  # single pixels of tissue may look like ink, a stroke is smooth
    labels, is_large = _large_components((amounts > least_amount) & (in_shares > least_share), least_pixels)
    strong = is_large[labels] | sure
    weak = (amounts > _WEAK * least_amount) & (in_shares > _WEAK * least_share) & _dilated(strong, reach)
    labels, count = scipy.ndimage.label(weak | strong, _AROUND)
    is_joined = np.zeros(count + 1, dtype=np.bool_)
    is_joined[np.unique(labels[strong])] = True
    joined: npt.NDArray[np.bool_] = is_joined[labels]
    return joined


def _upper_limit(values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]) -> float:
    """Above which the values (N,) of tissue do not come, by their median and quartile, each value ``counts`` times."""
    order = np.argsort(values)
    cumulated = np.cumsum(counts[order])
    median, upper = (float(values[order][np.searchsorted(cumulated, cumulated[-1] * share)]) for share in (0.5, 0.75))
    return median + _DEVIATIONS * (upper - median) / 0.6745  # the upper quartile of a bell curve


def _large_components(
    mask: npt.NDArray[np.bool_], least_pixels: float
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Labels of the components of a mask, 0 outside, and which labels are of large ones."""
    labels, _ = scipy.ndimage.label(mask, _AROUND)
    is_large = np.bincount(labels.ravel()) >= least_pixels
    is_large[0] = False
    return labels, is_large


def _dilated(mask: npt.NDArray[np.bool_], pixels: float) -> npt.NDArray[np.bool_]:
    """The mask and what is near it, in a square."""
    grown: npt.NDArray[np.bool_] = scipy.ndimage.maximum_filter(mask, 2 * max(1, round(pixels)) + 1)
    return grown
