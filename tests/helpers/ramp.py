"""Slides whose pixels tell where they are: for tests of position."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from scripts.slides.pyramid import write_pyramid


def coded_image(shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """An image whose every pixel is its own (row, col), exactly; see `decode`.

    Args:
        shape: (height, width), below 4096 each.

    Returns:
        (height, width, 3) uint8.
    """
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    image = np.empty((*shape, 3), dtype=np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = rows % 256, cols % 256, rows // 256 * 16 + cols // 256
    return image


def decode(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """(row, col) of each pixel of `coded_image`, from (..., 3) uint8 to (..., 2) int64."""
    red, green, blue = np.moveaxis(pixels.astype(np.int64), -1, 0)
    return np.stack([blue // 16 * 256 + red, blue % 16 * 256 + green], axis=-1)


def ramp_image(shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A smooth image that stays readable when it is resampled; see `ramp_position`.

    Args:
        shape: (height, width).

    Returns:
        (height, width, 3) uint8: red grows with the row and green with the column, from 0 to 255.
    """
    height, width = shape
    red = np.rint(np.linspace(0, 255, height))[:, None].repeat(width, axis=1)
    green = np.rint(np.linspace(0, 255, width))[None].repeat(height, axis=0)
    return np.stack([red, green, np.full(shape, 128.0)], axis=-1).astype(np.uint8)


def ramp_position(pixels: npt.NDArray[np.floating], shape: tuple[int, int]) -> tuple[float, float]:
    """The center of a part of `ramp_image`, to a fraction of a pixel.

    Args:
        pixels: (h, w, 3), 0 to 255, much larger than a step of the ramp and without pixels beyond the slide.
        shape: (height, width) of the whole image.

    Returns:
        (row, col) of the part's center in level-0 pixels, where pixel (0, 0) spans 0 to 1.
    """
    red, green = pixels[..., 0].mean(), pixels[..., 1].mean()
    return red / 255 * (shape[0] - 1) + 0.5, green / 255 * (shape[1] - 1) + 0.5


def write_coded(path: Path, shape: tuple[int, int], mpp: float | None = 0.243) -> Path:
    """Write `coded_image` as a lossless pyramid."""
    write_pyramid(path, coded_image(shape), mpp, compression="zlib")
    return path


def write_ramp(path: Path, shape: tuple[int, int], mpp: float | None = 0.243) -> Path:
    """Write `ramp_image` as a lossless pyramid."""
    write_pyramid(path, ramp_image(shape), mpp, compression="zlib")
    return path
