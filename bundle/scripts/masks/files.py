"""Masks as files: written as 8-bit pictures, read from pictures, numpy arrays and TIFFs, whatever they mean."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from ..errors import InputError, counted
from ..files import atomic_path, check_is_file, check_upright, read_npy

if TYPE_CHECKING:
    import tifffile

MASK_SUFFIXES = (".png", ".npy", ".tif", ".tiff")

MAX_MASK_PIXELS = 1 << 28
"""No larger mask is decoded: 16,384 x 16,384, four times a whole CAMELYON16 slide at the challenge's level 5."""

_READABLE_PHOTOMETRICS = (1, 2, 6)  # black is zero, RGB, and YCbCr, which is decoded to RGB

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
        (rows, cols), or (rows, cols, channels) of a picture that has several; values as stored. Of a palette of grays
        the grays that a viewer shows, and of one of colors that begins with black the indices, which are classes then.

    Raises:
        InputError: if the file is damaged, larger than `MAX_MASK_PIXELS`, or its values do not say what is tumor.
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

    check_is_file(path)
    try:
        with tifffile.TiffFile(path) as tiff:
            return [_shape(page) for page in _pages(tiff)]
    except (*_UNREADABLE, tifffile.TiffFileError) as error:
        raise InputError(f"{path}: not a readable TIFF ({error}); write it again") from error


def read_level(path: Path, level: int) -> npt.NDArray[Any]:
    """Read one page or pyramid level of a TIFF.

    Args:
        path: the file.
        level: index into `level_shapes`.

    Returns:
        (rows, cols), or (rows, cols, channels); values as stored, of palettes as in `read_mask_array`, and turned over
        where white is zero (PhotometricInterpretation 0 of TIFF 6.0).

    Raises:
        InputError: if the file is damaged, the level larger than `MAX_MASK_PIXELS`, or its values do not say what is
            tumor.
    """
    import tifffile

    check_is_file(path)
    try:
        with tifffile.TiffFile(path) as tiff:
            page = _pages(tiff)[level]
            _check_size(path, _shape(page))
            turned = page.tags.get("Orientation")
            check_upright(path, None if turned is None else turned.value)
            array = np.asarray(page.asarray())
            photometric, bits, colormap = int(page.photometric), page.bitspersample, page.colormap
    except InputError:
        raise
    except (*_UNREADABLE, tifffile.TiffFileError) as error:
        raise InputError(f"{path}: damaged TIFF ({error}); write it again") from error
    if photometric == tifffile.PHOTOMETRIC.PALETTE and colormap is not None:
        is_wide = colormap.max() > 255  # 16 bits as TIFF 6.0 says; some programs write 8
        return _of_palette(path, array, (colormap >> 8 if is_wide else colormap).T.astype(np.uint8))
    if photometric == tifffile.PHOTOMETRIC.MINISWHITE and array.dtype.kind in "bu":
        turned_over = ~array if array.dtype == np.bool_ else np.asarray((1 << bits) - 1 - array, dtype=array.dtype)
        if array.ndim == 3:
            turned_over[..., 1:] = array[..., 1:]  # transparency means what it meant
        return turned_over
    if photometric not in _READABLE_PHOTOMETRICS:
        raise InputError(f"{path}: expected a gray mask, found photometric {photometric}; write it as plain gray")
    return array


def check_alone(path: Path, level: int) -> None:
    """Refuse a TIFF that holds another picture of a level's shape with other values: one of two does not say which.

    Such are the planes of a stack, the channels of a microscope, and the classes that some programs write to a page
    each.

    Args:
        path: the file.
        level: index into `level_shapes`.

    Raises:
        InputError: if it does, or a page is damaged.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            levels = [level for series in tiff.series for level in series.levels]
            shape = _shape(levels[level].keyframe)
            pages = [page for found in levels if _shape(found.keyframe) == shape for page in found.pages if page]
            if len(pages) > 1:
                _check_size(path, shape)
                first = pages[0].asarray()
            for number, page in enumerate(pages[1:], start=2):
                if not np.array_equal(page.asarray(), first):
                    found = counted(len(pages), "picture")
                    raise InputError(
                        f"{path}: expected one mask, found {found} of {shape[0]} x {shape[1]}, of which the first and "
                        f"number {number} differ; write the one that shows the tumor to a file of its own"
                    )
    except InputError:
        raise
    except (*_UNREADABLE, tifffile.TiffFileError) as error:
        raise InputError(f"{path}: damaged TIFF ({error}); write it again") from error


def one_channel(path: Path, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Drop channels that repeat the first, and an alpha that hides nothing.

    Args:
        path: the file, for messages.
        array: (rows, cols), or (rows, cols, channels) of 1 to 4.

    Returns:
        (rows, cols), of the same type.

    Raises:
        InputError: if the channels differ, transparent pixels are not 0 or seem to be what is meant, or the array has
            another form.
    """
    if array.ndim == 3 and array.shape[2] in (1, 2, 3, 4):
        gray = array[..., 0]
        is_hidden = array[..., -1] == 0 if array.shape[2] in (2, 4) else np.False_
        if gray[is_hidden].any() or (not gray.any() and np.any(is_hidden) and not np.all(is_hidden)):
            raise InputError(
                f"{path}: expected a gray mask, found transparent pixels, which leave open what is tumor; "
                "write it as plain gray, without transparency"
            )
        if array.shape[2] < 3 or (np.array_equal(gray, array[..., 1]) and np.array_equal(gray, array[..., 2])):
            return gray
    elif array.ndim == 2:
        return array
    raise InputError(f"{path}: expected a gray mask, found an array of shape {array.shape} with colors; write it gray")


