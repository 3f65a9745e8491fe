"""Small TIFF slides whose headers are damaged where it hurts, each read by a process that may die of it."""

from __future__ import annotations

import io
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from scripts.errors import InputError
from scripts.inference.tile_reader import LostReaderError, TileReader
from scripts.slides.slide import open_slide

_KINDS: dict[str, dict[str, Any]] = {
    "JPEG": {"compression": "jpeg"},
    "LZW": {"compression": "lzw"},
    "Deflate": {"compression": "zlib"},
    "raw": {"compression": None},
    "BigTIFF of LZW with predictor": {"compression": "lzw", "predictor": True, "bigtiff": True},
}
_NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    16,
    63,
    127,
    129,
    255,
    256,
    417,
    2**15,
    2**16 - 1,
    2**16,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
)


def make_slide(kind: str) -> bytes:
    """A slide of two levels, 201 x 289 pixels in tiles of 128 x 128: some 10 to 300 KB."""
    options = dict(_KINDS[kind])
    y, x = np.mgrid[:201, :289]
    waves = [np.sin(x / 19), np.cos(y / 18), np.sin((x + y) / 22)]
    image = np.stack([127 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=options.pop("bigtiff", False)) as tiff:
        for index, level in enumerate((image, image[::4, ::4].copy())):
            tiff.write(
                level, tile=(128, 128), photometric="rgb", metadata=None, subfiletype=index,
                resolution=(1e4 / 0.243,) * 2, resolutionunit="CENTIMETER", **options,
            )  # fmt: skip
    return file.getvalue()


SLIDES = {kind: make_slide(kind) for kind in _KINDS}
"""Whole slides by kind."""


def _places(content: bytes) -> list[tuple[int, int]]:
    """(position, bytes) of each entry's tag, type, count and value, and of what lists the tiles."""
    places = [(4, 4)]
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        wide = tiff.is_bigtiff
        for page in tiff.pages:
            places.append((page.offset, 8 if wide else 2))
            for tag in page.tags.values():
                places += [(tag.offset, 2), (tag.offset + 2, 2), (tag.offset + 4, 8 if wide else 4)]
                places.append((tag.offset + (12 if wide else 8), 8 if wide else 4))
                places += [(tag.valueoffset + 4 * index, 4) for index in range(min(tag.count, 6))]
    return places


_PLACES = {kind: _places(content) for kind, content in SLIDES.items()}


def damage(kind: str, rng: np.random.Generator) -> bytes:
    """A slide of a kind, cut off, or with one to three fields of its TIFF or JPEG headers changed."""
    content = bytearray(SLIDES[kind])
    markers = [at for at in range(len(content) - 1) if content[at] == 0xFF and 0xC0 <= content[at + 1] <= 0xDD]
    for _ in range(rng.integers(1, 4)):
        how = rng.random()
        if kind == "JPEG" and how < 0.4:
            at = int(rng.choice(markers)) + int(rng.integers(0, 20))
            content[at : at + 1] = bytes([int(rng.integers(0, 256))])
        elif how < 0.9:
            at, size = _PLACES[kind][int(rng.integers(len(_PLACES[kind])))]
            value = int(rng.choice(_NUMBERS)) if rng.random() < 0.7 else int(rng.integers(0, len(content)))
            content[at : at + size] = struct.pack("<Q", value)[:size]
        elif how < 0.97:
            at = int(rng.integers(0, len(content)))
            content[at : at + 1] = bytes([int(rng.integers(0, 256))])
        else:
            del content[int(rng.integers(8, len(content))) :]
    return bytes(content)


class _Examiner:
    """What the process does with a slide: all that inference does with its pixels."""

    def examine(self, path: str) -> str:
        with open_slide(path) as slide:
            for level, shape in enumerate(slide.level_shapes):
                size = min(shape[0], 1000), min(shape[1], 1000)
                slide.read_level((0, 0), size, level)
                slide.read_level((shape[0] - size[0] // 2, 100), size, level)
            slide.read_overview(64)
            return slide.backend


class SlideFuzzer:
    """Lets a process read damaged slides, one after the other.

    Args:
        folder: for the slide in work.
        wait_seconds: how long it may read one.

    Attributes:
        counts: slides by kind and by what became of them: ``read``, ``refused`` or ``crashed``.
        crashes: what ended the process, and the slide that did.
    """

    def __init__(self, folder: Path, wait_seconds: float = 60.0) -> None:
        examiner: Any = _Examiner()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.crashes: list[tuple[str, bytes]] = []
        self._path = folder / "slide.tif"
        self._reader = TileReader(examiner, wait_seconds)

    def read(self, kind: str, content: bytes) -> str | None:
        """Let it read a slide.

        Returns:
            The message of its error, or None.
        """
        self._path.write_bytes(content)
        error = None
        try:
            self._reader.ask(str(self._path), "examine", str(self._path))
            end = "read"
        except LostReaderError as found:
            end, error = "crashed", str(found)
            self.crashes.append((error, content))
        except InputError as found:
            end, error = "refused", str(found)
        self.counts[kind, end] += 1
        return error

    def close(self) -> None:
        """End the process."""
        self._reader.close()
