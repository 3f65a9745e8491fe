"""An open whole-slide image: shape, levels, resolution, and pixels that are white beyond its edge.

OpenSlide describes every slide; cuCIM, several times faster, decodes the pixels of the files that it reads. Both give
the same pixels, so the choice of backend changes no result.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import openslide

from ..errors import InputError, one_line
from ..files import check_is_file
from ..folders.dicom import finest_file
from ..geometry import check_mpp, model_downsample
from .backends import Pixels, choose_backend
from .fallbacks import note_fallback
from .levels import sound_levels
from .openslide_backend import OpenSlidePixels, open_handle, stated_bounds
from .overview import read_overview
from .resampling import Region, locate_region
from .resolution import stated_mpp
from .subifds import SubIfdPixels
from .tile_layout import check_tile_sizes

BACKENDS = ("auto", "cucim", "openslide")
MODEL_MPP = 0.243
"""µm per pixel of CAMELYON16's finest level, where the model lives."""

_WHITE = 255
MAX_SIDE = 1 << 21
"""No slide is larger, in level-0 pixels a side: half a meter at 40x. Damaged headers claim more."""


class Slide:
    """An open slide. Use `open_slide`.

    Attributes:
        path: its file, or the folder of a DICOM slide.
        shape: (height, width) in level-0 pixels.
        level_shapes: (height, width) of each level that shows the slide, see `levels.sound_levels`.
        downsamples: level-0 pixels per pixel, for each level.
        cell_shapes: (height, width) of the compressed tiles of each level, in pixels of the level.
        mpp: µm per level-0 pixel, or None where the file does not say.
        bounds: (top, left, bottom, right) of the part that was scanned, level-0 frame; QuPath's coordinates begin at
            its top left corner.
        vendor: the format as OpenSlide names it.
        cucim_fault: why ``auto`` leaves the slide to OpenSlide, though it is of a form that cuCIM reads; else None.
    """

    def __init__(self, path: Path, handle: openslide.OpenSlide, backend: str, assume_mpp: float | None) -> None:
        self.path = path
        file_shapes = tuple((height, width) for width, height in handle.level_dimensions)
        if max(file_shapes[0]) > MAX_SIDE:
            handle.close()
            raise InputError(
                f"{path}: {file_shapes[0][0]:,} x {file_shapes[0][1]:,} pixels, where at most {MAX_SIDE:,} a side are "
                "expected; its header is damaged, copy the slide again from its source"
            )
        self._openslide = OpenSlidePixels(handle)
        self.vendor = self._openslide.vendor
        self._subifds = SubIfdPixels(path, len(file_shapes)) if self.vendor == "generic-tiff" else None
        in_subifds = () if self._subifds is None else self._subifds.levels
        levels = sound_levels(path, handle, lambda *part: self._first_reader(part[-1]).read(*part), in_subifds)
        if self._openslide.is_lost:  # by a look at a damaged tile, which whoever reads it will be told of
            handle.close()
            handle = open_handle(finest_file(path))
            self._openslide = OpenSlidePixels(handle)
        self.level_shapes = tuple(level.shape for level in levels)
        self.shape = self.level_shapes[0]
        self.downsamples = tuple(level.downsample for level in levels)
        self.bounds = stated_bounds(handle, self.shape)
        self.cell_shapes = tuple(level.cell_shape for level in levels)
        self.mpp = assume_mpp if assume_mpp is not None else stated_mpp(path, handle)
        self._numbers = tuple(level.number for level in levels)
        is_exact = {level.number: level.is_exact for level in levels}
        self._pixels, self.cucim_fault = choose_backend(path, self._openslide, backend, file_shapes, is_exact)
        # OpenSlide interpolates on levels whose shape is no exact fraction of level 0, cuCIM does not: one for both
        first_readers = [self._first_reader(level.number) for level in levels]
        self._readers = tuple(
            self._pixels if reader is self._openslide and level.is_exact else reader
            for level, reader in zip(levels, first_readers, strict=True)
        )

    def _first_reader(self, number: int) -> Pixels:
        """What reads the level of a number, before a backend is chosen."""
        if self._subifds is not None and number >= self._subifds.first_number:
            return self._subifds
        return self._openslide

    @property
    def backend(self) -> str:
        """What decodes the pixels: ``cucim`` or ``openslide``."""
        return self._pixels.name

    @property
    def level_backends(self) -> tuple[str, ...]:
        """What decodes each level: that, or OpenSlide where it alone can, or tifffile levels in SubIFDs."""
        return tuple(reader.name for reader in self._readers)

    def close(self) -> None:
        """Close the file."""
        for pixels in {self._pixels, self._openslide, *self._readers}:
            pixels.close()

    def __enter__(self) -> Slide:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def require_mpp(self) -> float:
        """The resolution in µm per level-0 pixel.

        Raises:
            InputError: if the file does not say.
        """
        if self.mpp is None:
            raise InputError(
                f"{self.path}: the file states no resolution; give it in µm per level-0 pixel with --assume_mpp"
            )
        return self.mpp

    def read_level(self, location: tuple[int, int], size: tuple[int, int], level: int) -> npt.NDArray[np.uint8]:
        """Pixels of a level as they are; white beyond the slide.

        Args:
            location: (row, col) of the top left pixel in the frame of the level; may be negative.
            size: (height, width) in pixels of the level.
            level: the pyramid level.

        Returns:
            (height, width, 3) uint8 RGB.

        Raises:
            InputError: if a tile is damaged.
        """
        (row, col), (height, width) = location, size
        level_height, level_width = self.level_shapes[level]
        top, left = max(row, 0), max(col, 0)
        bottom, right = min(row + height, level_height), min(col + width, level_width)
        if bottom <= top or right <= left:
            return np.full((height, width, 3), _WHITE, dtype=np.uint8)
        pixels = self._readers[level]
        try:
            inside = pixels.read((top, left), (bottom - top, right - left), self._numbers[level])
        except Exception as error:  # whatever a reader raises, the slide is at fault and must be named
            raise InputError(
                f"{self.path}: the tiles at level {level} (row, col) {(top, left)} to {(bottom, right)} cannot be "
                f"decoded by {pixels.name} ({one_line(error) or type(error).__name__}); copy the slide again from its "
                "source"
            ) from error
        if inside.shape[:2] == (height, width):
            return inside
        padded = np.full((height, width, 3), _WHITE, dtype=np.uint8)
        padded[top - row : bottom - row, left - col : right - col] = inside
        return padded

    def read_region(
        self, location: tuple[float, float], size: tuple[int, int], downsample: float
    ) -> npt.NDArray[np.uint8]:
        """Pixels at any resolution; white beyond the slide.

        With ``downsample`` 1 the pixels are level 0's own. Otherwise they are resampled (bicubic, antialiased) from
        the coarsest level that is at least as fine.

        Args:
            location: (row, col) of the top left corner, level-0 frame.
            size: (height, width) of the result in pixels.
            downsample: level-0 pixels per pixel of the result.

        Returns:
            (height, width, 3) uint8 RGB.

        Raises:
            InputError: if a tile is damaged.
        """
        region = self.locate_region(location, size, downsample)
        return region.resample(self.read_level(region.location, region.size, region.level))

    def locate_region(self, location: tuple[float, float], size: tuple[int, int], downsample: float) -> Region:
        """Where `read_region` takes its pixels from, by the same arguments."""
        return locate_region(self.downsamples, location, size, downsample)

    def read_overview(self, stride: int) -> npt.NDArray[np.uint8]:
        """The whole slide at one pixel per ``stride`` x ``stride`` level-0 pixels.

        A pixel is the mean of its box; where the boxes do not end with pixels of a level, a mean with soft edges.

        Args:
            stride: level-0 pixels per pixel.

        Returns:
            (ceil(height / stride), ceil(width / stride), 3) uint8 RGB.

        Raises:
            InputError: if a tile is damaged, or the overview larger than `overview.MAX_OVERVIEW_PIXELS`.
        """
        return read_overview(self, stride)

    def model_downsample(self, mpp: float = MODEL_MPP) -> float:
        """Level-0 pixels per pixel at the model's resolution, 1 within a tenth of it (see `geometry`)."""
        return model_downsample(self.require_mpp(), mpp)


