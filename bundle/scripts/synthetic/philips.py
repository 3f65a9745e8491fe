"""Philips TIFFs, as the slides and masks of CAMELYON16 are: padded levels, and no tiles where nothing was scanned.

    image = synthetic_slide((2000, 3000), 1, seed=0).image
    write_philips("tumor_001.tif", image, 0.243, stored=tissue_tiles(image))
    write_philips_mask("tumor_001_mask.tif", mask, 0.243)  # (H, W) uint8: 0, 1 normal, 2 tumor

What a reader needs of the form is in OpenSlide's ``openslide-vendor-philips-tiff.c``, and in ``is_philips`` and
``_series_philips`` of tifffile: the tag Software begins with "Philips DP", the first page's ImageDescription is XML
that ends with ``</DataObject>``, and lists DICOM_PIXEL_SPACING (mm, row then column) for each level. A level's shape
is that of level 0, divided by the ratio of these spacings and rounded down; the pages say more, whole tiles. Level 0
itself is as large as its page: 221,184 x 97,792 pixels of ``normal_001``, which are 432 x 191 tiles of 512.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from ..files import atomic_path
from ..slides.pyramid import downsample_image
from .philips_xml import describe_levels

TILE = 512
"""Side of a tile in pixels, in the files of CAMELYON16."""

MASK_VALUES = (0, 1, 2)
"""Of CAMELYON16's masks: outside of tissue or not stated, normal, tumor."""

SOFTWARE = "Philips DP v1.0"
"""The tag by which readers know the form."""

_BRIGHTEST_TISSUE = 200
_WHITE = 255


