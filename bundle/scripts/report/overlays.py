"""What is laid over a slide in small: the map in colors, the truth's outline, a scale bar. Arrays in, text out."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..maps.palette import heat_palette
from .embedding import highest_of_blocks, png_uri

SIDE = 800
"""Longest side of a slide in small, and of what lies over it, in pixels."""

HEAT_BYTES = 40_000
"""Bound of a heatmap or a tissue outline as PNG."""

OUTLINE_BYTES = 24_000
"""Bound of a truth outline as SVG path."""

_STEPS = 64
_TISSUE = ((255, 255, 255, 0), (120, 116, 128, 90))


class Layer(NamedTuple):
    """A picture over a slide, whose upper left corner it shares.

    Attributes:
        uri: a data URI.
        width: of the picture, as a share of the slide's; above 1 where its last column reaches beyond.
        height: likewise.
        is_coarse: whether its pixels should be seen as squares.
    """

    uri: str
    width: float
    height: float
    is_coarse: bool


class ScaleBar(NamedTuple):
    """A length on a picture: its label, such as "2 mm", and its share of the picture's width."""

    label: str
    share: float


def heat_layer(prob_map: npt.NDArray[np.floating[Any]], stride: int, slide_shape: tuple[int, int]) -> Layer:
    """A probability map as a layer: colored by `maps.palette.heat_palette`, transparent outside of the tissue.

    Args:
        prob_map: (rows, cols) floating in [0, 1].
        stride: level-0 pixels per map pixel.
        slide_shape: (height, width) in level-0 pixels.

    Returns:
        The layer; where pixels become one, the highest probability shows.
    """
    # rounded up, so that 0 alone is outside
    return _layer(np.ceil(prob_map * (_STEPS - 1)).astype(np.uint8), heat_palette(_STEPS), stride, slide_shape)


def tissue_layer(prob_map: npt.NDArray[np.floating[Any]], stride: int, slide_shape: tuple[int, int]) -> Layer:
    """Where a map has values, in gray: what a slide looks like when its pixels are not at hand."""
    indices = (prob_map > 0).astype(np.uint8)
    return _layer(indices, np.array(_TISSUE, dtype=np.uint8), stride, slide_shape)


def class_layer(
    classes: npt.NDArray[np.uint8], rgba: npt.NDArray[np.uint8], stride: int, slide_shape: tuple[int, int]
) -> Layer:
    """Classes of map pixels as a layer; where pixels become one, the highest class shows.

    Args:
        classes: (rows, cols) uint8.
        rgba: (N, 4) uint8, the color of each class.
        stride: level-0 pixels per map pixel.
        slide_shape: (height, width) in level-0 pixels.
    """
    return _layer(classes, rgba, stride, slide_shape)


def _layer(
    indices: npt.NDArray[np.uint8], rgba: npt.NDArray[np.uint8], stride: int, slide_shape: tuple[int, int]
) -> Layer:
    factor = -(-max(indices.shape) // SIDE)
    small = highest_of_blocks(indices, factor)
    # a multiple of 4, since png_uri may have to shrink further and pads then
    small = np.pad(small, [(0, -side % 4) for side in small.shape])
    height, width = (side * factor * stride / full for side, full in zip(small.shape, slide_shape, strict=True))
    return Layer(png_uri(small, rgba, HEAT_BYTES), width, height, max(small.shape) < SIDE // 2)


def outline_path(mask: npt.NDArray[np.bool_], stride: int, slide_shape: tuple[int, int]) -> str | None:
    """The outline of a tumor mask as SVG path in a frame 1000 units wide.

    Args:
        mask: (rows, cols) bool.
        stride: level-0 pixels per mask pixel.
        slide_shape: (height, width) in level-0 pixels.

    Returns:
        The path, at most `OUTLINE_BYTES` long: smoothed as far as that takes; None for a mask without tumor.
    """
    import shapely
    from skimage import measure

    if not mask.any():
        return None
    factor = -(-max(mask.shape) // SIDE)
    small = np.pad(highest_of_blocks(mask.astype(np.uint8), factor), 1)
    unit = 1000 * stride * factor / slide_shape[1]
    # a padded pixel's center (r, c) lies at (r - 1 + 0.5) in pixels of the unpadded mask
    rings = np.array([shapely.Polygon((ring - 0.5) * unit) for ring in measure.find_contours(small, 0.5)])
    tolerance = 0.4 * unit
    while True:
        path = "".join(_ring_path(ring) for ring in shapely.simplify(rings, tolerance))
        if len(path) <= OUTLINE_BYTES:
            return path
        tolerance *= 2
        if tolerance > 4 * unit:  # specks go first
            rings = rings[np.argsort(shapely.area(rings))][len(rings) // 2 :]


def _ring_path(ring: Any) -> str:
    points_xy = [f"{col:.1f} {row:.1f}" for row, col in ring.exterior.coords[:-1]]
    return f"M{'L'.join(points_xy)}Z"


def scale_bar(width_um: float, largest_share: float = 0.25) -> ScaleBar:
    """A scale bar of a round length: 1, 2 or 5 times a power of ten.

    Args:
        width_um: of the picture, in µm, positive.
        largest_share: of the picture's width that the bar may take.

    Returns:
        The longest such bar.
    """
    limit = width_um * largest_share
    power = 10.0 ** math.floor(math.log10(limit))
    length_um = max(factor * power for factor in (1, 2, 5) if factor * power <= limit)
    label = f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm"
    return ScaleBar(label, length_um / width_um)
