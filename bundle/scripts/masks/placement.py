"""Where a truth lies on its slide: masks of the part that was scanned, and outlines that miss the tissue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..files import read_json
from ..geometry import level0_to_map, map_shape, map_to_level0
from ..slides.warnings import warn_once
from .strides import one_stride

Bounds = tuple[int, int, int, int]
"""(top, left, bottom, right) of the part of a slide that was scanned, level-0 frame, see `slides.slide.Slide`."""

_MOSTLY, _HARDLY = 0.5, 0.1
_NUM_POINTS = 10_000  # of a tumor, which suffice for a share


def placed_shape(
    path: Path, shapes: Sequence[tuple[int, int]], slide_shape: tuple[int, int], bounds: Bounds | None
) -> tuple[int, int]:
    """Shape of what a mask shows: the slide, or the part that was scanned where its shape fits this alone.

    Args:
        path: the mask, whose sidecar counts first.
        shapes: (rows, cols) of its levels.
        slide_shape: (height, width) in level-0 pixels.
        bounds: the part that was scanned, or None where it is not known.

    Returns:
        (height, width) in level-0 pixels.
    """
    if bounds is None:
        return slide_shape
    part = bounds[2] - bounds[0], bounds[3] - bounds[1]
    sidecar = path.with_suffix(".json")
    content = read_json(sidecar) if sidecar.is_file() else None
    if isinstance(content, dict) and {"shape", "stride"} <= content.keys():
        return part if content["shape"] == list(part) else slide_shape
    if any(one_stride(shape, slide_shape, 1) for shape in shapes):
        return slide_shape
    return part if any(one_stride(shape, part, 1) for shape in shapes) else slide_shape


def place(
    path: Path, mask: npt.NDArray[np.bool_], stride: int, bounds: Bounds, slide_shape: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Put the mask of the scanned part where this lies on the slide, and tell so.

    Args:
        path: the mask's file.
        mask: (rows, cols) bool.
        stride: level-0 pixels per pixel of it.
        bounds: the part that was scanned.
        slide_shape: (height, width) in level-0 pixels.

    Returns:
        (rows, cols) bool of `geometry.map_shape` for the slide, each pixel that of ``mask`` at the level-0 point it
        stands for.
    """
    warn_once(
        f"{path}: its shape is that of the scanned part of the slide, so it is placed there, at row {bounds[0]} and "
        f"column {bounds[1]} of level 0"
    )
    index, inside = [], []
    for num, side, start in zip(map_shape(slide_shape, stride), mask.shape, bounds[:2], strict=True):
        found = level0_to_map(map_to_level0(np.arange(num), stride) - start, stride)
        index.append(found.clip(0, side - 1))
        inside.append((found >= 0) & (found < side))
    placed: npt.NDArray[np.bool_] = mask[np.ix_(*index)] & inside[0][:, None] & inside[1]
    return placed


class Ground(NamedTuple):
    """Where tissue is on a slide, and where the coordinates of its GeoJSON begin.

    Attributes:
        tissue: (rows, cols) bool, true is tissue.
        stride: level-0 pixels per pixel of it.
        bounds_origin: (row, col) of the part that was scanned, level-0 frame.
        origin: (row, col) at which GeoJSON was taken to begin: that, or (0, 0).
    """

    tissue: npt.NDArray[np.bool_]
    stride: int
    bounds_origin: tuple[int, int]
    origin: tuple[int, int]

    def share(self, points: npt.NDArray[np.int64]) -> float:
        """Which share of (N, 2) level-0 points, (row, col), lies on tissue; 0 of none."""
        rows, cols = level0_to_map(points, self.stride).T
        is_on = (rows >= 0) & (cols >= 0) & (rows < self.tissue.shape[0]) & (cols < self.tissue.shape[1])
        return int(np.count_nonzero(self.tissue[rows[is_on], cols[is_on]])) / max(1, len(points))


def doubt(path: Path, tumor: npt.NDArray[np.bool_], stride: int, ground: Ground) -> str | None:
    """Why the tumor of a truth seems to lie at the wrong place: most of it misses the tissue.

    Args:
        path: the file of the truth.
        tumor: (rows, cols) bool of it.
        stride: level-0 pixels per pixel of ``tumor``.
        ground: the slide.

    Returns:
        One line for people, or None if there is no doubt.
    """
    pixels = np.argwhere(tumor)
    points = map_to_level0(pixels[:: max(1, len(pixels) // _NUM_POINTS)], stride)
    share = ground.share(points)
    if not len(points) or not ground.tissue.any() or share >= _MOSTLY:
        return None
    is_geojson = path.suffix.lower() in (".json", ".geojson")
    if is_geojson and ground.bounds_origin != (0, 0):
        choice, other = ("bounds", ground.bounds_origin) if ground.origin == (0, 0) else ("slide", (0, 0))
        there = ground.share(points + np.subtract(other, ground.origin))
        if there >= max(_MOSTLY, 2 * share):
            return (
                f"{path}: {share:.0%} of its tumor lies on tissue, and {there:.0%} would if its coordinates began at "
                f"row {other[0]} and column {other[1]}; check where they begin, and give --geojson_origin {choice}"
            )
    if share > _HARDLY:
        return None
    said = f"{path}: {share:.0%} of its tumor lies on tissue; check that it belongs to this slide, in level-0 pixels"
    return f"{said}, and where its coordinates begin (--slides, --geojson_origin)" if is_geojson else said
