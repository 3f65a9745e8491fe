"""An OME-TIFF whose reduced levels are in SubIFDs, as Bio-Formats writes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile


def write_ome(
    path: Path, levels: Sequence[npt.NDArray[np.uint8]], compression: str | None = "lzw", photometric: str = "rgb"
) -> Path:
    """Write levels, finest first; returns ``path``."""
    options: dict[str, Any] = {"tile": (128, 128), "photometric": photometric, "compression": compression}
    metadata = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(levels[0], subifds=len(levels) - 1, metadata=metadata, **options)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, **options)
    return path
