"""Pictures as data URIs, each no larger than its bound, so that the size of a page is known before it is made."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

_QUALITIES = (86, 76, 64, 50)
_SHRINK = 0.75


def jpeg_uri(pixels: npt.NDArray[np.uint8], max_bytes: int) -> str:
    """A picture as JPEG: of lower quality, then of fewer pixels, until it is small enough.

    Args:
        pixels: (rows, cols, 3) uint8 RGB.
        max_bytes: of the JPEG, before base64 makes four bytes of three; at least 2,000.

    Returns:
        ``data:image/jpeg;base64,...``
    """
    _check(max_bytes)
    picture = Image.fromarray(pixels)
    while True:
        for quality in _QUALITIES:
            file = io.BytesIO()
            picture.save(file, "JPEG", quality=quality, optimize=True)
            if file.tell() <= max_bytes:
                return _uri("image/jpeg", file)
        picture = picture.resize(_smaller(picture.size), Image.Resampling.LANCZOS)


def png_uri(indices: npt.NDArray[np.uint8], rgba: npt.NDArray[np.uint8], max_bytes: int) -> str:
    """A picture of few colors as PNG with a palette and transparency; of fewer pixels until it is small enough.

    Args:
        indices: (rows, cols) uint8, into ``rgba``; of pixels that become one the highest index counts.
        rgba: (N, 4) uint8, N at most 256.
        max_bytes: of the PNG, before base64 makes four bytes of three; at least 2,000.

    Returns:
        ``data:image/png;base64,...``
    """
    _check(max_bytes)
    while True:
        picture = Image.fromarray(indices)
        picture.putpalette(rgba[:, :3].tobytes(), "RGB")
        file = io.BytesIO()
        picture.save(file, "PNG", optimize=True, transparency=rgba[:, 3].tobytes())
        if file.tell() <= max_bytes:
            return _uri("image/png", file)
        indices = highest_of_blocks(indices, 2)


def highest_of_blocks(values: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.uint8]:
    """Shrink by a whole factor, keeping the highest value of each block, so that nothing small gets lost.

    Args:
        values: (rows, cols) uint8.
        factor: side of a block in pixels.

    Returns:
        (ceil(rows / factor), ceil(cols / factor)) uint8.
    """
    rows, cols = (-(-side // factor) for side in values.shape)
    padded = np.zeros((rows * factor, cols * factor), dtype=values.dtype)
    padded[: values.shape[0], : values.shape[1]] = values
    highest: npt.NDArray[np.uint8] = padded.reshape(rows, factor, cols, factor).max(axis=(1, 3))
    return highest


def _smaller(size_xy: tuple[int, int]) -> tuple[int, int]:
    return max(1, int(size_xy[0] * _SHRINK)), max(1, int(size_xy[1] * _SHRINK))


def _check(max_bytes: int) -> None:
    if max_bytes < 2000:  # header and palette alone take up to 1,300
        raise ValueError(f"max_bytes must be at least 2000, but got {max_bytes}")


def _uri(kind: str, file: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
