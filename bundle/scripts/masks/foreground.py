"""Where a slide shows tissue.

Otsu's threshold on the saturation of an overview at one pixel per ``stride`` x ``stride`` level-0 pixels, holes
filled and specks removed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.color import rgb2hsv
from skimage.filters import threshold_otsu

from ..errors import InputError


class ForegroundSettings(NamedTuple):
    """How tissue is told from background.

    Attributes:
        saturation: saturation (HSV, 0 to 1) from which on a pixel is tissue; None takes Otsu's threshold.
        min_saturation: floor under Otsu's threshold.
        max_saturation: ceiling over it, and the threshold where Otsu's two classes differ too little to be tissue and
            background: a slide that is all background, tinted or not, then has no tissue, one that is all tissue
            keeps it.
        min_contrast: least difference of the two classes' mean saturation.
        min_value: pixels darker than this (HSV value, 0 to 1), such as black borders and pen, are not tissue.
        max_hole_um2: holes up to this area are filled.
        min_tissue_um2: specks below this area are removed.
    """

    saturation: float | None = None
    min_saturation: float = 0.05
    max_saturation: float = 0.2
    min_contrast: float = 0.05
    min_value: float = 0.1
    max_hole_um2: float = 50_000.0
    min_tissue_um2: float = 20_000.0

    def check(self) -> None:
        """Refuse values out of range.

        Raises:
            InputError: if one is.
        """
        for name, value in self._asdict().items():
            if name.endswith("_um2"):
                if not value >= 0:
                    raise InputError(f"{name} must not be negative, but got {value}")
            elif value is not None and not 0 <= value <= 1:
                raise InputError(f"{name} must be from 0 to 1, but got {value}")


def foreground_mask(
    overview: npt.NDArray[np.uint8],
    pixel_um: float,
    settings: ForegroundSettings = ForegroundSettings(),  # noqa: B008
) -> tuple[npt.NDArray[np.bool_], float]:
    """Tell tissue from background.

    Args:
        overview: (rows, cols, 3) uint8 RGB.
        pixel_um: side of an overview pixel in µm.
        settings: thresholds and areas.

    Returns:
        (rows, cols) bool, true where there is tissue, and the saturation threshold used.
    """
    hsv = rgb2hsv(overview)
    saturation, value = hsv[..., 1], hsv[..., 2]
    lit = value >= settings.min_value
    threshold = _threshold(saturation[lit], settings) if settings.saturation is None else settings.saturation
    mask = (saturation >= threshold) & lit
    mask = _fill_holes(mask, settings.max_hole_um2 / pixel_um**2)
    return _without_small(mask, settings.min_tissue_um2 / pixel_um**2), threshold


def _threshold(saturation: npt.NDArray[np.float64], settings: ForegroundSettings) -> float:
    """Otsu's threshold of (N,) saturations, kept within the settings' limits."""
    threshold = settings.max_saturation
    if saturation.size and np.ptp(saturation) > 0:
        otsu = float(threshold_otsu(saturation))
        is_above = saturation > otsu
        if saturation[is_above].mean() - saturation[~is_above].mean() >= settings.min_contrast:
            threshold = min(otsu, threshold)
    return max(threshold, settings.min_saturation)


def _fill_holes(mask: npt.NDArray[np.bool_], max_pixels: float) -> npt.NDArray[np.bool_]:
    """The mask with its holes of up to `max_pixels` pixels; background that reaches the border is no hole."""
    labels, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    is_hole = np.bincount(labels.ravel()) <= max_pixels
    is_hole[[0, labels[0, 0]]] = False
    filled: npt.NDArray[np.bool_] = mask | is_hole[labels][1:-1, 1:-1]
    return filled


def _without_small(mask: npt.NDArray[np.bool_], max_pixels: float) -> npt.NDArray[np.bool_]:
    """The mask without its components of up to `max_pixels` pixels, joined by their sides."""
    # scikit-image renamed the arguments of its own between 0.25, the last for Python 3.10, and 0.26
    labels, _ = ndimage.label(mask)
    is_kept = np.bincount(labels.ravel()) > max_pixels
    is_kept[0] = False
    kept: npt.NDArray[np.bool_] = is_kept[labels]
    return kept
