"""Detections at full resolution: what the network saw there, and what lies around it."""

from __future__ import annotations

from typing import NamedTuple

from ..geometry import PATCH_SIZE
from ..maps.files import Patch
from ..slides.slide import MODEL_MPP, Slide
from .embedding import jpeg_uri
from .overlays import ScaleBar, scale_bar

CROP_BYTES = 18_000
"""Bound of one picture as JPEG."""

CROP_SIDE = 224
"""Side of a picture as it is shown, in pixels; that of a patch has the patch's own, at most twice as many."""

WIDER = 4
"""How many times wider the second picture is: of 224 px at 0.243 µm it is as through a 10x objective."""

USUAL_PATCH = Patch(MODEL_MPP, PATCH_SIZE)
"""What is shown of a detection where the map does not tell what its network saw."""


class Crop(NamedTuple):
    """The surroundings of a detection in two square pictures.

    Attributes:
        near: data URI of what the network saw, at its resolution.
        near_bar: scale of it.
        near_um: its side in µm.
        wide: data URI of a field `WIDER` times as wide, with the same center, `CROP_SIDE` px wide and high.
        wide_bar: scale of it.
        wide_um: its side in µm.
    """

    near: str
    near_bar: ScaleBar
    near_um: float
    wide: str
    wide_bar: ScaleBar
    wide_um: float


def read_crop(slide: Slide, row: int, col: int, patch: Patch | None = None) -> Crop:
    """Read the surroundings of a point; white beyond the slide.

    Args:
        slide: an open slide with a resolution.
        row: level-0 row of the center.
        col: level-0 column of the center.
        patch: what the network saw; `USUAL_PATCH` if None.

    Returns:
        Both pictures.

    Raises:
        InputError: if the slide has no resolution, or a tile is damaged.
    """
    patch = patch or USUAL_PATCH
    side = patch.size * slide.model_downsample(patch.mpp)
    near_um = side * slide.require_mpp()
    near = _read(slide, row, col, side, min(patch.size, 2 * CROP_SIDE))
    wide = _read(slide, row, col, WIDER * side, CROP_SIDE)
    return Crop(near, scale_bar(near_um, 0.4), near_um, wide, scale_bar(WIDER * near_um, 0.4), WIDER * near_um)


def _read(slide: Slide, row: int, col: int, side: float, num_pixels: int) -> str:
    """A square of ``side`` level-0 pixels in ``num_pixels`` pixels."""
    pixels = slide.read_region((row - side / 2, col - side / 2), (num_pixels, num_pixels), side / num_pixels)
    return jpeg_uri(pixels, CROP_BYTES)
