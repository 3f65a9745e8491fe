"""How the levels of a TIFF are stored in tiles, and which reader decodes that to the right pixels.

What a reader does with a kind of tile was compared with the true pixels by tests/unit/slides/test_tile_layout.py: a
kind that is not listed for cuCIM goes to OpenSlide, one that OpenSlide shows wrongly is refused.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tifffile

from ..errors import InputError
from .jpeg_headers import read_frame, stated_colors

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # its lines on damage name no file; the errors here do

MAX_TILE_PIXELS = 1 << 26
"""No tile has more: 8192 x 8192, where scanners write at most 2048 x 2048."""

_UNCOMPRESSED, _JPEG = 1, 7
_CUCIM_COMPRESSIONS = {3: (_UNCOMPRESSED, 5, _JPEG, 8, 32946), 1: (_UNCOMPRESSED, 5, _JPEG)}
"""By samples per pixel: none, LZW, JPEG and the two numbers of Deflate (TIFF 6.0 and its technical notes). cuCIM 26.10
refuses some of the others, and its JPEG 2000 colors differ. Deflate with a predictor ends the process; gray is decoded
by the libtiff that it brings along, which has no Deflate."""

_HEAD_BYTES = 4096  # hold the markers before the frame header

_BLACK_IS_ZERO, _RGB, _YCBCR = 1, 2, 6
_OPENSLIDE_SAMPLES = {
    (0, (), 8),  # gray, white is zero
    (1, (), 8),  # gray, black is zero
    *((_RGB, extra, bits) for extra in ((), (1,), (2,)) for bits in (8, 16)),  # with transparency or without
    (3, (), 8),  # palette
    (5, (), 8),  # CMYK
    (_YCBCR, (), 8),
}
"""Photometric interpretation, meaning of further samples, and bits that libtiff 4 turns into the right RGB. Gray of 16
bits and gray with a further sample it scrambles in the last column of tiles, CIELab gets another white, and a further
sample of no stated meaning is taken for transparency."""


class TileLayout(NamedTuple):
    """How a level of a TIFF is cut into tiles.

    Attributes:
        tile_shape: (height, width) of a tile in pixels.
        offsets: (tile rows, tile cols) int64, where each tile begins in the file.
        sizes: (tile rows, tile cols) int64, bytes of each; 0 where the file stores no tile, since nothing was scanned
            there.
        is_jpeg: whether the tiles are JPEG streams.
        num_samples: per pixel, 3 of RGB, 1 of gray.
        cucim_fault: why cuCIM must not decode the level, or None; in the same words for all files of the kind.
        openslide_fault: why OpenSlide must not, or None.
    """

    tile_shape: tuple[int, int]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    is_jpeg: bool
    num_samples: int
    cucim_fault: str | None
    openslide_fault: str | None


def read_tile_layouts(
    path: Path, level_shapes: tuple[tuple[int, int], ...], is_philips: bool = False
) -> tuple[TileLayout, ...]:
    """Find the tiles of a file's levels.

    Args:
        path: the file; of one that is no TIFF, nothing is known, and cuCIM must not decode it.
        level_shapes: (height, width) of each level.
        is_philips: whether the tiled pages are the levels in this order, filled up to whole tiles; else a page has the
            shape of its level.

    Returns:
        The layout of each level.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            tiled = _tiled_pages(tiff)
            by_shape = {page.shape[:2]: page for page in reversed(tiled)}
            is_listed = is_philips and len(tiled) == len(level_shapes)
            pages = tiled if is_listed else [by_shape.get(shape) for shape in level_shapes]
            return tuple(_tile_layout(page, shape) for page, shape in zip(pages, level_shapes, strict=True))
    except Exception as error:  # tifffile raises whatever a damaged header leads to
        return tuple(_unknown(f"not readable as a TIFF file: {error}") for _ in level_shapes)