def tissue_tiles(image: npt.NDArray[np.uint8], tile_size: int = TILE) -> npt.NDArray[np.bool_]:
    """Which tiles of level 0 show more than clear glass, for `write_philips`.

    Args:
        image: (H, W, 3) uint8, RGB.
        tile_size: side of a tile in pixels.

    Returns:
        (ceil(H / tile_size), ceil(W / tile_size)) bool: whether one of 8 x 8 pixels' means is dark in some channel.
    """
    reduced = downsample_image(image, 8).min(axis=2) < _BRIGHTEST_TISSUE
    rows, cols = (-(-side // tile_size) for side in image.shape[:2])
    cell = tile_size // 8
    padded = np.zeros((rows * cell, cols * cell), dtype=np.bool_)
    padded[: reduced.shape[0], : reduced.shape[1]] = reduced
    return np.asarray(padded.reshape(rows, cell, cols, cell).any(axis=(1, 3)))


def write_philips(
    path: str | Path,
    image: npt.NDArray[np.uint8],
    mpp: float = 0.243,
    stored: npt.NDArray[np.bool_] | None = None,
    label: npt.NDArray[np.uint8] | None = None,
    macro: npt.NDArray[np.uint8] | None = None,
    tile_size: int = TILE,
    quality: int = 90,
    num_levels: int | None = None,
) -> None:
    """Write a slide; the file appears when it is complete.

    Args:
        path: the file to write.
        image: (H, W, 3) uint8, RGB. Level 0 is filled up with white to whole tiles, so a reader sees a larger slide.
        mpp: µm per level-0 pixel.
        stored: (tile rows, tile cols) bool, which tiles of level 0 are stored, see `tissue_tiles`; of a coarser level
            those that show something of them. By default all are.
        label: (h, w, 3) uint8 RGB picture of the slide's label, if it shall have one.
        macro: (h, w, 3) uint8 RGB picture of the whole glass, if it shall have one.
        tile_size: side of a tile in pixels, a multiple of 16.
        quality: of the JPEG tiles, 1 to 100; they are stored as YCbCr with 2 x 2 chroma subsampling.
        num_levels: how many, each of half the size; by default as many as it takes to fit into one tile.

    Raises:
        ValueError: if the image is not as described.
        InputError: if the file cannot be written.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"image must be a non-empty (H, W, 3) uint8 array, but got {image.shape} {image.dtype}")
    options = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": quality}}
    pictures = {"Label": label, "Macro": macro}
    _write(Path(path), _padded(image, tile_size, _WHITE), mpp, stored, tile_size, num_levels, options, pictures)


def write_philips_mask(
    path: str | Path,
    mask: npt.NDArray[np.uint8],
    mpp: float = 0.243,
    stored: npt.NDArray[np.bool_] | None = None,
    tile_size: int = TILE,
    compression: str | None = "lzw",
    num_levels: int | None = None,
) -> None:
    """Write a mask as the challenge has them, in the form of its slides; the file appears when it is complete.

    Args:
        path: the file to write.
        mask: (H, W) uint8 of `MASK_VALUES`, or of any other; filled up with 0 as the slide is with white. A pixel of a
            coarser level has the value of the upper left one of those that it covers, so there are no others.
        mpp: µm per level-0 pixel.
        stored: see `write_philips`; by default the tiles that are not 0 all over.
        tile_size: see `write_philips`.
        compression: None, "lzw" or "zlib".
        num_levels: see `write_philips`.

    Raises:
        ValueError: if the mask is not as described.
        InputError: if the file cannot be written.
    """
    if mask.ndim != 2 or mask.dtype != np.uint8 or mask.size == 0:
        raise ValueError(f"mask must be a non-empty (H, W) uint8 array, but got {mask.shape} {mask.dtype}")
    padded = _padded(mask, tile_size, 0)
    if stored is None:
        rows, cols = (side // tile_size for side in padded.shape)
        stored = np.asarray(padded.reshape(rows, tile_size, cols, tile_size).any(axis=(1, 3)))
    options = {"photometric": "minisblack", "compression": compression}
    _write(Path(path), padded, mpp, stored, tile_size, num_levels, options, {})


def _write(
    path: Path,
    image: npt.NDArray[np.uint8],
    mpp: float,
    stored: npt.NDArray[np.bool_] | None,
    tile_size: int,
    num_levels: int | None,
    options: dict[str, Any],
    pictures: dict[str, npt.NDArray[np.uint8] | None],
) -> None:
    grid = (image.shape[0] // tile_size, image.shape[1] // tile_size)
    if stored is None:
        stored = np.ones(grid, dtype=np.bool_)
    if stored.shape != grid:
        raise ValueError(f"stored must say it for {grid} (rows, cols) of tiles, but has the shape {stored.shape}")
    if num_levels is None:
        num_levels = count_levels(grid)
    background = 0 if image.ndim == 2 else _WHITE
    stored_on = [_stored_on(stored, 1 << number) for number in range(num_levels)]
    with atomic_path(path) as temporary:
        with tifffile.TiffWriter(temporary, bigtiff=True) as writer:
            for number, is_stored in enumerate(stored_on):
                level = _padded(_reduced(image, 1 << number), tile_size, background)
                writer.write(
                    _tiles(level, is_stored, tile_size),
                    shape=level.shape,
                    dtype=np.uint8,
                    tile=(tile_size, tile_size),
                    subfiletype=int(number > 0),
                    description=f"level={number}" if number else describe_levels(mpp, num_levels),
                    software=False if number else SOFTWARE,
                    metadata=None,
                    **options,
                )
            for name, picture in pictures.items():
                if picture is not None:
                    jpeg: dict[str, Any] = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
                    writer.write(picture, subfiletype=1, description=name, **jpeg)
        _forget_first_tiles(temporary, [number for number, is_stored in enumerate(stored_on) if not is_stored[0, 0]])


def count_levels(grid: tuple[int, int]) -> int:
    """How many levels it takes until a slide of (rows, cols) tiles fits into one."""
    return int(np.ceil(np.log2(max(grid)))) + 1


def _padded(image: npt.NDArray[np.uint8], tile_size: int, value: int) -> npt.NDArray[np.uint8]:
    """An image, filled up to whole tiles."""
    margins = [(0, -side % tile_size) for side in image.shape[:2]] + [(0, 0)] * (image.ndim - 2)
    return image if not np.any(margins) else np.pad(image, margins, constant_values=value)


def _reduced(image: npt.NDArray[np.uint8], downsample: int) -> npt.NDArray[np.uint8]:
    """A level, its sides rounded down."""
    height, width = (side // downsample for side in image.shape[:2])
    if image.ndim == 2:
        return np.ascontiguousarray(image[::downsample, ::downsample][:height, :width])
    return downsample_image(image, downsample)[:height, :width]


def _stored_on(stored: npt.NDArray[np.bool_], downsample: int) -> npt.NDArray[np.bool_]:
    """Which tiles of a level show something of the tiles of level 0 that are stored."""
    rows, cols = (np.arange(0, side, downsample) for side in stored.shape)
    found: npt.NDArray[np.bool_] = np.logical_or.reduceat(np.logical_or.reduceat(stored, rows, axis=0), cols, axis=1)
    return found


def _tiles(
    level: npt.NDArray[np.uint8], stored: npt.NDArray[np.bool_], tile_size: int
) -> Iterator[npt.NDArray[np.uint8] | None]:
    """Row by row; None for those that are not stored, of which tifffile writes byte count 0. It needs the first."""
    for row, col in np.ndindex(*stored.shape):
        part = level[row * tile_size : (row + 1) * tile_size, col * tile_size : (col + 1) * tile_size]
        yield np.ascontiguousarray(part) if stored[row, col] or (row, col) == (0, 0) else None


def _forget_first_tiles(path: Path, pages: list[int]) -> None:
    """Set offset and byte count of the first tile of some pages to 0."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for number in pages:
            page = tiff.pages[number]
            assert isinstance(page, tifffile.TiffPage)
            for name, values in (("TileOffsets", page.dataoffsets), ("TileByteCounts", page.databytecounts)):
                page.tags[name].overwrite((0, *values[1:]))
