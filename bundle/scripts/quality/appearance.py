"""How a slide looks, and whether the patches that a network was trained on looked like it.

A patch has a brightness, a sharpness, and of each stain a density and a hue angle. A slide has the medians of a few
patches of its tissue. Of training patches a range of each measure is kept.

Brightness and stain are measured on stained pixels alone, so that glass and fat between them change nothing. These are
the pixels of a mean optical density of 0.15 (natural logarithm) and more, as in Macenko et al. (2009), A method for
normalizing histology slides for quantitative analysis; and at least half of all, so that a pale patch counts as pale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import skimage

from .density import chromatic_coordinates

MEASURES = {
    "brightness": "brightness of stained pixels",
    "sharpness": "sharpness",
    "hematoxylin_density": "density of hematoxylin",
    "hematoxylin_angle": "hue angle of hematoxylin",
    "eosin_density": "density of eosin",
    "eosin_angle": "hue angle of eosin",
}
"""What is measured, in words."""

_STAINED = 0.15
_LEAST_STAINED = 0.5
"""Share of stained pixels below which a training patch shows too little to count: slides are measured in tissue."""

_TAIL = 0.1
"""Share of the stained pixels that shows one stain alone. Macenko takes single percentiles, which noise moves more."""

_LEAST_CONTRAST = 6.0
"""Standard deviation of the grays, of 255, below which a patch shows nothing that could be sharp."""

_LOWEST_ANGLE = -70.0
"""Angles go on from here for 360 degrees, so that those of hematoxylin (66 by Ruifrok's vector) and eosin (122), and
what lies around them, are far from the place where they jump."""

_PERCENTILES = (1.0, 99.0)
_LEAST_PATCHES = 50
"""Of fewer training patches no range is known."""

_FAR = {"sharpness": 0.5}
_FAR_ELSE = 0.2
"""So far outside a range, as a share of its width, a slide is unlike the training data. Sharpness also depends on how
pixels were compressed and resampled, which the network bears."""

Appearance = Mapping[str, float | None]
"""What a slide has of each of `MEASURES`; None where it cannot be measured."""

Ranges = Mapping[str, Sequence[float]]
"""(low, high) of some of `MEASURES` over training patches."""


class Outlier(NamedTuple):
    """A measure in which a slide is far outside the training data.

    Attributes:
        measure: a key of `MEASURES`.
        value: of the slide.
        low: of the training patches.
        high: of the training patches.
    """

    measure: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """In words: ``sharpness -0.93 (training -0.42 to 0.01)``."""
        digits = 0 if self.measure == "brightness" or self.measure.endswith("angle") else 2
        value, low, high = (f"{number:.{digits}f}" for number in (self.value, self.low, self.high))
        return f"{MEASURES[self.measure]} {value} (training {low} to {high})"


def measure_patch(patch: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Measure a patch.

    Args:
        patch: (rows, cols, 3) uint8 RGB.

    Returns:
        A number for each of `MEASURES`, nan where the patch does not show it; and ``stained``, a share of its pixels.
    """
    densities = -np.log((patch.reshape(-1, 3).astype(np.float32) + 1) / 256)  # as training.jitter.StainJitter
    mean = densities.mean(axis=1)
    share = float((mean >= _STAINED).mean())
    count = max(1, round(max(share, _LEAST_STAINED) * len(mean)))
    stained = np.argpartition(mean, len(mean) - count)[-count:]
    densities = densities[stained]
    hematoxylin, eosin = (densities @ skimage.color.hed_from_rgb[:, :2].astype(np.float32)).mean(axis=0)
    # hematoxylin takes away red light and eosin hardly any; green light is taken by both
    order = np.arctan2(densities[:, 0], densities[:, 1])
    tail = max(1, round(_TAIL * count))
    sorted_parts = np.argpartition(order, [tail - 1, count - tail])
    return {
        "brightness": float(patch.reshape(-1, 3)[stained].mean()),
        "sharpness": measure_sharpness(patch),
        "hematoxylin_density": float(hematoxylin),
        "hematoxylin_angle": _hue_angle(densities[sorted_parts[-tail:]]),
        "eosin_density": float(eosin),
        "eosin_angle": _hue_angle(densities[sorted_parts[:tail]]),
        "stained": share,
    }


def measure_sharpness(patch: npt.NDArray[np.uint8]) -> float:
    """How much of the detail of a patch is of the finest kind, whatever its contrast.

    The ratio of two octaves: the difference of the patch and its Gaussian of 1 pixel, and that of this Gaussian and the
    next of 2 pixels (a Laplacian pyramid, Burt and Adelson 1983, without its steps).

    Args:
        patch: (rows, cols, 3) uint8 RGB.

    Returns:
        The logarithm of the ratio of their standard deviations; nan of a patch without detail.
    """
    from scipy import ndimage

    gray = patch.mean(axis=-1, dtype=np.float32)
    if gray.std() < _LEAST_CONTRAST:
        return float("nan")
    fine = ndimage.gaussian_filter(gray, 1.0)
    coarse = ndimage.gaussian_filter(fine, np.sqrt(3.0))
    return float(np.log(max((gray - fine).std(), 1e-6) / max((fine - coarse).std(), 1e-6)))


def _hue_angle(densities: npt.NDArray[np.float32]) -> float:
    """Angle of the mean of densities (N, 3) in the plane of hue and saturation, in degrees; nan of pure gray."""
    _, x, y = chromatic_coordinates(densities.mean(axis=0, dtype=np.float64)[None])
    if np.hypot(x[0], y[0]) < 1e-6:
        return float("nan")
    return float((np.degrees(np.arctan2(y[0], x[0])) - _LOWEST_ANGLE) % 360 + _LOWEST_ANGLE)


def measure_slide(patches: Iterable[npt.NDArray[np.uint8]]) -> dict[str, float | None]:
    """What a slide looks like.

    Args:
        patches: (rows, cols, 3) uint8 RGB of its tissue, at the resolution of the network.

    Returns:
        The median of each of `MEASURES` over the patches that show it, or None.
    """
    measured = [measure_patch(patch) for patch in patches]
    return {key: _median([found[key] for found in measured]) for key in MEASURES}


def _median(values: Sequence[float]) -> float | None:
    known = [value for value in values if np.isfinite(value)]
    return round(float(np.median(known)), 4) if known else None


def measure_ranges(
    patches: Iterable[npt.NDArray[np.uint8]], enlarged: Iterable[npt.NDArray[np.uint8]] = ()
) -> dict[str, list[float]]:
    """The ranges of training patches, from their first percentile to their 99th.

    Args:
        patches: (rows, cols, 3) uint8 RGB, at the resolution of the network.
        enlarged: the same of coarser pictures. They are no measure of how sharp slides are, unless there are no others.

    Returns:
        [low, high] of each of `MEASURES`; nothing where too few patches show it.
    """
    own, others = ([measure_patch(patch) for patch in some] for some in (patches, enlarged))
    own, others = ([found for found in some if found["stained"] >= _LEAST_STAINED] for some in (own, others))
    ranges = {}
    for key in MEASURES:
        chosen = own if key == "sharpness" and len(own) >= _LEAST_PATCHES else own + others
        values = [found[key] for found in chosen if np.isfinite(found[key])]
        if len(values) >= _LEAST_PATCHES:
            ranges[key] = [round(float(edge), 4) for edge in np.percentile(values, _PERCENTILES)]
    return ranges


def find_outliers(appearance: Appearance, ranges: Ranges) -> list[Outlier]:
    """In what a slide is far outside the training data.

    Args:
        appearance: of the slide.
        ranges: of the training patches.

    Returns:
        The measures, in the order of `MEASURES`.
    """
    found = []
    for key in MEASURES:
        value, edges = appearance.get(key), ranges.get(key)
        if value is None or edges is None:
            continue
        low, high = edges
        margin = _FAR.get(key, _FAR_ELSE) * (high - low)
        if not low - margin <= value <= high + margin:
            found.append(Outlier(key, value, low, high))
    return found


def appearance_notes(appearance: Appearance | None, ranges: Any) -> list[str]:
    """What people must know of how a slide looks: at most one sentence.

    Args:
        appearance: of the slide, or None if it was not measured.
        ranges: see `find_outliers`; None if they are not known.
    """
    outliers = find_outliers(appearance or {}, ranges or {})
    return [f"looks unlike the training data: {', '.join(map(str, outliers))}"] if outliers else []
