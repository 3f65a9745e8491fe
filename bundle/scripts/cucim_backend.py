"""cuCIM made safe: an import that cannot hang, no log files left about, and damage that raises.

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
from typing import Any

import numpy as np
import numpy.typing as npt

CUFILE_CONFIG = Path(__file__).with_name("cufile.json")
_KERNEL_MODULES = Path("/proc/modules")
_DAMAGE = re.compile(r"error|failed|corrupt|cannot|unsupported", re.IGNORECASE)
_CAPTURE_LOCK = threading.Lock()


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


class CucimPixels:
    """Reads pixels of one slide with cuCIM.

    Args:
        path: the slide.

    Raises:
        ImportError: if cuCIM is not installed.
        OSError: if cuCIM cannot open the file.
    """

    name = "cucim"

    def __init__(self, path: Path) -> None:
        cucim = import_cucim()
        if cucim is None:
            raise ImportError("cuCIM is not installed; pip install cucim-cu13 (Linux only)")
        try:
            with _messages_as_errors():
                self._image: Any = cucim.CuImage(str(path))
        except (RuntimeError, ValueError) as error:
            raise OSError(str(error)) from error
        sizes = self._image.resolutions["level_dimensions"]
        self.level_shapes = tuple((int(height), int(width)) for width, height in sizes)

    def read(self, location_xy: tuple[int, int], size_xy: tuple[int, int], level: int) -> npt.NDArray[np.uint8]:
        """Pixels of a level.

        Args:
            location_xy: (x, y) of the top left pixel, level-0 frame.
            size_xy: (width, height) in pixels of the level; the whole lies inside the slide.
            level: the pyramid level.

        Returns:
            (height, width, 3) uint8 RGB.

        Raises:
            OSError: if a tile is damaged: cuCIM then prints a message and returns undefined pixels.
        """
        try:
            with _messages_as_errors():
                return np.asarray(self._image.read_region(location_xy, size_xy, level))[..., :3]
        except (RuntimeError, ValueError) as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        """Close the slide."""
        self._image.close()


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
            printed = capture.read().decode(errors="replace")
            damaged = _DAMAGE.search(printed) is not None
            if printed and not damaged:
                os.write(2, printed.encode())
    if damaged:
        raise OSError(" ".join(printed.split()))
