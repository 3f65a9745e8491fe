"""Slides of one gray, for steps that look at shape and resolution only."""

from __future__ import annotations

import numpy as np
import tifffile

FLAT_SHAPE = (1500, 2300)


def write_flat_slide(path, shape=FLAT_SHAPE, mpp=0.243):
    """Write a tiled TIFF of one level; ``mpp`` None leaves the resolution out."""
    path.parent.mkdir(exist_ok=True)
    resolution = {} if mpp is None else {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(
        path,
        np.full((*shape, 3), 240, np.uint8),
        tile=(256, 256),
        photometric="rgb",
        compression="zlib",
        **resolution,
    )
    return path
