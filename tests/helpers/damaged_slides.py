"""Small slides whose headers are damaged where it hurts, each read by a process that may die of it."""

from __future__ import annotations

import io
import struct
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import tifffile
from pydicom.dataelem import RawDataElement

from helpers.dicom_slide import write_dicom_slide
from scripts.errors import InputError
from scripts.slides.reader_process import LostReaderError, ReaderProcess
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


def _make_levels() -> list[npt.NDArray[np.uint8]]:
    y, x = np.mgrid[:201, :289]
    waves = [np.sin(x / 19), np.cos(y / 18), np.sin((x + y) / 22)]
    image = np.stack([127 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)
    return [image, image[::4, ::4].copy()]


def make_slide(kind: str) -> bytes:
    """A TIFF of two levels, 201 x 289 pixels in tiles of 128 x 128: some 10 to 300 KB."""
    options = dict(_KINDS[kind])
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=options.pop("bigtiff", False)) as tiff:
        for index, level in enumerate(_make_levels()):
            tiff.write(
                level, tile=(128, 128), photometric="rgb", metadata=None, subfiletype=index,
                resolution=(1e4 / 0.243,) * 2, resolutionunit="CENTIMETER", **options,
            )  # fmt: skip
    return file.getvalue()


def make_dicom() -> bytes:
    """A DICOM slide of one file, 201 x 289 pixels in frames of 64 x 64."""
    with tempfile.TemporaryDirectory() as folder:
        (path,) = write_dicom_slide(Path(folder), _make_levels()[:1])
        return path.read_bytes()


SLIDES = {**{kind: make_slide(kind) for kind in _KINDS}, "DICOM": make_dicom()}
"""Whole slides by kind."""


def _places(kind: str) -> list[tuple[int, int]]:
    """(position, bytes) of the fields of the headers of a slide."""
    return (_dicom_places if kind == "DICOM" else _tiff_places)(SLIDES[kind])


def _tiff_places(content: bytes) -> list[tuple[int, int]]:
    """Of each entry's tag, type, count and value, and of what lists the tiles."""
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


def _dicom_places(content: bytes) -> list[tuple[int, int]]:
    """Of each element's group, number, representation, length and value, in sequences too."""
    places = [(128, 4)]

    def visit(data: pydicom.Dataset) -> None:
        for key in list(data.keys()):
            raw = data.get_item(key)  # as it stands in the file, while nobody has asked for its value
            if isinstance(raw, RawDataElement):
                size = 4 if raw.VR in ("OB", "OW", "SQ", "UN", "UT") else 2
                start = raw.value_tell - (12 if size == 4 else 8)
                places.extend([(start, 2), (start + 2, 2), (start + 4, 2), (raw.value_tell - size, size)])
                places.extend((raw.value_tell + at, 2) for at in range(0, min(raw.length, 16), 2))
            if data[key].VR == "SQ":
                for item in data[key].value:
                    visit(item)

    dataset = pydicom.dcmread(io.BytesIO(content))
    visit(dataset.file_meta)
    visit(dataset)
    return places


_PLACES = {kind: _places(kind) for kind in SLIDES}


def damage(kind: str, rng: np.random.Generator) -> bytes:
    """A slide of a kind, cut off, or with one to three fields of its TIFF, JPEG or DICOM headers changed."""
    content = bytearray(SLIDES[kind])
    header = len(content) if kind != "DICOM" else max(at for at, _ in _PLACES[kind])
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
            at = int(rng.integers(0, header))
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
        self.counts: Counter[tuple[str, str]] = Counter()
        self.crashes: list[tuple[str, bytes]] = []
        self._folder = folder
        self._reader = ReaderProcess(_Examiner(), wait_seconds)

    def read(self, kind: str, content: bytes) -> str | None:
        """Let it read a slide.

        Returns:
            The message of its error, or None.
        """
        path = self._folder / ("slide.dcm" if kind == "DICOM" else "slide.tif")
        path.write_bytes(content)
        error = None
        try:
            self._reader.ask(str(path), "examine", str(path))
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
