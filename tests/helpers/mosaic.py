"""A pyramidal TIFF made of real 40x patches. A mosaic, not a slide: its seams are not tissue."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from scripts.slides.pyramid import write_pyramid

PATCH_SIDE = 256
MARGIN = (173, 411)
"""(rows, cols) of white around the patches, in pixels."""


def write_mosaic(path: Path, patches: Path, grid_shape: tuple[int, int] = (7, 10), mpp: float = 0.243) -> Path:
    """Write a mosaic with a white margin.

    Args:
        path: the TIFF to write.
        patches: ``camelyon16_40x/patches.zip``, JPEGs of 256 x 256 pixels.
        grid_shape: (rows, cols) of patches, taken in the archive's order.
        mpp: µm per pixel of the patches.

    Returns:
        ``path``.
    """
    rows, cols = grid_shape
    image = np.full((rows * PATCH_SIDE + 2 * MARGIN[0], cols * PATCH_SIDE + 2 * MARGIN[1], 3), 245, dtype=np.uint8)
    with zipfile.ZipFile(patches) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[: rows * cols]
        for index, name in enumerate(names):
            top, left = (MARGIN[axis] + value * PATCH_SIDE for axis, value in enumerate(divmod(index, cols)))
            with Image.open(io.BytesIO(archive.read(name))) as patch:
                image[top : top + PATCH_SIDE, left : left + PATCH_SIDE] = np.asarray(patch.convert("RGB"))
    write_pyramid(path, image, mpp)
    return path
