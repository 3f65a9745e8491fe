"""Detections at full resolution: what the network saw there, and what lies around it."""

from __future__ import annotations

from typing import NamedTuple

from ..geometry import PATCH_SIZE
from ..slides.slide import Slide
from .embedding import jpeg_uri
from .overlays import ScaleBar, scale_bar

CROP_BYTES = 18_000
"""Bound of one picture as JPEG."""

WIDER = 4
"""How many times wider the second picture is: 224 px at 0.972 µm, as through a 10x objective."""


class Crop(NamedTuple):
    """The surroundings of a detection in two pictures, both `PATCH_SIZE` px wide and high.

    Attributes:
        near: data URI of what the network saw, at its resolution (0.243 µm per pixel, 40x).
        near_bar: scale of it.
        near_um: its side in µm.
        wide: data URI of a field `WIDER` times as wide, with the same center.
        wide_bar: scale of it.
        wide_um: its side in µm.
    """

    near: str
    near_bar: ScaleBar
    near_um: float
    wide: str
    wide_bar: ScaleBar
    wide_um: float


def read_crop(slide: Slide, row: int, col: int) -> Crop:
    """Read the surroundings of a point; white beyond the slide.

    Args:
        slide: an open slide with a resolution.
        row: level-0 row of the center.
        col: level-0 column of the center.

    Returns:
        Both pictures.

    Raises:
        InputError: if the slide has no resolution, or a tile is damaged.
    """
    downsample = slide.model_downsample()
    near_um = PATCH_SIZE * downsample * slide.require_mpp()
    near, wide = (_read(slide, row, col, downsample * factor) for factor in (1, WIDER))
    return Crop(near, scale_bar(near_um, 0.4), near_um, wide, scale_bar(WIDER * near_um, 0.4), WIDER * near_um)


def _read(slide: Slide, row: int, col: int, downsample: float) -> str:
    half = PATCH_SIZE * downsample / 2
    pixels = slide.read_region((row - half, col - half), (PATCH_SIZE, PATCH_SIZE), downsample)
    return jpeg_uri(pixels, CROP_BYTES)
