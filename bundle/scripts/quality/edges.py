"""Black background, dark edges and coverslip edges: gray things with straight or known places. Arrays in, masks out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy

_BLACK = 6
"""Brightest channel, of 255, up to which a pixel is black: what was never scanned is 0, more only by compression."""

_LEAST_BLACK_MM2 = 0.25

_DARK, _LEAST_COLOR = 153, 15
"""Brightest channel of what is dark, and how much its channels must differ to have a color, of 255."""

_LEAST_EDGE_MM2 = 0.05
_LENGTH_TO_DEPTH = 4.0
"""A dark edge is so many times longer along the picture's border than it is deep; a stroke of a pen is not."""

_LEAST_LINE_UM = 3000.0
_LINE_CONTRAST, _LINE_COLOR = 10.0, 26
"""How much darker than the glass beside it a coverslip's edge is, and how much its channels may differ, of 255."""

_GLASS_UM = 800.0
"""Side of the square that tells how bright the glass around a line is."""

_LENGTH_TO_WIDTH = 12.0
_MOST_SWAY_UM = 100.0
"""Standard deviation of a line's pixels from a straight one; hairs and scratches bend."""

_AROUND = np.ones((3, 3), dtype=bool)


class Light(NamedTuple):
    """The brightest and the darkest channel of each pixel of a picture, (rows, cols) uint8 both."""

    brightest: npt.NDArray[np.uint8]
    darkest: npt.NDArray[np.uint8]


def light_of(picture: npt.NDArray[np.uint8]) -> Light:
    """The brightest and the darkest channel of an (rows, cols, 3) uint8 RGB picture."""
    red, green, blue = (picture[..., channel] for channel in range(3))
    return Light(np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue))


def find_black(light: Light, pixel_um: float) -> npt.NDArray[np.bool_]:
    """Find black background: areas that a scanner left out and wrote as zeros.

    Args:
        light: of `light_of`.
        pixel_um: side of a pixel in µm.

    Returns:
        (rows, cols) bool.
    """
    black = light.brightest <= _BLACK
    if not black.any():
        return black
    labels, _ = scipy.ndimage.label(black)
    is_large = np.bincount(labels.ravel()) * pixel_um**2 >= _LEAST_BLACK_MM2 * 1e6
    is_large[0] = False
    large: npt.NDArray[np.bool_] = is_large[labels]
    return large


def find_dark_edges(light: Light, pixel_um: float, black: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Find dark gray bands along the border of a picture: the slide's or the holder's edge.

    Args:
        light: of `light_of`.
        pixel_um: side of a pixel in µm.
        black: (rows, cols) bool, of `find_black`; it counts to the band but is not returned.

    Returns:
        (rows, cols) bool.
    """
    dark = (light.brightest < _DARK) & (light.brightest - light.darkest < _LEAST_COLOR)
    dark &= ~black
    border = np.concatenate([dark[0], dark[-1], dark[:, 0], dark[:, -1]])
    if not border.any():
        return np.zeros_like(dark)
    labels, count = scipy.ndimage.label(dark, _AROUND)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    on_border = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    lengths = np.bincount(on_border, minlength=count + 1)
    is_edge = (lengths**2 >= _LENGTH_TO_DEPTH * areas) & (areas * pixel_um**2 >= _LEAST_EDGE_MM2 * 1e6)
    is_edge[0] = False
    edges: npt.NDArray[np.bool_] = is_edge[labels]
    return edges


def find_coverslip_edges(light: Light, pixel_um: float, excluded: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Find long straight gray lines on glass, as the edges of coverslips are.

    Args:
        light: of `light_of`.
        pixel_um: side of a pixel in µm.
        excluded: (rows, cols) bool, tissue and other artifacts.

    Returns:
        (rows, cols) bool.
    """
    found = np.zeros(excluded.shape, dtype=np.bool_)
    if max(found.shape) * pixel_um < _LEAST_LINE_UM:
        return found
    gray = light.darkest.astype(np.float32)
    glass = (~excluded).astype(np.float32)
    side = max(3, round(_GLASS_UM / pixel_um))
    in_reach, share = (scipy.ndimage.uniform_filter(values, side) for values in (gray * glass, glass))
    around = in_reach / np.maximum(share, 1e-3)
    is_gray = light.brightest - light.darkest < _LINE_COLOR
    line = (around - gray > _LINE_CONTRAST) & is_gray & ~excluded
    labels, _ = scipy.ndimage.label(line, _AROUND)
    for number, part in enumerate(scipy.ndimage.find_objects(labels), start=1):
        sides = [axis.stop - axis.start for axis in part]
        if float(np.hypot(*sides)) * pixel_um >= _LEAST_LINE_UM:
            is_own = labels[part] == number
            if _is_straight(is_own, pixel_um):
                found[part] |= is_own
    return found


def _is_straight(mask: npt.NDArray[np.bool_], pixel_um: float) -> bool:
    """Whether the pixels of a mask lie along a straight line."""
    points = np.argwhere(mask).astype(np.float64)
    points -= points.mean(axis=0)
    _, deviations, axes = np.linalg.svd(points, full_matrices=False)
    length = float(np.ptp(points @ axes[0])) + 1
    sway = float(deviations[1]) / np.sqrt(len(points)) * pixel_um
    return length * pixel_um >= _LEAST_LINE_UM and length**2 >= _LENGTH_TO_WIDTH * len(points) and sway <= _MOST_SWAY_UM
