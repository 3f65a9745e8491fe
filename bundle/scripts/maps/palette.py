"""The colors in which probabilities are shown, the same on every page."""

from __future__ import annotations

import matplotlib
import numpy as np
import numpy.typing as npt

_OPAQUE_FROM = 0.5
_COLORMAP = "viridis"  # ordered in lightness, so it reads the same to the color-blind and in gray


def heat_palette(num_steps: int) -> npt.NDArray[np.uint8]:
    """The colors by probability, from 0 to 1: (num_steps, 4) uint8 RGBA, opaque from 0.5 on, fading to nothing at 0."""
    probabilities = np.linspace(0, 1, num_steps)
    rgba: npt.NDArray[np.uint8] = (matplotlib.colormaps[_COLORMAP](probabilities) * 255).round().astype(np.uint8)
    rgba[:, 3] = (255 * np.minimum(1, probabilities / _OPAQUE_FROM)).round()
    return rgba


def heat_gradient(num_stops: int = 8) -> str:
    """`heat_palette` as CSS: ``linear-gradient(to right, ...)``."""
    stops = [f"rgba({r},{g},{b},{alpha / 255:.2f})" for r, g, b, alpha in heat_palette(num_stops).tolist()]
    return f"linear-gradient(to right,{','.join(stops)})"