def check_reading(backend: str = "auto", assume_mpp: float | None = None) -> None:
    """Refuse settings with which no slide can be opened, before one is blamed for them.

    Raises:
        InputError: if a setting is not as `open_slide` says.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend must be one of {', '.join(BACKENDS)}, but got {backend!r}")
    if assume_mpp is not None:
        check_mpp("assume_mpp", assume_mpp)


def open_slide(path: str | Path, backend: str = "auto", assume_mpp: float | None = None) -> Slide:
    """Open a slide.

    Args:
        path: the file, or the folder of a DICOM slide, see `folders.dicom`.
        backend: ``cucim``, ``openslide``, or ``auto``: cuCIM for the TIFF and SVS files that it opens, else OpenSlide.
        assume_mpp: µm per level-0 pixel, over what the file says.

    Returns:
        The slide; close it, or use it in a ``with`` block.

    Raises:
        InputError: if the file is missing, damaged, or no slide, or the backend does not read it.
    """
    check_reading(backend, assume_mpp)
    path = Path(path)
    file = finest_file(path)
    check_is_file(file)
    if not file.is_file():
        raise InputError(f"{path}: no such slide; check the name and the folder")
    check_tile_sizes(file)
    try:
        slide = Slide(path, open_handle(file), backend, assume_mpp)
        if slide.cucim_fault is not None:
            note_fallback(slide.cucim_fault, path)
        return slide
    except InputError:
        raise
    except Exception as error:  # whatever a damaged header leads to
        raise InputError(
            f"{path}: cannot be opened as a slide ({one_line(error) or type(error).__name__}); copy it again from its "
            "source"
        ) from error
