"""cuCIM made safe: an import that cannot hang, no log files left about, damage that raises, blank tiles that are white.

`MONAI` and `torch` come first in every process of ours, and cuCIM imported after a CUDA build of torch spins forever
on kernels without ``/proc/modules`` (libcufile's driver start loops there). `import_cucim` therefore is the only way
in: nothing else in this package imports cuCIM.
"""

from __future__ import annotations

import ctypes
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tifffile

CUFILE_CONFIG = Path(__file__).with_name("cufile.json")
_KERNEL_MODULES = Path("/proc/modules")
_DAMAGE = re.compile(r"error|failed|corrupt|cannot|unsupported", re.IGNORECASE)
_HARMLESS = re.compile(r"^.*compression support is not configured\.\n", re.MULTILINE)  # its libtiff; it decodes itself
_CAPTURE_LOCK = threading.Lock()
if hasattr(os, "register_at_fork"):  # a fork during a capture would leave the child a lock that nobody releases
    os.register_at_fork(
        before=_CAPTURE_LOCK.acquire, after_in_parent=_CAPTURE_LOCK.release, after_in_child=_CAPTURE_LOCK.release
    )

_PLAIN_COMPRESSIONS = (1, 5, 7, 8, 32946)
"""None, LZW, JPEG and the two numbers of Deflate (TIFF 6.0 and its technical notes): cuCIM and OpenSlide decode these
alike. Of the others cuCIM 26.10 refuses some, and its JPEG 2000 colors differ."""

_WHITE = 255


def prepare_cufile() -> None:
    """Keep libcufile from looping at start and from writing ``cufile.log`` into the working directory.

    Where the kernel lists its modules, GPUDirect Storage may work, and only the log is moved. What the user has set
    stays as it is. Child processes inherit the settings.
    """
    os.environ.setdefault("CUFILE_LOGFILE_PATH", os.devnull)
    if not _KERNEL_MODULES.exists():
        os.environ.setdefault("CUFILE_ENV_PATH_JSON", str(CUFILE_CONFIG))


def import_cucim() -> ModuleType | None:
    """Import cuCIM's reader safely.

    Returns:
        The module, or None where cuCIM is not installed (it exists for Linux only).
    """
    prepare_cufile()
    try:
        import cucim
    except ImportError:
        return None
    return cucim if hasattr(cucim, "CuImage") else None


class TileLayout(NamedTuple):
    """How a level of a TIFF is cut into tiles.

    Attributes:
        tile_shape: (height, width) of a tile in pixels.
        is_missing: (tile rows, tile cols) bool, true where the file stores no tile, since nothing was scanned there.
    """

    tile_shape: tuple[int, int]
    is_missing: npt.NDArray[np.bool_]


