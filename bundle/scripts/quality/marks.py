"""Single pixels that no tissue looks like, which a threshold between tissue and glass must not see.

This looks at each pixel by itself and takes little; `pen.find_pen` finds whole strokes
(docs/decisions/0005-foreground.md).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_GREEN_DEGREES, _GREEN_SATURATION = (50, 200), 0.2
_BLUE_DEGREES, _BLUE_SATURATION = (200, 240), 0.55
"""Hue and least saturation of pen. Of 170,000 pixels of 16 µm of CAMELYON's tissue at most two are such."""

_LEAST_CHROMA, _LIGHT_VALUE = 0.06, 0.6
"""What is darker than this value and has no more color is a black border, black pen or dirt; dark nuclei have color."""


def is_mark(hsv: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which pixels are green or blue pen, or gray and dark as black pen and a scanner's border are.

    Hematoxylin and eosin give hues from violet to red; red pen is of the color of blood.

    Args:
        hsv: (rows, cols, 3) float64 hue, saturation and value, each from 0 to 1.

    Returns:
        (rows, cols) bool.
    """
    hue, saturation, value = hsv[..., 0] * 360, hsv[..., 1], hsv[..., 2]
    found: npt.NDArray[np.bool_] = (value < _LIGHT_VALUE) & (saturation * value < _LEAST_CHROMA)
    for (low, high), least in ((_GREEN_DEGREES, _GREEN_SATURATION), (_BLUE_DEGREES, _BLUE_SATURATION)):
        found |= (hue >= low) & (hue < high) & (saturation >= least)
    return found
