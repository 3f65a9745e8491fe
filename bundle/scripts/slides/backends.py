"""Which reader decodes the pixels of a slide: cuCIM where it is known to do so right, else OpenSlide."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .cucim_backend import CucimPixels, NotForCucimError
from .levels import PHILIPS
from .openslide_backend import OpenSlidePixels
from .tile_layout import read_tile_layouts

_CUCIM_SUFFIXES = (".tif", ".tiff", ".svs")


class Pixels(Protocol):
    """What a backend offers: pixels of a level that lie inside the slide."""

    name: str

    def read(self, location: tuple[int, int], size: tuple[int, int], level: int) -> npt.NDArray[np.uint8]:
        """Return (height, width, 3) uint8; (row, col) and (height, width) in pixels of a level, as the file counts."""

    def close(self) -> None:
        """Close the file."""


def choose_backend(
    path: Path,
    from_openslide: OpenSlidePixels,
    backend: str,
    level_shapes: tuple[tuple[int, int], ...],
    is_exact: Mapping[int, bool],
) -> tuple[Pixels, str | None]:
    """Choose what decodes a slide.

    Args:
        path: the slide.
        from_openslide: its pixels by OpenSlide, which also decodes what cuCIM leaves.
        backend: see `slide.open_slide`.
        level_shapes: (height, width) of each level of the file.
        is_exact: the levels that are read, as the file counts them, and whether their shape is an exact fraction of
            level 0; the others are OpenSlide's.

    Returns:
        What decodes the exact levels; and why ``auto`` does not take cuCIM for a file with one of its suffixes, in
        words that are the same for all such files, else None.

    Raises:
        InputError: if the backend asked for does not read the slide, or OpenSlide would show a level that is its own
            otherwise than it is stored.
    """
    layouts = read_tile_layouts(path, level_shapes, from_openslide.vendor == PHILIPS)
    pixels: Pixels = from_openslide
    fault = None
    if backend == "cucim" or (backend == "auto" and path.suffix.lower() in _CUCIM_SUFFIXES):
        try:
            pixels = CucimPixels(path, level_shapes, layouts)
        except (ImportError, OSError) as error:
            if backend == "cucim":
                raise InputError(f"{path}: cuCIM does not read it ({error}); use --backend openslide") from error
            fault = _kind_of(error, path)
    for level, layout in enumerate(layouts):
        is_openslides = level in is_exact and (pixels is from_openslide or not is_exact[level])
        if layout.openslide_fault is not None and is_openslides:
            pixels.close()
            raise InputError(
                f"{path}: OpenSlide shows level {level} otherwise than it is stored: {layout.openslide_fault}; "
                "convert the slide to a pyramidal TIFF of 8-bit RGB"
            )
    return pixels, fault


def _kind_of(error: Exception, path: Path) -> str | None:
    """Why cuCIM does not read a file, without what is the file's own; None where there is no cuCIM for the system."""
    if isinstance(error, ImportError) and sys.platform != "linux":
        return None
    return error.kind if isinstance(error, NotForCucimError) else str(error).replace(str(path), "it")
