"""Write tiled pyramidal TIFFs that OpenSlide (as generic-tiff), cuCIM and tifffile read alike."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from ..files import atomic_path

COMPRESSIONS = ("jpeg", "zlib", "lzw", None)
"""What the three readers decode alike; all but "jpeg" are lossless."""

_RESOLUTION_TAGS = (282, 283, 296)  # XResolution, YResolution, ResolutionUnit (TIFF 6.0)
_CLASSIC_TIFF_LIMIT = 2**32 - 2**26  # offsets are 32 bits; the margin holds the directories
_BAND_ROWS = 128


def write_pyramid(
    path: str | Path,
    image: npt.NDArray[np.uint8],
    mpp: float | None,
    downsamples: Sequence[int] = (1, 4, 16),
    tile_size: int = 256,
    compression: str | None = "jpeg",
    quality: int = 90,
) -> None:
    """Write an image as a tiled pyramidal TIFF; the file appears when it is complete.

    Levels are `downsample_image` of level 0: a pixel (r, c) of a level covers the level-0 pixels from
    (r, c) * downsample on. Shapes are rounded up, so no level-0 pixel is lost and the downsample that a reader
    computes from the shapes never exceeds the nominal one (OpenSlide's ``get_best_level_for_downsample(16)``
    would pass over a level of 16.003). JPEG tiles are stored as YCbCr with 2 x 2 chroma subsampling.

    Args:
        path: the file to write.
        image: (H, W, 3) uint8, RGB, level 0.
        mpp: µm per level-0 pixel; None writes no resolution tag at all.
        downsamples: level-0 pixels per pixel of each level, increasing from 1.
        tile_size: side of a tile in pixels, a multiple of 16.
        compression: one of `COMPRESSIONS`.
        quality: JPEG quality, 1 to 100; used by "jpeg" only.

    Raises:
        ValueError: if an argument is not as described.
        InputError: if the file cannot be written.
    """
    _check_arguments(image, mpp, downsamples, tile_size, compression)
    size = image.nbytes * sum(1.0 / downsample**2 for downsample in downsamples)
    with atomic_path(path) as temporary:
        with tifffile.TiffWriter(temporary, bigtiff=size > _CLASSIC_TIFF_LIMIT) as writer:
            for index, downsample in enumerate(downsamples):
                options: dict[str, Any] = {} if compression != "jpeg" else {"compressionargs": {"level": quality}}
                if mpp is not None:
                    options |= {"resolution": (_per_cm(mpp * downsample),) * 2, "resolutionunit": "CENTIMETER"}
                writer.write(
                    downsample_image(image, downsample),
                    tile=(tile_size, tile_size),
                    photometric="rgb",
                    compression=compression,
                    subfiletype=int(index > 0),
                    metadata=None,
                    software=False,
                    **options,
                )
        if mpp is None:
            _drop_resolution_tags(temporary)


def downsample_image(image: npt.NDArray[np.uint8], downsample: int) -> npt.NDArray[np.uint8]:
    """Reduce an image by the mean over boxes, rounded half up; the last row and column may be of smaller boxes.

    Args:
        image: (H, W, C) uint8.
        downsample: side of a box in pixels, positive.

    Returns:
        (ceil(H / downsample), ceil(W / downsample), C) uint8; ``image`` itself where ``downsample`` is 1.
    """
    if downsample == 1:
        return image
    height, width, channels = image.shape
    rows = np.arange(0, height, downsample)
    cols = np.arange(0, width, downsample)
    reduced = np.empty((len(rows), len(cols), channels), dtype=np.uint8)
    col_counts = np.diff(np.append(cols, width))
    for start in range(0, len(rows), _BAND_ROWS):
        band_rows = rows[start : start + _BAND_ROWS]
        band = image[band_rows[0] : band_rows[-1] + downsample]
        sums = np.add.reduceat(band, band_rows - band_rows[0], axis=0, dtype=np.uint32)
        sums = np.add.reduceat(sums, cols, axis=1)
        row_counts = np.diff(np.append(band_rows, band_rows[0] + len(band)))
        counts = np.outer(row_counts, col_counts).astype(np.uint32)[..., None]
        reduced[start : start + _BAND_ROWS] = (2 * sums + counts) // (2 * counts)
    return reduced


def _check_arguments(
    image: npt.NDArray[np.uint8],
    mpp: float | None,
    downsamples: Sequence[int],
    tile_size: int,
    compression: str | None,
) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"image must be a non-empty (H, W, 3) uint8 array, but got {image.shape} {image.dtype}")
    if mpp is not None and not 0 < mpp < float("inf"):
        raise ValueError(f"mpp must be positive or None, but got {mpp}")
    increasing = all(fine < coarse for fine, coarse in pairwise(downsamples))
    if not downsamples or downsamples[0] != 1 or not increasing or any(int(d) != d for d in downsamples):
        raise ValueError(f"downsamples must be integers increasing from 1, but got {tuple(downsamples)}")
    if tile_size < 16 or tile_size % 16:
        raise ValueError(f"tile_size must be a positive multiple of 16, but got {tile_size}")
    if compression not in COMPRESSIONS:
        raise ValueError(f"compression must be one of {COMPRESSIONS}, but got {compression!r}")


def _per_cm(mpp: float) -> tuple[int, int]:
    """Pixels per cm, as near as the two 32-bit integers that a TIFF has for it come.

    tifffile 2025.5.10, the last for Python 3.10, is off by 3e-6 at 0.243 µm when given a float.
    """
    per_cm = 1e4 / mpp
    return Fraction(per_cm).limit_denominator(max(1, int(2**31 / max(per_cm, 1.0)))).as_integer_ratio()


def _drop_resolution_tags(path: Path) -> None:
    """Take the resolution tags out of every directory of a TIFF.

    tifffile writes a resolution of 1 without unit where none is given, which some readers take at its word.
    The entries that follow move up (TIFF 6.0: entries are sorted and contiguous, the next directory's offset
    comes right after them); the bytes left over at the end of a directory are never read.
    """
    with tifffile.TiffFile(path) as tiff:
        offsets = [page.offset for page in tiff.pages]
        order, is_big = tiff.byteorder, tiff.is_bigtiff
    count_format, entry_size, pointer_size = (order + "Q", 20, 8) if is_big else (order + "H", 12, 4)
    count_size = struct.calcsize(count_format)
    with open(path, "r+b") as file:
        for offset in offsets:
            file.seek(offset)
            (count,) = struct.unpack(count_format, file.read(count_size))
            entries = [file.read(entry_size) for _ in range(count)]
            next_directory = file.read(pointer_size)
            kept = [entry for entry in entries if struct.unpack(order + "H", entry[:2])[0] not in _RESOLUTION_TAGS]
            file.seek(offset)
            file.write(struct.pack(count_format, len(kept)) + b"".join(kept) + next_directory)
