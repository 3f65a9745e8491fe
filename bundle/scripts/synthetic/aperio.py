"""Aperio SVS, the form of TCGA's slides: JPEG levels, a thumbnail, a label and a macro picture.

What a reader needs of the form is in Aperio's "Digital Slides and Third-Party Data Interchange" and on
openslide.org/formats/aperio: ImageDescription begins with "Aperio", its items are separated by "|". The resolution is
the item MPP, which copies made by other programs often lack while AppMag, the objective, is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from ..files import atomic_path
from ..slides.pyramid import downsample_image

_TILE = 240
_THUMBNAIL_SIDE = 768
_LABEL_TYPE, _MACRO_TYPE = 1, 9  # NewSubfileType, by which cuCIM knows them


def write_aperio(
    path: str | Path,
    image: npt.NDArray[np.uint8],
    mpp: float | None = None,
    magnification: int = 40,
    downsamples: Sequence[int] = (1, 4, 16),
    quality: int = 90,
) -> None:
    """Write a slide with a thumbnail, a gray label and a macro picture; the file appears when it is complete.

    Args:
        path: the file to write, ``.svs``.
        image: (H, W, 3) uint8, RGB, level 0.
        mpp: µm per level-0 pixel; None leaves the item out.
        magnification: of the objective, the item AppMag.
        downsamples: level-0 pixels per pixel of each level, increasing from 1. Shapes are rounded down.
        quality: of the JPEG tiles of 240 x 240 pixels, 1 to 100; they are stored as RGB.

    Raises:
        ValueError: if the image is not as described.
        InputError: if the file cannot be written.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"image must be a non-empty (H, W, 3) uint8 array, but got {image.shape} {image.dtype}")
    height, width = image.shape[:2]
    jpeg: dict[str, Any] = {"photometric": "rgb", "compression": "jpeg", "metadata": None, "software": False}
    tiled: dict[str, Any] = jpeg | {
        "tile": (_TILE, _TILE),
        "compressionargs": {"level": quality, "outcolorspace": "rgb"},
    }
    with atomic_path(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=False) as writer:
        items = [f"AppMag = {magnification}"] + ([] if mpp is None else [f"MPP = {mpp:.6g}"])
        first = f"{width}x{height} [0,0 {width}x{height}] ({_TILE}x{_TILE}) JPEG/RGB Q={quality}|" + "|".join(items)
        for number, downsample in enumerate(downsamples):
            rows, cols = height // downsample, width // downsample
            level = np.ascontiguousarray(downsample_image(image, downsample)[:rows, :cols])
            text = f"{width}x{height} -> {cols}x{rows} ({_TILE}x{_TILE}) JPEG/RGB Q={quality}" if number else first
            writer.write(level, description=_header(text), **tiled)
            if number == 0:
                thumbnail = _thumbnail(image)
                size = f"{thumbnail.shape[1]}x{thumbnail.shape[0]}"
                writer.write(thumbnail, description=_header(f"{width}x{height} -> {size} -|"), **jpeg)
        for name, kind, picture in (
            ("label", _LABEL_TYPE, np.full((180, 160, 3), 128, dtype=np.uint8)),
            ("macro", _MACRO_TYPE, _thumbnail(image)),
        ):
            text = _header(f"{name} {picture.shape[1]}x{picture.shape[0]}")
            writer.write(picture, description=text, subfiletype=kind, **jpeg)


def _header(text: str) -> str:
    return f"Aperio Image Library v12.0.15 \r\n{text}"


def _thumbnail(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    picture = Image.fromarray(image)
    picture.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    return np.asarray(picture)
