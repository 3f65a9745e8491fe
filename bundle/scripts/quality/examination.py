"""All artifacts of a slide, from its overview and a few places of its finest pixels."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..slides.slide import MODEL_MPP, Slide
from .appearance import measure_slide
from .classes import ORDER, Artifact, shares
from .edges import find_black, find_coverslip_edges, find_dark_edges, light_of
from .pen import find_pen
from .places import choose_places, read_place
from .sharpness import COARSEST_UM, PLACE_SIDE, SHARPNESS_UM, Sharpness, find_blur

_PIXEL_UM = 15.552
_MOST_PIXELS = 1_500_000
"""Artifacts are looked for at about the resolution at which the limits were chosen, stride 64 at 0.243 µm, and more
coarsely on slides of more such pixels, since time is short."""

_NUM_LOOKS = 16
"""At so many places it is measured what a slide looks like."""


class Examination(NamedTuple):
    """What was found on a slide.

    Attributes:
        classes: (rows, cols) uint8 of `classes.Artifact`, as the overview.
        about: for sidecars: ``artifacts`` (see `classes.shares`) and ``sharpness``.
    """

    classes: npt.NDArray[np.uint8]
    about: dict[str, Any]


def find_artifacts(
    overview: npt.NDArray[np.uint8], tissue: npt.NDArray[np.bool_], pixel_um: float
) -> npt.NDArray[np.uint8]:
    """Find all artifacts that an overview shows, which is all but blur.

    Args:
        overview: (rows, cols, 3) uint8 RGB.
        tissue: (rows, cols) bool foreground; a coverslip's edge is looked for beside it.
        pixel_um: side of an overview pixel in µm.

    Returns:
        (rows, cols) uint8 of `classes.Artifact`.
    """
    factor = max(1, round(_PIXEL_UM / pixel_um), math.ceil(math.sqrt(tissue.size / _MOST_PIXELS)))
    small = np.asarray(Image.fromarray(overview).reduce(factor))
    small_tissue = np.asarray(Image.fromarray(tissue.astype(np.uint8) * np.uint8(255)).reduce(factor)) > 0
    small_um = factor * pixel_um
    light = light_of(small)
    found = {Artifact.BLACK: find_black(light, small_um)}
    found[Artifact.DARK_EDGE] = find_dark_edges(light, small_um, found[Artifact.BLACK])
    known = found[Artifact.BLACK] | found[Artifact.DARK_EDGE]
    found[Artifact.PEN] = find_pen(small, small_um, _with_rim(known))
    excluded = _with_rim(known | found[Artifact.PEN] | small_tissue)
    found[Artifact.COVERSLIP_EDGE] = find_coverslip_edges(light, small_um, excluded)
    classes = np.zeros(small_tissue.shape, dtype=np.uint8)
    for artifact in reversed(ORDER):
        if artifact in found:
            classes[found[artifact]] = artifact
    if not classes.any():
        return np.zeros(tissue.shape, dtype=np.uint8)
    rows, cols = tissue.shape
    return np.ascontiguousarray(classes.repeat(factor, axis=0).repeat(factor, axis=1)[:rows, :cols])


def examine(slide: Slide, overview: npt.NDArray[np.uint8], tissue: npt.NDArray[np.bool_], stride: int) -> Examination:
    """Find the artifacts of an open slide.

    Args:
        slide: the slide; a few places of its tissue are read to measure how sharp it is.
        overview: (rows, cols, 3) uint8 RGB, see `slides.slide.Slide.read_overview`.
        tissue: (rows, cols) bool foreground.
        stride: level-0 pixels per overview pixel.

    Returns:
        The artifacts.

    Raises:
        InputError: if a tile is damaged.
    """
    classes = find_artifacts(overview, tissue, stride * (slide.mpp or MODEL_MPP))
    sharpness = _sharpness(slide, tissue & (classes == Artifact.NONE), stride)
    classes[sharpness.mask] = Artifact.BLUR
    measured = sharpness._asdict()
    del measured["mask"]
    return Examination(classes, {"artifacts": measured_shares(slide, classes, tissue), "sharpness": measured})


def measured_shares(slide: Slide, classes: npt.NDArray[np.uint8], tissue: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Shares of the classes of artifacts, see `classes.shares`; blur is None where it cannot be measured."""
    found: dict[str, Any] = shares(classes, tissue)
    if not _is_measured(slide):
        found[Artifact.BLUR.label] = None
    return found


def _is_measured(slide: Slide) -> bool:
    """Whether the blur of a slide can be measured: not of one that is too coarse, or does not say its resolution."""
    return slide.mpp is not None and slide.mpp <= COARSEST_UM


def _sharpness(slide: Slide, tissue: npt.NDArray[np.bool_], stride: int) -> Sharpness:
    if slide.mpp is None or not _is_measured(slide):
        return Sharpness(0, 0, None, np.zeros(tissue.shape, dtype=np.bool_))
    downsample = max(1.0, SHARPNESS_UM / slide.mpp)

    def read(center: tuple[int, int]) -> npt.NDArray[np.uint8]:
        return read_place(slide, center, stride, PLACE_SIDE, downsample)

    return find_blur(tissue, read)


def slide_appearance(
    slide: Slide, tissue: npt.NDArray[np.bool_], stride: int, model_mpp: float
) -> dict[str, float | None] | None:
    """What an open slide looks like to a network.

    Args:
        slide: the slide; a few places of its tissue are read.
        tissue: (rows, cols) bool foreground.
        stride: level-0 pixels per mask pixel.
        model_mpp: µm per pixel that the network sees.

    Returns:
        See `appearance.measure_slide`; None without tissue or resolution. A slide that is enlarged has no sharpness:
        it would be that of the enlargement.

    Raises:
        InputError: if a tile is damaged.
    """
    places = choose_places(tissue, _NUM_LOOKS)
    if not places or slide.mpp is None:
        return None
    downsample = slide.model_downsample(model_mpp)
    found = measure_slide(read_place(slide, place.center, stride, PLACE_SIDE, downsample) for place in places)
    return {**found, "sharpness": None} if downsample < 1 else found


def _with_rim(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The mask and two pixels around it, in which it mixes with what is beside it."""
    from scipy import ndimage

    return np.asarray(ndimage.binary_dilation(mask, np.ones((3, 3), dtype=bool), iterations=2)) if mask.any() else mask
