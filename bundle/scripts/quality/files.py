"""Artifact masks as files: ``<name>_artifacts.png``, 8 bits a pixel. Values are classes, the palette their colors."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import InputError
from ..files import atomic_path, check_is_file
from ..folders.names import name_key, slide_name
from .classes import COLORS, FOUND, Artifact

SUFFIX = "_artifacts.png"
"""Follows the slide's name."""

_OPACITY = 0.55


def check_artifacts_name(slide: str | Path) -> None:
    """Refuse a slide whose results would have the name of another's artifact mask.

    Raises:
        InputError: if the slide's name ends like one.
    """
    ending = SUFFIX.removesuffix(".png")
    if name_key(slide_name(slide)).endswith(ending):
        raise InputError(
            f"{slide}: expected a name that does not end in {ending!r}, which artifact masks have; rename it"
        )


def encode_artifacts(classes: npt.NDArray[np.uint8]) -> bytes:
    """An artifact mask as PNG.

    Args:
        classes: (rows, cols) uint8 of `classes.Artifact`.

    Returns:
        The file's content.
    """
    content = io.BytesIO()
    picture = Image.fromarray(classes)
    picture.putpalette([value for color in COLORS for value in color])
    picture.save(content, "PNG")
    return content.getvalue()


def write_artifacts(path: str | Path, content: bytes) -> None:
    """Write what `encode_artifacts` gave.

    Raises:
        InputError: if the folder is full or read-only.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_artifacts(path: str | Path, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Read an artifact mask.

    Args:
        path: the PNG.
        shape: (rows, cols) that it must have.

    Returns:
        (rows, cols) uint8 of `classes.Artifact`.

    Raises:
        InputError: if it is missing, damaged, of another shape, or holds other values.
    """
    check_is_file(path)
    try:
        with Image.open(path) as picture:
            if picture.size[::-1] != shape:
                raise InputError(
                    f"{path}: expected an artifact mask of shape (rows, cols) {shape}, found {picture.size[::-1]}; "
                    "make it again at the same stride"
                )
            if picture.mode not in ("P", "L"):
                raise InputError(f"{path}: expected 8 bits a pixel, found {picture.mode!r}; write classes as numbers")
            classes = np.array(picture)
            palette = picture.getpalette("RGB") if picture.mode == "P" else None
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such artifact mask; make it with 'tumor-detection foreground'") from error
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # what Pillow raises
        raise InputError(f"{path}: not a readable artifact mask ({error}); make it again") from error
    if palette is not None:
        classes = _by_color(path, classes, palette)
    if (highest := int(classes.max(initial=0))) >= len(Artifact):
        raise InputError(f"{path}: expected classes from 0 to {len(Artifact) - 1}, found {highest}; make it again")
    return classes


def _by_color(path: str | Path, indices: npt.NDArray[np.uint8], palette: list[int]) -> npt.NDArray[np.uint8]:
    """Classes by the colors of a palette, which programs put into an order of their own when they save a picture."""
    colors = [tuple(palette[start : start + 3]) for start in range(0, len(palette), 3)]
    used = np.unique(indices)
    if strange := [index for index in used.tolist() if index >= len(colors) or colors[index] not in COLORS]:
        shown = colors[strange[0]] if strange[0] < len(colors) else "none"
        raise InputError(f"{path}: expected the colors of artifact classes, found {shown}; make it again")
    classes = np.zeros(256, dtype=np.uint8)
    classes[used] = [COLORS.index(colors[index]) for index in used]
    return classes[indices]


def with_artifacts(picture: npt.NDArray[np.uint8], classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A picture tinted with the colors of the artifacts.

    Args:
        picture: (height, width, 3) uint8 RGB, of any size.
        classes: (rows, cols) uint8 of `classes.Artifact`, of the same field.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    if not classes.any():
        return picture
    size_xy = (picture.shape[1], picture.shape[0])
    scaled = np.asarray(Image.fromarray(classes).resize(size_xy, Image.Resampling.NEAREST))
    tinted = picture.copy()
    for artifact in FOUND:
        where = scaled == artifact
        mixed = (1 - _OPACITY) * picture[where] + _OPACITY * np.array(COLORS[artifact])
        tinted[where] = np.rint(mixed).astype(np.uint8)
    return tinted
