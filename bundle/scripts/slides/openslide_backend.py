"""OpenSlide, which describes every slide and decodes the formats that cuCIM does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import openslide

from ..errors import InputError

_WHITE = 255
_CACHE_BYTES = 64 << 20
_UNKNOWN_CELL = (512, 512)


class OpenSlidePixels:
    """Reads pixels of one slide with OpenSlide; transparent pixels, those never scanned, are white.

    OpenSlide takes whole level-0 locations. On a level whose downsample is no whole number it therefore interpolates,
    up to half a level-0 pixel off.

    Attributes:
        vendor: the format as OpenSlide names it.
        is_lost: whether a tile was damaged, after which OpenSlide gives nothing more of the slide.
    """

    name = "openslide"

    def __init__(self, handle: openslide.OpenSlide) -> None:
        self._handle = handle
        self.vendor = str(handle.properties.get(openslide.PROPERTY_NAME_VENDOR))
        self.is_lost = False
        self._downsamples = handle.level_downsamples  # by which OpenSlide divides; it tells nothing after an error

    def read(self, location: tuple[int, int], size: tuple[int, int], level: int) -> npt.NDArray[np.uint8]:
        """See `backends.Pixels`.

        Raises:
            OSError: if a tile is damaged.
        """
        downsample = self._downsamples[level]
        location_xy = (round(location[1] * downsample), round(location[0] * downsample))
        try:
            rgba = np.asarray(self._handle.read_region(location_xy, level, size[::-1]))
        except openslide.OpenSlideError as error:
            self.is_lost = True
            raise OSError(str(error)) from error
        alpha = rgba[..., 3:]
        if alpha.min() == 255:
            return rgba[..., :3]
        blended = rgba[..., :3] * (alpha / 255.0) + _WHITE * (1 - alpha / 255.0)
        return np.rint(blended).astype(np.uint8)

    def close(self) -> None:
        """Close the file."""
        self._handle.close()


def open_handle(path: Path) -> openslide.OpenSlide:
    """Open a file; all files of a process share one cache of decoded tiles.

    Raises:
        InputError: if it is damaged or no slide.
    """
    try:
        handle = openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
        raise InputError(
            f"{path}: cannot be opened as a slide ({error}); it may be truncated or no tiled whole-slide image"
        ) from error
    handle.set_cache(_shared_cache())
    return handle


def cell_shape(handle: openslide.OpenSlide, level: int) -> tuple[int, int]:
    """(height, width) of a level's compressed tiles, in pixels of the level."""
    try:
        height, width = (
            int(handle.properties[f"openslide.level[{level}].tile-{side}"]) for side in ("height", "width")
        )
    except (KeyError, ValueError):  # formats whose tiles overlap or vary do not say
        return _UNKNOWN_CELL
    return (height, width) if min(height, width) > 0 else _UNKNOWN_CELL


def stated_bounds(handle: openslide.OpenSlide, slide_shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a slide that was scanned, as OpenSlide's properties ``openslide.bounds-*`` say; else all of it.

    MIRAX and Leica files state it. QuPath shows this part alone, and its coordinates begin there.

    Args:
        handle: the slide.
        slide_shape: (height, width) in level-0 pixels.

    Returns:
        (top, left, bottom, right), level-0 frame.
    """
    sides = []
    for axis, side, full in zip("yx", ("height", "width"), slide_shape, strict=True):
        try:
            start = int(handle.properties.get(f"openslide.bounds-{axis}", 0))
            extent = int(handle.properties.get(f"openslide.bounds-{side}", full - start))
        except ValueError:
            start, extent = 0, full
        sides.append((start, start + extent))
    (top, bottom), (left, right) = sides
    return top, left, bottom, right


def _shared_cache() -> openslide.OpenSlideCache:
    global _cache
    if _cache is None:
        _cache = openslide.OpenSlideCache(_CACHE_BYTES)
    return _cache


_cache: openslide.OpenSlideCache | None = None
