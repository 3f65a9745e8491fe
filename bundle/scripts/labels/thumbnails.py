"""Slides in small with the points sampled from them, on one sheet to be looked at before training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from ..files import atomic_path
from .regions import Regions

SIDE = 280
"""Longest side of a thumbnail in pixels."""

_TITLE, _GAP = 14, 6
_TUMOR, _NORMAL = (214, 64, 26), (20, 90, 200)


def shrink(overview: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A slide's overview, (rows, cols, 3) uint8, brought to `SIDE` px at its longest side."""
    scale = SIDE / max(overview.shape[:2])
    size_xy = (max(1, round(overview.shape[1] * scale)), max(1, round(overview.shape[0] * scale)))
    return np.asarray(Image.fromarray(overview).resize(size_xy, Image.Resampling.BOX))


def mark_points(
    thumbnail: npt.NDArray[np.uint8], slide_shape: tuple[int, int], regions: Regions
) -> npt.NDArray[np.uint8]:
    """Draw a dot for each region's center: red where it is tumor, blue where it is normal.

    Args:
        thumbnail: (h, w, 3) uint8 of the whole slide.
        slide_shape: (height, width) in level-0 pixels.
        regions: the slide's.

    Returns:
        (h, w, 3) uint8, paler than the thumbnail but for the dots.
    """
    marked = (255 - (255 - thumbnail.astype(np.float32)) * 0.6).astype(np.uint8)
    places = (regions.centers * np.array(thumbnail.shape[:2]) / np.array(slide_shape)).astype(np.int64)
    for kind, color in ((0, _NORMAL), (1, _TUMOR)):
        rows, cols = places[regions.labels[:, 1, 1] == kind].T
        for row_step in (0, 1):
            for col_step in (0, 1):
                marked[
                    np.minimum(rows + row_step, marked.shape[0] - 1), np.minimum(cols + col_step, marked.shape[1] - 1)
                ] = color
    return marked


def write_contact_sheet(path: str | Path, pictures: Sequence[npt.NDArray[np.uint8]], titles: Sequence[str]) -> None:
    """Write pictures side by side, each below its title, as JPEG.

    Args:
        path: the file.
        pictures: (h, w, 3) uint8 each, at most `SIDE` px a side.
        titles: one for each.

    Raises:
        InputError: if it cannot be written.
    """
    num_cols = math.ceil(math.sqrt(len(pictures)))
    num_rows = math.ceil(len(pictures) / num_cols)
    width, height = SIDE + _GAP, SIDE + _TITLE + _GAP
    sheet = Image.new("RGB", (num_cols * width + _GAP, num_rows * height + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        row, col = divmod(index, num_cols)
        left, top = _GAP + col * width, _GAP + row * height
        draw.text((left, top), title[: SIDE // 6], fill="black")
        sheet.paste(Image.fromarray(picture), (left, top + _TITLE))
    with atomic_path(path) as temporary:
        sheet.save(temporary, quality=88)
