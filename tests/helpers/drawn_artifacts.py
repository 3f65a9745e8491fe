"""Slides in small with drawn artifacts: ink over tissue by Beer and Lambert's law, as a pen's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

INKS = {
    "black": (1.0, 1.0, 1.0),
    "blue": (1.0, 0.55, 0.15),
    "light blue": (0.7, 0.3, 0.05),
    "green": (0.9, 0.35, 0.75),
    "turquoise": (0.8, 0.25, 0.25),
    "red": (0.05, 0.8, 0.75),
    "orange": (0.03, 0.35, 0.9),
    "brown": (0.35, 0.6, 0.9),
    "yellow": (0.02, 0.08, 0.7),
}
"""Optical densities of inks in red, green and blue."""

HEMATOXYLIN, EOSIN = np.array([0.65, 0.70, 0.29]), np.array([0.07, 0.99, 0.11])
"""Ruifrok and Johnston (2001)."""

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def disk(shape: tuple[int, int], center: tuple[float, float], radii: tuple[float, float]) -> Mask:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    inside: Mask = ((rows - center[0]) / radii[0]) ** 2 + ((cols - center[1]) / radii[1]) ** 2 <= 1
    return inside


def draw_slide(shape: tuple[int, int], tissue: Mask, strength: float = 1.0, seed: int = 0) -> Picture:
    """Glass with stained tissue whose two dyes vary from place to place."""
    rng = np.random.default_rng(seed)
    dyes = [ndimage.gaussian_filter(rng.normal(size=shape), scale) * scale * 3.5 for scale in (2, 9)]
    density = (0.25 + 0.05 * dyes[0])[..., None] * HEMATOXYLIN + (0.2 + 0.05 * dyes[1])[..., None] * EOSIN
    density = np.maximum(density, 0.01) * strength * tissue[..., None]
    return to_picture(density, rng)


def to_picture(density: npt.NDArray[np.float64], rng: np.random.Generator) -> Picture:
    noisy = 243 * 10.0**-density + rng.normal(0, 1.2, density.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def stroke(shape: tuple[int, int], start: tuple[int, int], end: tuple[int, int], width: float) -> Mask:
    """A straight stroke from one (row, col) to another."""
    rows, cols = np.indices(shape)
    direction = np.subtract(end, start, dtype=np.float64)
    length = float(np.hypot(*direction))
    along = ((rows - start[0]) * direction[0] + (cols - start[1]) * direction[1]) / length
    across = ((rows - start[0]) * direction[1] - (cols - start[1]) * direction[0]) / length
    inside: Mask = (np.abs(across) <= width / 2) & (along >= 0) & (along <= length)
    return inside


def add_ink(picture: Picture, where: Mask, ink: tuple[float, float, float], amount: float = 0.8) -> Picture:
    """The picture with ink on it, its rim soft."""
    amounts = ndimage.gaussian_filter(where.astype(np.float64), 0.8) * amount
    density = -np.log10(np.maximum(picture, 1) / 243.0) + amounts[..., None] * np.array(ink)
    return np.clip(np.rint(243 * 10.0**-density), 0, 255).astype(np.uint8)
