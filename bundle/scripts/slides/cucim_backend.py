"""cuCIM made safe: an import that cannot hang, damage that raises or is found before, blank tiles that are white.

`MONAI` and `torch` come first in every process of ours, and cuCIM imported after a CUDA build of torch spins forever
on kernels without ``/proc/modules`` (libcufile's driver start loops there). `import_cucim` therefore is the only way
in: nothing else in this package imports cuCIM.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from .jpeg_headers import Frame, read_frame
from .native_messages import messages_as_errors
from .tile_layout import TileLayout

CUFILE_CONFIG = Path(__file__).with_name("cufile.json")
_KERNEL_MODULES = Path("/proc/modules")
_WHITE = 255
_HEAD_BYTES = 1024  # where the frame header is, unless other markers come first


def prepare_cufile() -> None:
    """Keep libcufile from looping at start and from writing ``cufile.log`` into the working directory.

    Where the kernel lists its modules, GPUDirect Storage may work, and only the log is moved. What the user has set
    stays as it is. Child processes inherit the settings.
    """
    os.environ.setdefault("CUFILE_LOGFILE_PATH", os.devnull)
    if not _KERNEL_MODULES.exists():
        os.environ.setdefault("CUFILE_ENV_PATH_JSON", str(CUFILE_CONFIG))


def import_cucim(with_cupy: bool = True) -> ModuleType | None:
    """Import cuCIM's reader safely.

    Args:
        with_cupy: false leaves out CuPy, which cuCIM imports for its functions on a GPU and which takes twelve times as
            long as the reader: for processes that only read.

    Returns:
        The module, or None where cuCIM is not installed (it exists for Linux only).
    """
    prepare_cufile()
    try:
        with nullcontext() if with_cupy or "cupy" in sys.modules else _cupy_left_out():
            import cucim
    except ImportError:
        return None
    return cucim if hasattr(cucim, "CuImage") else None


@contextmanager
def _cupy_left_out() -> Iterator[None]:
    """Python refuses to import what is None among its modules; cuCIM then does without."""
    sys.modules["cupy"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["cupy"]


class NotForCucimError(OSError):
    """CuCIM is not known to decode a file right.

    Attributes:
        kind: why, without what is this file's own.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class CucimPixels:
    """Reads pixels of one slide with cuCIM; tiles that the file does not store are white.

    Args:
        path: the slide.
        level_shapes: (height, width) of each level, as OpenSlide sees them.
        layouts: of the levels, see `tile_layout.read_tile_layouts`.

    Raises:
        ImportError: if cuCIM is not installed.
        NotForCucimError: if cuCIM is not known to decode it right.
        OSError: if cuCIM cannot open the file.
    """

    name = "cucim"

    def __init__(self, path: Path, level_shapes: tuple[tuple[int, int], ...], layouts: tuple[TileLayout, ...]) -> None:
        cucim = import_cucim()
        if cucim is None:
            raise ImportError("cuCIM is not installed; pip install cucim-cu13 (Linux only)")
        for level, layout in enumerate(layouts):
            if layout.cucim_fault is not None:
                raise NotForCucimError(layout.cucim_fault, f"level {level}: {layout.cucim_fault}")
        self._layouts = layouts
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115
        try:
            with messages_as_errors():
                self._image: Any = cucim.CuImage(str(path))
        except (RuntimeError, ValueError) as error:
            self._file.close()
            raise OSError(str(error)) from error
        resolutions = self._image.resolutions
        found = tuple((int(height), int(width)) for width, height in resolutions["level_dimensions"])
        if found != level_shapes:
            self.close()
            message = f"it sees levels of (height, width) {found}, OpenSlide {level_shapes}"
            raise NotForCucimError("it sees other levels than OpenSlide", message)
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
            OSError: if a tile is damaged. cuCIM prints a message and returns undefined pixels, or ends the process
                where a tile's JPEG stream has another size than the TIFF says; that is looked up before.
        """
        layout = self._layouts[level]
        tiles = _tile_range(location, size, layout)
        is_missing = layout.sizes[tiles] == 0
        if is_missing.all():
            return np.full((*size, 3), _WHITE, dtype=np.uint8)
        if layout.is_jpeg:
            for offset, num_bytes in zip(layout.offsets[tiles].flat, layout.sizes[tiles].flat, strict=True):
                if num_bytes > 0:
                    self._check_frame(int(offset), int(num_bytes), layout)
        if not is_missing.any():
            return self._read(location, size, level)
        if layout.num_samples == 1:
            return self._read_stored(location, size, level, tiles)
        pixels = self._read(location, size, level)
        for part in _parts(is_missing, location, size, tiles, layout):  # cuCIM leaves them black
            pixels[part] = _WHITE
        return pixels

    def _read(self, location: tuple[int, int], size: tuple[int, int], level: int) -> npt.NDArray[np.uint8]:
        location_xy = tuple(self._to_level0(value, level) for value in location[::-1])
        try:
            with messages_as_errors():
                return np.asarray(self._image.read_region(location_xy, size[::-1], level))[..., :3]
        except (RuntimeError, ValueError) as error:
            raise OSError(str(error)) from error

    def _read_stored(
        self, location: tuple[int, int], size: tuple[int, int], level: int, tiles: tuple[slice, slice]
    ) -> npt.NDArray[np.uint8]:
        """Pixels of a gray level tile by tile: cuCIM leaves it to libtiff, which gives up at a tile that is missing."""
        layout = self._layouts[level]
        pixels = np.full((*size, 3), _WHITE, dtype=np.uint8)
        for rows, cols in _parts(layout.sizes[tiles] > 0, location, size, tiles, layout):
            corner = location[0] + rows.start, location[1] + cols.start
            pixels[rows, cols] = self._read(corner, (rows.stop - rows.start, cols.stop - cols.start), level)
        return pixels

    def _check_frame(self, offset: int, num_bytes: int, layout: TileLayout) -> None:
        frame = read_frame(os.pread(self._file.fileno(), min(num_bytes, _HEAD_BYTES), offset))
        if frame is None:
            frame = read_frame(os.pread(self._file.fileno(), num_bytes, offset))
        expected = Frame(layout.tile_shape, layout.num_samples, 8)
        if frame != expected:
            raise OSError(
                f"the JPEG stream at byte {offset} has {_describe(frame)}, but the TIFF says {_describe(expected)}"
            )

    def _to_level0(self, value: int, level: int) -> int:
        # cuCIM divides in float32 and truncates: aim at the middle of the pixel, where no rounding matters
        return value if self._downsamples[level] == 1 else round((value + 0.5) * self._downsamples[level])

    def close(self) -> None:
        """Close the slide."""
        self._image.close()
        self._file.close()


def _describe(frame: Frame | None) -> str:
    if frame is None:
        return "no frame header"
    height, width = frame.shape
    return f"{height} x {width} pixels of {frame.num_components} components of {frame.precision} bits"


def _tile_range(location: tuple[int, int], size: tuple[int, int], layout: TileLayout) -> tuple[slice, slice]:
    """The rows and columns of tiles below a region."""
    rows, cols = (
        slice(start // tile, (start + side - 1) // tile + 1)
        for start, side, tile in zip(location, size, layout.tile_shape, strict=True)
    )
    return rows, cols


def _parts(
    chosen: npt.NDArray[np.bool_],
    location: tuple[int, int],
    size: tuple[int, int],
    tiles: tuple[slice, slice],
    layout: TileLayout,
) -> Iterator[tuple[slice, slice]]:
    """The rows and columns of a region that lie in chosen ones of the tiles below it, tile by tile."""
    for tile in np.argwhere(chosen).tolist():
        rows, cols = (
            slice(max((first.start + at) * side - start, 0), min((first.start + at + 1) * side - start, extent))
            for first, at, side, start, extent in zip(tiles, tile, layout.tile_shape, location, size, strict=True)
        )
        yield rows, cols
