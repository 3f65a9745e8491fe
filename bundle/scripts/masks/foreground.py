"""Where a slide shows tissue.

Otsu's threshold on the saturation of an overview at one pixel per ``stride`` x ``stride`` level-0 pixels, holes
filled and specks removed. Black background is background. Pen and dark gray are no tissue, and what is below the
threshold is split once more, so that pale tissue is found beside strong color (docs/decisions/0005-foreground.md).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy
import skimage

from ..errors import InputError
from ..quality.edges import find_black, light_of
from ..quality.marks import is_mark

_LEAST_SEPARABILITY = 0.75
"""Otsu's share of the variance that lies between two classes: 0.64 for one bell curve, more for two."""


_LEAST_GLASS = 0.01
"""Share of what is lit from which on there is glass, by pixels that are grayer than `ForegroundSettings` lets pass."""

_GLASS_DEVIATION = 0.025
"""Standard deviation of the brightness (0 to 1) of glass is less, whatever its tint."""


class ForegroundSettings(NamedTuple):
    """How tissue is told from background.

    Attributes:
        saturation: saturation (HSV, 0 to 1) from which on a pixel is tissue; None takes Otsu's threshold.
        min_saturation: floor under Otsu's threshold, which keeps the noise of glass out.
        max_saturation: ceiling over it, and the threshold where Otsu's two classes differ too little to be tissue and
            background: a slide that is all background, tinted or not, then has no tissue, one that is all tissue
            keeps it.
        min_contrast: least difference of the two classes' mean saturation.
        min_value: pixels darker than this (HSV value, 0 to 1) are not tissue.
        max_hole_um2: holes up to this area are filled.
        min_tissue_um2: specks below this area are removed.
    """

    saturation: float | None = None
    min_saturation: float = 0.03
    max_saturation: float = 0.2
    min_contrast: float = 0.03
    min_value: float = 0.1
    max_hole_um2: float = 50_000.0
    min_tissue_um2: float = 20_000.0

    def check(self) -> None:
        """Refuse values out of range.

        Raises:
            InputError: if one is.
        """
        for name, value in self._asdict().items():
            if name == "saturation" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise InputError(f"{name} must be a number, but got {value!r:.40}")
            if name.endswith("_um2"):
                if not value >= 0:
                    raise InputError(f"{name} must not be negative, but got {value}")
            elif not 0 <= value <= 1:
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
    hsv = skimage.color.rgb2hsv(overview)
    saturation, value = hsv[..., 1], hsv[..., 2]
    lit = value >= settings.min_value
    if settings.saturation is None:
        lit &= ~is_mark(hsv)
        threshold = _threshold(_to_split(hsv, lit, find_black(light_of(overview), pixel_um), settings), settings)
    else:
        threshold = settings.saturation
    mask = (saturation >= threshold) & lit
    mask = _fill_holes(mask, settings.max_hole_um2 / pixel_um**2)
    return without_small(mask, settings.min_tissue_um2 / pixel_um**2), threshold


def _to_split(
    hsv: npt.NDArray[np.float64],
    lit: npt.NDArray[np.bool_],
    black: npt.NDArray[np.bool_],
    settings: ForegroundSettings,
) -> npt.NDArray[np.float64]:
    """The saturations (N,) that Otsu's threshold is taken of: of what is lit, and of black background.

    Beside black background pixels mix with it; they are left out. The background itself, of no saturation, stands in
    for glass where there is none: almost nothing is as gray as glass, and what is lit is not as even as glass.
    """
    saturation = hsv[..., 1]
    if not black.any():
        return np.asarray(saturation[lit])
    lit = lit & ~scipy.ndimage.binary_dilation(black, np.ones((3, 3), dtype=bool))
    found = np.asarray(saturation[lit])
    if (
        not found.size
        or (found < settings.min_saturation).mean() > _LEAST_GLASS
        or hsv[lit, 2].std() < _GLASS_DEVIATION
    ):
        return found
    return np.concatenate([found, np.zeros(int(black.sum()))])


def _threshold(saturation: npt.NDArray[np.float64], settings: ForegroundSettings) -> float:
    """Otsu's threshold of (N,) saturations, kept within the settings' limits.

    Strong color, such as blood, red pen or a second piece, raises it above pale tissue. What lies below is therefore
    split once more, and counts as tissue in part if it is of two kinds.
    """
    threshold = settings.max_saturation
    first, contrast, _ = _split(saturation)
    if contrast >= settings.min_contrast:
        threshold = min(first, threshold)
        second, contrast, separability = _split(saturation[saturation <= threshold])
        if contrast >= settings.min_contrast and separability >= _LEAST_SEPARABILITY:
            threshold = second
    return max(threshold, settings.min_saturation)


def _split(saturation: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Otsu's threshold of (N,) saturations, the difference of its classes' means, and its separability.

    The separability is the share of the variance that lies between the classes (Otsu 1979, eta). All are 0 where there
    is nothing to split.
    """
    if not saturation.size or np.ptp(saturation) == 0:
        return 0.0, 0.0, 0.0
    threshold = float(skimage.filters.threshold_otsu(saturation))
    is_above = saturation > threshold
    share = float(is_above.mean())
    contrast = float(saturation[is_above].mean() - saturation[~is_above].mean())
    return threshold, contrast, share * (1 - share) * contrast**2 / float(saturation.var())


def _fill_holes(mask: npt.NDArray[np.bool_], max_pixels: float) -> npt.NDArray[np.bool_]:
    """The mask with its holes of up to `max_pixels` pixels; background that reaches the border is no hole."""
    labels, _ = scipy.ndimage.label(np.pad(~mask, 1, constant_values=True))
    is_hole = np.bincount(labels.ravel()) <= max_pixels
    is_hole[[0, labels[0, 0]]] = False
    filled: npt.NDArray[np.bool_] = mask | is_hole[labels][1:-1, 1:-1]
    return filled


def without_small(mask: npt.NDArray[np.bool_], max_pixels: float) -> npt.NDArray[np.bool_]:
    """The (rows, cols) bool mask without its components of up to `max_pixels` pixels, joined by their sides."""
    # scikit-image renamed the arguments of its own between 0.25, the last for Python 3.10, and 0.26
    labels, _ = scipy.ndimage.label(mask)
    is_kept = np.bincount(labels.ravel()) > max_pixels
    is_kept[0] = False
    kept: npt.NDArray[np.bool_] = is_kept[labels]
    return kept
