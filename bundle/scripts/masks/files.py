"""Masks as files: written as 8-bit pictures, read from pictures, numpy arrays and TIFFs, whatever they mean."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import InputError
from ..files import atomic_path, read_npy

if TYPE_CHECKING:
    import tifffile

MASK_SUFFIXES = (".png", ".npy", ".tif", ".tiff")

MAX_MASK_PIXELS = 1 << 28
"""No larger mask is decoded: 16,384 x 16,384, four times a whole CAMELYON16 slide at the challenge's level 5."""

_UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, KeyError, IndexError, TypeError, struct.error)


def write_mask(path: str | Path, mask: npt.NDArray[np.bool_]) -> None:
    """Write a bool (rows, cols) mask as an 8-bit PNG of 0 and 255."""
    with atomic_path(path) as temporary:
        Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(temporary)


def read_mask_array(path: Path) -> npt.NDArray[Any]:
    """Read a picture or a numpy array whole.

    Args:
        path: a PNG, or an ``.npy`` file of two dimensions.

    Returns:
        (rows, cols), or (rows, cols, channels) of a picture that has several; values as stored.

    Raises:
        InputError: if the file is damaged, or larger than `MAX_MASK_PIXELS`.
    """
    return _read_npy(path) if path.suffix.lower() == ".npy" else _read_picture(path)


def level_shapes(path: Path) -> list[tuple[int, int]]:
    """Shapes of the pages and pyramid levels of a TIFF.

    Args:
        path: the file.

    Returns:
        (height, width) of each, in the file's order.

    Raises:
        InputError: if the file is damaged.
    """
    import tifffile  # masks of other forms do not need it

    try:
        with tifffile.TiffFile(path) as tiff:
            return [(int(page.imagelength), int(page.imagewidth)) for page in _pages(tiff)]
    except (*_UNREADABLE, tifffile.TiffFileError) as error:
        raise InputError(f"{path}: not a readable TIFF ({error}); write it again") from error


def read_level(path: Path, level: int) -> npt.NDArray[Any]:
    """Read one page or pyramid level of a TIFF.

    Args:
        path: the file.
        level: index into `level_shapes`.

    Returns:
        (rows, cols), or (rows, cols, channels); values as stored.

    Raises:
        InputError: if the file is damaged, or the level larger than `MAX_MASK_PIXELS`.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = _pages(tiff)[level]
            _check_size(path, (int(page.imagelength), int(page.imagewidth)))
            return np.asarray(page.asarray())
    except InputError:
        raise
    except (*_UNREADABLE, tifffile.TiffFileError) as error:
        raise InputError(f"{path}: damaged TIFF ({error}); write it again") from error


def one_channel(path: Path, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Drop channels that repeat the first, and alpha.

    Args:
        path: the file, for messages.
        array: (rows, cols), or (rows, cols, channels) of 1 to 4.

    Returns:
        (rows, cols), of the same type.

    Raises:
        InputError: if the channels differ, or the array has another form.
    """
    if array.ndim == 3 and array.shape[2] in (1, 2, 3, 4):
        gray = array[..., 0]
        if array.shape[2] < 3 or (np.array_equal(gray, array[..., 1]) and np.array_equal(gray, array[..., 2])):
            return gray
    elif array.ndim == 2:
        return array
    raise InputError(f"{path}: expected a gray mask, found an array of shape {array.shape} with colors; write it gray")


def _read_picture(path: Path) -> npt.NDArray[Any]:
    with warnings.catch_warnings():
        # Masks may exceed what Pillow takes for a picture's usual size; MAX_MASK_PIXELS is checked instead.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as picture:
                _check_size(path, picture.size[::-1])
                return np.asarray(picture)
        except InputError:
            raise
        except (*_UNREADABLE, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"{path}: not a readable mask ({error}); write it again") from error


def _read_npy(path: Path) -> npt.NDArray[Any]:
    array = read_npy(path)
    if array.ndim != 2:
        raise InputError(f"{path}: expected a mask of shape (rows, cols), found {array.shape}; write it so")
    _check_size(path, array.shape)
    return np.asarray(array)


def _pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    return [level.keyframe for series in tiff.series for level in series.levels]


def _check_size(path: Path, shape: tuple[int, ...]) -> None:
    if shape[0] * shape[1] > MAX_MASK_PIXELS:
        raise InputError(
            f"{path}: expected a mask of at most {MAX_MASK_PIXELS:,} pixels, found {shape[0]} x {shape[1]}; "
            "write it as a pyramid or at a coarser stride"
        )