def check_tile_sizes(path: Path) -> None:
    """Refuse a TIFF whose header claims a size for which a reader would have to end the process, or read for hours.

    Raises:
        InputError: if a tile has no pixels or more than `MAX_TILE_PIXELS`, or a level has fewer tiles than it needs.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            fault = next(filter(None, map(_size_fault, _tiled_pages(tiff))), None)
    except Exception:  # what tifffile cannot describe is left to OpenSlide, which says why it cannot be opened
        return
    if fault is not None:
        raise InputError(f"{path}: its TIFF header claims {fault}; copy the slide again from its source")


def _size_fault(page: Any) -> str | None:
    height, width = tile_shape = page.tilelength, page.tilewidth
    if not 0 < height * width <= MAX_TILE_PIXELS:
        return f"tiles of {height} x {width} pixels, where at most {MAX_TILE_PIXELS:,} pixels are expected"
    rows, cols = (-(-side // tile) for side, tile in zip((page.imagelength, page.imagewidth), tile_shape, strict=True))
    if len(page.dataoffsets) < rows * cols:
        return (
            f"{page.imagelength} x {page.imagewidth} pixels, which takes {rows * cols} tiles, but lists "
            f"{len(page.dataoffsets)}"
        )
    return None


def _tiled_pages(tiff: tifffile.TiffFile) -> list[Any]:
    return [page for page in tiff.pages if isinstance(page, tifffile.TiffPage) and page.is_tiled]


def _unknown(fault: str, openslide_fault: str | None = None) -> TileLayout:
    nothing = np.zeros((0, 0), dtype=np.int64)
    return TileLayout((1, 1), nothing, nothing, False, 3, fault, openslide_fault)


def _tile_layout(page: Any, level_shape: tuple[int, int]) -> TileLayout:
    if page is None:
        return _unknown("no tiled page of the TIFF has the shape of a level")
    tile_shape = (page.tilelength, page.tilewidth)
    rows, cols = (-(-side // tile) for side, tile in zip(level_shape, tile_shape, strict=True))
    offsets, sizes = (np.array(values, dtype=np.int64) for values in (page.dataoffsets, page.databytecounts))
    cucim_fault, openslide_fault = _cucim_fault(page), _openslide_fault(page)
    if (contradiction := _contradiction(page)) is not None:
        cucim_fault = openslide_fault = contradiction
    if not _may_hold(page, level_shape):
        cucim_fault = openslide_fault = "its page is too small, or far too large, for the shape that the XML states"
    if cucim_fault is None and -(-page.imagewidth // tile_shape[1]) != cols:
        cucim_fault = "its page has more columns of tiles than it shows, by which cuCIM counts"
    if cucim_fault is None and not (offsets.size == sizes.size >= rows * cols):
        cucim_fault = f"it lists {offsets.size} offsets and {sizes.size} sizes of {rows * cols} tiles"
    whole = (0, tile_shape[0] * tile_shape[1] * page.samplesperpixel)
    if cucim_fault is None and page.compression == _UNCOMPRESSED and not np.isin(sizes, whole).all():
        cucim_fault = "it has tiles of other sizes than their pixels take"
    if cucim_fault is not None:
        return _unknown(cucim_fault, openslide_fault)
    offsets, sizes = (values[: rows * cols].reshape(rows, cols) for values in (offsets, sizes))
    is_jpeg = page.compression == _JPEG
    return TileLayout(tile_shape, offsets, sizes, is_jpeg, page.samplesperpixel, None, openslide_fault)


def _may_hold(page: Any, level_shape: tuple[int, int]) -> bool:
    """Whether a level may lie in a page: the page is as large, but for padding, of which some files have much."""
    sides = list(zip(level_shape, (page.imagelength, page.imagewidth), (page.tilelength, page.tilewidth), strict=True))
    is_too_large = all(full > 1.25 * side + 2 * tile for side, full, tile in sides)
    return all(0 < side <= full for side, full, _ in sides) and not is_too_large


def _cucim_fault(page: Any) -> str | None:
    """Why cuCIM must not decode a page: it is not of the plain kind that cuCIM decodes as it should."""
    is_jpeg, is_gray = page.compression == _JPEG, page.samplesperpixel == 1
    found = {
        "format of samples": (page.samplesperpixel, page.bitspersample, page.sampleformat, page.extrasamples),
        "planar configuration": page.planarconfig,
        "compression": page.compression,
        "photometric interpretation": page.photometric,
        "predictor": page.predictor,
        "fill order": page.fillorder,
        "orientation": _orientation(page) if is_gray else 1,  # libtiff turns gray, cuCIM leaves colors as they are
        "depth": page.tiledepth * page.imagedepth,
    }
    expected: dict[str, tuple[Any, ...]] = {
        "format of samples": ((3, 8, 1, ()), (1, 8, 1, ())),
        "planar configuration": (1,),
        "compression": _CUCIM_COMPRESSIONS[1 if is_gray else 3],
        "photometric interpretation": (_BLACK_IS_ZERO,) if is_gray else (_RGB, _YCBCR) if is_jpeg else (_RGB,),
        "predictor": (1,),
        "fill order": (1,),
        "orientation": (1,),
        "depth": (1,),
    }
    for key, values in expected.items():
        if found[key] not in values:
            return f"{key} {_plain(found[key])} is none that cuCIM is known to decode right"
    tables = page.jpegtables if is_jpeg else None
    return "its JPEG tables hold a picture" if tables and not _is_tables(tables) else None


def _is_tables(stream: bytes) -> bool:
    try:
        return read_frame(stream) is None
    except OSError:  # it ends without a picture, as it should
        return True


def _openslide_fault(page: Any) -> str | None:
    """Why OpenSlide must not decode a page: it would show other pixels than the file holds, without an error."""
    orientation = _orientation(page)
    is_color = page.photometric in (_RGB, _YCBCR) and page.samplesperpixel == 3
    if orientation != 1 and not (page.compression == _JPEG and is_color and page.planarconfig == 1):
        return f"its TIFF orientation is {_plain(orientation)}, by which OpenSlide turns each tile in its place"
    stored = (page.photometric, page.extrasamples, page.bitspersample)
    if stored not in _OPENSLIDE_SAMPLES or page.sampleformat != 1:
        return (
            f"photometric interpretation {_plain(page.photometric)} with {page.samplesperpixel} samples of "
            f"{page.bitspersample} bits is none that OpenSlide is known to decode right"
        )
    tag = page.tags.get("YCbCrSubSampling")
    subsampling = (2, 2) if tag is None else tag.value
    if page.photometric == _YCBCR and page.compression not in (_UNCOMPRESSED, _JPEG) and subsampling != (1, 1):
        return "its colors are subsampled, but not by JPEG; libtiff does not notice where the tiles are not"
    return None


def _contradiction(page: Any) -> str | None:
    """Where a page's tag takes its JPEG tiles for other colors than their encoder says: both readers trust the tag."""
    expected = {_RGB: "RGB", _YCBCR: "YCbCr"}.get(page.photometric)
    if page.compression != _JPEG or page.samplesperpixel != 3 or expected is None:
        return None
    start = next((offset for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False) if size), None)
    if start is None:
        return None
    page.parent.filehandle.seek(start)
    stated = stated_colors(page.parent.filehandle.read(_HEAD_BYTES))
    if stated in (None, expected):
        return None
    return f"its tag PhotometricInterpretation says {expected}, but its JPEG tiles say {stated}"


def _orientation(page: Any) -> int:
    tag = page.tags.get("Orientation")
    return 1 if tag is None else tag.value


def _plain(value: Any) -> str:
    """A value, or several, without the names that tifffile gives to numbers."""
    if isinstance(value, tuple):
        return " ".join(_plain(part) for part in value if part != ())
    return str(int(value)) if isinstance(value, int) else str(value)