def read_tile_layouts(path: Path, level_shapes: tuple[tuple[int, int], ...]) -> tuple[TileLayout, ...]:
    """Find the tiles of a TIFF's levels, and make sure that cuCIM decodes them as OpenSlide does.

    Other layouts than plain 8-bit RGB it decodes to other pixels (16 bits, separate planes, transparency), refuses at
    the first read (Zstandard, PackBits), or it ends the process (Deflate with a predictor; all with cuCIM 26.10).

    Args:
        path: the TIFF.
        level_shapes: (height, width) of each level.

    Returns:
        The layout of each level.

    Raises:
        OSError: if a level is not stored in a way that cuCIM decodes well.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            pages = {page.shape[:2]: page for page in reversed(tiff.pages) if _is_tiled(page)}
            return tuple(_tile_layout(pages.get(shape), shape) for shape in level_shapes)
    except tifffile.TiffFileError as error:
        raise OSError(str(error)) from error


def _is_tiled(page: Any) -> bool:
    return isinstance(page, tifffile.TiffPage) and page.is_tiled


def _tile_layout(page: Any, level_shape: tuple[int, int]) -> TileLayout:
    if page is None:
        raise OSError(f"no tiled TIFF page has the (height, width) {level_shape} of a level")
    stored = (page.samplesperpixel, page.bitspersample, page.planarconfig, page.extrasamples)
    if stored != (3, 8, 1, ()) or page.compression not in _PLAIN_COMPRESSIONS or page.predictor != 1:
        raise OSError(
            f"the level of (height, width) {level_shape} is stored with {page.samplesperpixel} samples of "
            f"{page.bitspersample} bits, planes {page.planarconfig}, compression {int(page.compression)} and "
            f"predictor {int(page.predictor)}, and not as plain 8-bit RGB tiles"
        )
    tile_shape = (page.tilelength, page.tilewidth)
    rows, cols = (-(-side // tile) for side, tile in zip(level_shape, tile_shape, strict=True))
    return TileLayout(tile_shape, np.equal(page.databytecounts, 0).reshape(rows, cols))


class CucimPixels:
    """Reads pixels of one slide with cuCIM; tiles that the file does not store are white.

    Args:
        path: the slide.
        level_shapes: (height, width) of each level, as OpenSlide sees them.

    Raises:
        ImportError: if cuCIM is not installed.
        OSError: if cuCIM cannot open the file, or does not decode it as OpenSlide does.
    """

    name = "cucim"

    def __init__(self, path: Path, level_shapes: tuple[tuple[int, int], ...]) -> None:
        cucim = import_cucim()
        if cucim is None:
            raise ImportError("cuCIM is not installed; pip install cucim-cu13 (Linux only)")
        self._layouts = read_tile_layouts(path, level_shapes)
        try:
            with _messages_as_errors():
                self._image: Any = cucim.CuImage(str(path))
        except (RuntimeError, ValueError) as error:
            raise OSError(str(error)) from error
        resolutions = self._image.resolutions
        found = tuple((int(height), int(width)) for width, height in resolutions["level_dimensions"])
        if found != level_shapes:
            self.close()
            raise OSError(f"it sees levels of (height, width) {found}, OpenSlide {level_shapes}")
        self._downsamples = tuple(resolutions["level_downsamples"])

    def read(self, location: tuple[int, int], size: tuple[int, int], level: int) -> npt.NDArray[np.uint8]:
        """Pixels of a level.

        Args:
            location: (row, col) of the top left pixel, frame of the level.
            size: (height, width) in pixels of the level; the whole lies inside the slide.
            level: the pyramid level.

        Returns:
            (height, width, 3) uint8 RGB.

        Raises:
            OSError: if a tile is damaged: cuCIM then prints a message and returns undefined pixels.
        """
        location_xy = tuple(self._to_level0(value, level) for value in location[::-1])
        try:
            with _messages_as_errors():
                pixels = np.asarray(self._image.read_region(location_xy, size[::-1], level))[..., :3]
        except (RuntimeError, ValueError) as error:
            raise OSError(str(error)) from error
        return _whiten_missing(pixels, location, self._layouts[level])

    def _to_level0(self, value: int, level: int) -> int:
        # cuCIM divides in float32 and truncates: aim at the middle of the pixel, where no rounding matters
        return value if self._downsamples[level] == 1 else round((value + 0.5) * self._downsamples[level])

    def close(self) -> None:
        """Close the slide."""
        self._image.close()


def _whiten_missing(
    pixels: npt.NDArray[np.uint8], location: tuple[int, int], layout: TileLayout
) -> npt.NDArray[np.uint8]:
    """White in place of the tiles that the file does not store, which cuCIM leaves black and OpenSlide transparent."""
    first = tuple(start // tile for start, tile in zip(location, layout.tile_shape, strict=True))
    last = tuple(
        (start + side - 1) // tile for start, side, tile in zip(location, pixels.shape, layout.tile_shape, strict=False)
    )
    is_missing = layout.is_missing[first[0] : last[0] + 1, first[1] : last[1] + 1]
    if not is_missing.any():
        return pixels
    for axis, tile in enumerate(layout.tile_shape):
        start = location[axis] - first[axis] * tile
        is_missing = is_missing.repeat(tile, axis).take(range(start, start + pixels.shape[axis]), axis)
    return np.where(is_missing[..., None], np.uint8(_WHITE), pixels)


@contextmanager
def _messages_as_errors() -> Iterator[None]:
    """Raise what native code prints inside the block, if it tells of damage; pass on the rest.

    cuCIM reports a tile that it cannot decode by a line of C's printf and by nothing else.

    Raises:
        OSError: if a line tells of damage.
    """
    with _CAPTURE_LOCK, tempfile.TemporaryFile() as capture:
        libc = ctypes.CDLL(None)
        libc.fflush(None)
        saved = [os.dup(descriptor) for descriptor in (1, 2)]
        try:
            for descriptor in (1, 2):
                os.dup2(capture.fileno(), descriptor)
            yield
        finally:
            libc.fflush(None)
            for descriptor, original in zip((1, 2), saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)
            capture.seek(0)
            printed = _HARMLESS.sub("", capture.read().decode(errors="replace"))
            damaged = _DAMAGE.search(printed) is not None
            if printed and not damaged:
                os.write(2, printed.encode())
    if damaged:
        raise OSError(" ".join(printed.split()))