def _read_picture(path: Path) -> npt.NDArray[Any]:
    check_is_file(path)
    with warnings.catch_warnings():
        # Masks may exceed what Pillow takes for a picture's usual size; MAX_MASK_PIXELS is checked instead.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as picture:
                _check_size(path, picture.size[::-1])
                if picture.mode in ("LA", "RGB", "RGBA") and ";16" in str(getattr(picture, "tile", "")):
                    raise InputError(  # Pillow drops the lower byte, which holds all of a mask of 0 and 1 or 255
                        f"{path}: expected a gray mask, found colors or transparency of 16 bits; write it as plain gray"
                    )
                if (num_pictures := getattr(picture, "n_frames", 1)) > 1:
                    raise InputError(
                        f"{path}: expected one mask, found {counted(num_pictures, 'picture')}; keep it alone"
                    )
                check_upright(path, picture.getexif().get(ExifTags.Base.Orientation))
                if picture.mode == "P":
                    return _of_palette(path, np.asarray(picture), _palette(picture), picture.info.get("transparency"))
                is_keyed = "transparency" in picture.info and picture.mode in ("1", "L", "RGB")
                return np.asarray(picture.convert("RGBA") if is_keyed else picture)
        except InputError:
            raise
        except (*_UNREADABLE, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"{path}: not a readable mask ({error}); write it again") from error


def _palette(picture: Image.Image) -> npt.NDArray[np.uint8]:
    return np.array(picture.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)


def _of_palette(
    path: Path, indices: npt.NDArray[Any], colors: npt.NDArray[np.uint8], transparency: int | bytes | None = None
) -> npt.NDArray[np.uint8]:
    """What a picture with a palette shows: grays, or the indices where they are classes, and alpha if it has any.

    Args:
        path: the file, for messages.
        indices: (rows, cols) unsigned.
        colors: (N, 3) RGB of each index.
        transparency: as Pillow has it: the transparent index, or the alpha of the first ones.

    Raises:
        InputError: if there is another color than gray, and index 0 is not black, or an index has no color.
    """
    is_used = np.zeros(1 << 16, dtype=bool)
    for row in indices:
        is_used[row] = True
    used = np.flatnonzero(is_used)
    if used.max(initial=0) >= len(colors):
        raise InputError(f"{path}: expected colors for all of the mask's indices, found {len(colors)}; write it gray")
    values = np.zeros(used.max(initial=0) + 1, dtype=indices.dtype)
    is_gray = (colors[used] == colors[used, :1]).all()
    if not is_gray and (colors[0].any() or not colors[used[used > 0]].any(axis=1).all()):
        raise InputError(
            f"{path}: expected a gray mask, found a palette of colors that does not begin with black; "
            "write it as plain gray"
        )
    values[used] = colors[used, 0] if is_gray else used
    if transparency is None:
        return np.asarray(values[indices])
    alpha = np.full(max(len(values), 256), 255, dtype=indices.dtype)
    if isinstance(transparency, bytes):
        alpha[: len(transparency)] = list(transparency)
    else:
        alpha[transparency] = 0
    return np.stack([values[indices], alpha[indices]], axis=-1)


def _read_npy(path: Path) -> npt.NDArray[Any]:
    array = read_npy(path)
    if array.ndim != 2:
        raise InputError(f"{path}: expected a mask of shape (rows, cols), found {array.shape}; write it so")
    _check_size(path, array.shape)
    return np.asarray(array)


def _pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    return [level.keyframe for series in tiff.series for level in series.levels]


def _shape(page: tifffile.TiffPage) -> tuple[int, int]:
    return int(page.imagelength), int(page.imagewidth)


def _check_size(path: Path, shape: tuple[int, ...]) -> None:
    if shape[0] * shape[1] > MAX_MASK_PIXELS:
        raise InputError(
            f"{path}: expected a mask of at most {MAX_MASK_PIXELS:,} pixels, found {shape[0]} x {shape[1]}; "
            "write it as a pyramid or at a coarser stride"
        )
