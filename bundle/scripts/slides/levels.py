"""The levels of a slide that show it at one downsample; a file may hold others.

Some programs pad levels to whole tiles without saying so, and some store a macro picture or a label as if it were a
level. Such levels are passed over: reading gets slower, but stays right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import openslide
import tifffile
from PIL import Image

from ..errors import InputError
from ..geometry import level_downsample
from .openslide_backend import cell_shape
from .subifds import DAMAGE, SubLevel
from .warnings import warn_once

_Shape = tuple[int, int]
_Read = Callable[[_Shape, _Shape, int], npt.NDArray[np.uint8]]

_REDUCED = 1
"""NewSubfileType of a level (TIFF 6.0); Aperio writes 9 for a macro picture, and bit 2 stands for a mask."""

_PATCHES, _FEW_PATCHES = 8, 5  # along each side
_PATCH, _BLOCK = 32, 4  # px
_LEAST_BLOCKS = 16
_LEAST_SIDE = 8  # px; fewer agree by chance
_LEAST_CORRELATION, _LEAST_OF_BLOCKS = 0.6, 0.85
_LEAST_CONTRAST = 8.0
"""Standard deviation of gray, of 255, from which on a picture shows more than glass and noise."""

_TAKES_ANY = ("generic-tiff", "aperio", "dicom")
"""Formats of which OpenSlide takes tiled pictures for levels, whatever they show."""

MAX_DOUBTFUL_PIXELS = 1 << 21
"""Labels, macro pictures and thumbnails are smaller; larger levels of the usual shape are believed without a look."""

_MAX_WHOLE_PIXELS = 1 << 22
_WHITE = 255  # of tiles that are not stored

PHILIPS = "philips"
"""What OpenSlide calls the vendor of Philips TIFFs."""


class Level(NamedTuple):
    """A level that shows the slide.

    Attributes:
        number: its number in the file, as OpenSlide and cuCIM count; those in SubIFDs follow.
        shape: (height, width) in pixels.
        downsample: level-0 pixels per pixel.
        cell_shape: (height, width) of its compressed tiles.
        is_exact: whether its shape is an exact fraction of level 0, or OpenSlide reads it as if it were.
    """

    number: int
    shape: _Shape
    downsample: float
    cell_shape: _Shape
    is_exact: bool


def sound_levels(
    path: Path, handle: openslide.OpenSlide, read: _Read, in_subifds: Sequence[SubLevel] = ()
) -> tuple[Level, ...]:
    """Find the levels that show the slide.

    A level is passed over, with one warning for the slide, if

    - its two sides give two downsamples that rounding does not explain,
    - the TIFF says that it is another picture, or it is the second one of its shape,
    - its pixels are not those of the level before. They are compared where its shape is one of whole tiles, which
      padding gives too, its downsample no multiple of that of the level before, or it is stored otherwise, as in a
      SubIFD; and at fewer places, only to find another picture, where it has up to `MAX_DOUBTFUL_PIXELS`.

    A Philips TIFF states the downsamples and leaves out the padding: its levels are taken as they are.

    Args:
        path: the slide, for messages.
        handle: the open slide.
        read: reads pixels (height, width, 3) by (row, col), (height, width) and the level's number.
        in_subifds: levels that only `subifds` knows; their numbers follow those of OpenSlide's.

    Returns:
        The levels, finest first.

    Raises:
        InputError: if the largest picture in the file is not the slide or not its first, or a tile is damaged that is
            compared.
    """
    shapes = [(height, width) for width, height in handle.level_dimensions]
    cells = [cell_shape(handle, number) for number in range(len(shapes))]
    pages = _tiff_pages(path, handle, shapes)
    for level in in_subifds:
        shapes.append(level.shape)
        cells.append(level.cell_shape)
        pages.append(_Page(level.shape, False, False, ("SubIFD",)))
    first = next((number for number, page in enumerate(pages) if page.is_first), 0)
    if pages[0].is_other or level_downsample(shapes[0], shapes[first]) is None:
        raise InputError(
            f"{path}: the largest tiled picture, {_x(shapes[0])} pixels, is no level of the slide, which has "
            f"{_x(shapes[first])}; write the slide to a file without it"
        )
    sound = [Level(0, shapes[0], 1.0, cells[0], True)]
    numbers = range(1, len(shapes))
    vendor = handle.properties.get(openslide.PROPERTY_NAME_VENDOR)
    is_any = vendor in _TAKES_ANY
    if vendor == PHILIPS:
        sound += _stated_levels(handle, shapes, cells)
        numbers = range(0)
    for number in sorted(numbers, key=lambda number: -shapes[number][0]):
        shape = shapes[number]
        downsample = level_downsample(shapes[0], shape)
        is_known = any(shape == level.shape for level in sound)
        if downsample is None or is_known or pages[number].is_other:
            continue
        is_exact = all(full == side * round(downsample) for full, side in zip(shapes[0], shape, strict=True))
        candidate = Level(number, shape, downsample, cells[number], is_exact)
        others = _padded(shapes[0], shape, cells[number], downsample)
        is_usual = (downsample / sound[-1].downsample).is_integer() and pages[number].form == pages[first].form
        try:
            if is_usual and not others:
                is_sound = not (is_any and _contradicts(candidate, sound[-1], read))
            else:
                is_sound = _shows(candidate, sound[-1], others, read)
        except OSError as error:  # after which OpenSlide gives nothing more
            raise InputError(
                f"{path}: the tiles of level {number} or of the level before cannot be decoded ({error}); copy the "
                "slide again from its source"
            ) from error
        if is_sound:
            sound.append(candidate)
    kept = {level.number for level in sound}
    passed = [f"{index} ({_x(shape)})" for index, shape in enumerate(shapes) if index not in kept]
    if passed:
        warn_once(
            f"{path}: level {', '.join(passed)} of a slide of {_x(shapes[0])} pixels is padded or another picture; it "
            "is passed over, which makes reading slower"
        )
    return tuple(sound)


def _stated_levels(handle: openslide.OpenSlide, shapes: Sequence[_Shape], cells: Sequence[_Shape]) -> list[Level]:
    """All levels but the first of a Philips TIFF.

    Their downsamples are whole numbers by which OpenSlide and cuCIM divide level 0's shape, rounded down; so neither
    interpolates on a level whose shape is no exact fraction.
    """
    downsamples = [float(downsample) for downsample in handle.level_downsamples]
    levels = [Level(number, *about, True) for number, about in enumerate(zip(shapes, downsamples, cells, strict=True))]
    return [level for level, finer in zip(levels[1:], levels, strict=False) if level.downsample > finer.downsample]


def _x(shape: _Shape) -> str:
    return f"{shape[0]} x {shape[1]}"


class _Page(NamedTuple):
    """A tiled page of a TIFF: whether it is the first and whether it says that it is no level, and how it is stored."""

    shape: _Shape
    is_first: bool
    is_other: bool
    form: tuple[Any, ...]


def _tiff_pages(path: Path, handle: openslide.OpenSlide, shapes: list[_Shape]) -> list[_Page]:
    """The page of each level; blank where it is not known.

    OpenSlide's generic TIFF takes the first page and all reduced ones as levels, if they are tiled, the widest first.

    Raises:
        InputError: if another page is larger, as where a small picture of the slide comes first.
    """
    unknown = [_Page(shape, False, False, ()) for shape in shapes]
    if handle.properties.get(openslide.PROPERTY_NAME_VENDOR) != "generic-tiff":
        return unknown
    try:
        with tifffile.TiffFile(path) as tiff:
            pages = [page for page in tiff.pages if isinstance(page, tifffile.TiffPage) and page.is_tiled]
            found = [_page(page) for page in pages if page.index == 0 or page.subfiletype & _REDUCED]
    except DAMAGE:  # OpenSlide has opened it; what it gives is checked by shape
        return unknown
    num_pixels = shapes[0][0] * shapes[0][1]
    others = [(page.shape[0], page.shape[1]) for page in pages if not (page.index == 0 or page.subfiletype & _REDUCED)]
    if larger := [shape for shape in others if shape[0] * shape[1] > num_pixels]:
        raise InputError(
            f"{path}: its first picture has {_x(shapes[0])} pixels, but another has {_x(larger[0])}; write the slide "
            "to a file whose first picture is the largest"
        )
    found.sort(key=lambda page: -page.shape[1])
    return found if [page.shape for page in found] == shapes else unknown


def _page(page: tifffile.TiffPage) -> _Page:
    form = (page.compression, page.photometric, page.samplesperpixel, page.bitspersample, page.tile)
    return _Page((page.shape[0], page.shape[1]), page.index == 0, page.subfiletype not in (0, _REDUCED), form)


def _padded(slide_shape: _Shape, shape: _Shape, tile: _Shape, downsample: float) -> list[float]:
    """Other powers of two that give a level of this shape, if its sides are filled up to whole tiles."""
    powers = [2.0**exponent for exponent in range(1, 20)]
    return [
        power
        for power in powers
        if power != downsample
        and all(
            side == -(-int(np.ceil(full / power)) // cell) * cell
            for full, side, cell in zip(slide_shape, shape, tile, strict=True)
        )
    ]


def _shows(level: Level, finer: Level, others: Iterable[float], read: _Read) -> bool:
    """Whether a level's pixels are those of a finer level at its downsample, rather than at another one."""
    likeness = _likeness(level, level.downsample, finer, read)
    return likeness > max([_LEAST_CORRELATION, *(_likeness(level, other, finer, read) for other in others)])


