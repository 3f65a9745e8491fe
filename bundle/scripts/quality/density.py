"""Optical densities of colors: what light a stain or an ink takes away, color by color.

Colors are rounded to `LEVELS` steps a channel, so that whatever is asked of a color is asked once and looked up for all
pixels of a slide.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEVELS = 32
_SHIFT = 3
_WHITE = 245.0
"""Glass as scanners show it, of 255."""


def color_index(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """The rounded color of each pixel as an index into `color_densities`.

    Args:
        picture: (rows, cols, 3) uint8 RGB.

    Returns:
        (rows, cols) int32.
    """
    steps = (picture >> _SHIFT).astype(np.int32)
    index: npt.NDArray[np.int32] = (steps[..., 0] * LEVELS + steps[..., 1]) * LEVELS + steps[..., 2]
    return index


def color_densities() -> npt.NDArray[np.float64]:
    """Optical density of each rounded color: minus the decimal logarithm of the light that is left (Beer and Lambert).

    Returns:
        (`LEVELS` ** 3, 3) float64 of red, green and blue, at least 0.
    """
    steps = (np.arange(LEVELS) + 0.5) * (1 << _SHIFT)
    density = np.maximum(0.0, -np.log10(steps / _WHITE))
    grid = np.stack(np.meshgrid(density, density, density, indexing="ij"), axis=-1)
    return np.asarray(grid.reshape(-1, 3))


def chromatic_coordinates(
    densities: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Hue-saturation-density of densities (van der Laak et al., Cytometry 39, 2000).

    However much there is of a dye, its place (x, y) is the same, and (0, 0) is gray.

    Args:
        densities: (N, 3) float64.

    Returns:
        Mean density, x and y, each (N,); x and y are 0 where the density is.
    """
    red, green, blue = densities.T
    mean = densities.mean(axis=1)
    divisor = np.where(mean > 0, mean, 1.0)
    x = np.where(mean > 0, red / divisor - 1, 0.0)
    y = (green - blue) / (np.sqrt(3) * divisor)
    return mean, x, y