def _contradicts(level: Level, finer: Level, read: _Read) -> bool:
    """Whether a level shows something else than a finer one; two blank ones do not, and large ones are believed.

    Blocks of pixels are compared: some programs make a level by a mean, others by leaving out pixels.
    """
    if level.shape[0] * level.shape[1] > MAX_DOUBTFUL_PIXELS:
        return False
    try:
        patches = _patches(level, level.downsample, finer, _FEW_PATCHES, read)
    except OSError:  # who reads the damaged tile will be told; other levels need not be
        return False
    found, expected = map(_blocks, patches) if patches else (np.zeros(0), np.zeros(0))
    is_stored = (found < _WHITE) & (expected < _WHITE)
    found, expected = found[is_stored], expected[is_stored]
    if len(found) < _LEAST_BLOCKS or max(float(found.std()), float(expected.std())) < _LEAST_CONTRAST:
        return False
    return _correlation(found, expected) < _LEAST_OF_BLOCKS


def _blocks(patches: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Means (N, rows, cols) of blocks of (N, height, width) patches."""
    rows, cols = (side // _BLOCK for side in patches.shape[1:])
    whole = patches[:, : rows * _BLOCK, : cols * _BLOCK].reshape(-1, rows, _BLOCK, cols, _BLOCK)
    return np.asarray(whole.mean(axis=(2, 4)))


def _likeness(level: Level, downsample: float, finer: Level, read: _Read) -> float:
    """Correlation of a level's gray with that of a finer level, at patches all over it; 0 if it is blank or tiny."""
    patches = _patches(level, downsample, finer, _PATCHES, read)
    return _correlation(*patches) if patches else 0.0


def _correlation(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    spread = float(one.std() * other.std())
    return 0.0 if spread == 0 else float(((one - one.mean()) * (other - other.mean())).mean() / spread)


def _patches(
    level: Level, downsample: float, finer: Level, num_along: int, read: _Read
) -> tuple[npt.NDArray[np.float64], ...]:
    """Gray of a level, and of a finer one brought to its resolution, at patches all over it.

    Returns:
        (N, height, width) of each; nothing of a tiny level.
    """
    scale = downsample / finer.downsample
    covered = [min(int(fine / scale), side) for fine, side in zip(finer.shape, level.shape, strict=True)]
    if min(covered) < _LEAST_SIDE:
        return ()
    height, width = (min(_PATCH, side) for side in covered)
    rows, cols = round(height * scale), round(width * scale)
    num_pixels = finer.shape[0] * finer.shape[1]
    is_read_once = num_along**2 * rows * cols > num_pixels and num_pixels <= _MAX_WHOLE_PIXELS
    whole = read((0, 0), finer.shape, finer.number) if is_read_once else None
    found, expected = [], []
    for row, col in np.ndindex(num_along, num_along):
        top, left = (covered[0] - height) * row // (num_along - 1), (covered[1] - width) * col // (num_along - 1)
        at = round(top * scale), round(left * scale)
        part = read(at, (rows, cols), finer.number) if whole is None else whole[at[0] :, at[1] :][:rows, :cols]
        fine = Image.fromarray(part).resize((width, height), Image.Resampling.BOX)
        expected.append(np.asarray(fine).mean(axis=2))
        found.append(read((top, left), (height, width), level.number).mean(axis=2))
    return np.stack(found), np.stack(expected)
