"""Probability maps of other programs that come as gray pictures, as JPEG or PNG say, with a sidecar of our form."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from ..errors import InputError
from ..files import check_is_file, check_upright, read_json

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")

KEY = "value_of_one"
"""What the sidecar of a picture states: the gray value that is probability 1. A picture without is no map."""


_PHOTOMETRIC = 262  # PhotometricInterpretation of TIFF 6.0

MAX_PIXELS = 1 << 28
"""No larger picture is decoded: 16,384 x 16,384, four times a whole CAMELYON16 slide at one pixel per 32."""


def find_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder that are maps by their sidecars."""
    paths = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    return [path for path in paths if _states_value(path.with_suffix(".json"))]


def _states_value(sidecar: Path) -> bool:
    content = read_json(sidecar) if sidecar.is_file() else None
    return isinstance(content, dict) and KEY in content


def read_value_of_one(sidecar: Path, content: dict[str, Any]) -> float | None:
    """The gray value that is probability 1.

    Args:
        sidecar: the file, for messages.
        content: what it holds.

    Returns:
        The value, or None if it states none.

    Raises:
        InputError: if it is no positive number.
    """
    value = content.get(KEY)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
        raise InputError(
            f"{sidecar}: {KEY}: expected the gray value that is probability 1, found {value!r:.40}; mend it"
        )
    return float(value)


def read_picture(path: Path, shape: tuple[int, int], value_of_one: float) -> npt.NDArray[np.float32]:
    """Read a map that is a picture.

    Args:
        path: a gray picture of 8 or 16 bits.
        shape: (rows, cols) that its sidecar says; nothing of another shape is decoded.
        value_of_one: the gray value that is probability 1; what is brighter, as JPEG makes it at edges, is 1 too.

    Returns:
        (rows, cols) float32 in [0, 1].

    Raises:
        InputError: if it is damaged, colored or larger than `MAX_PIXELS`, or has another shape.
    """
    check_is_file(path)
    with warnings.catch_warnings():
        # the shape is checked instead, against what the sidecar says
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as picture:
                if picture.size != shape[::-1]:
                    raise InputError(
                        f"{path}: expected {shape[0]} x {shape[1]} pixels (rows x columns) by its sidecar, found "
                        f"{picture.size[1]} x {picture.size[0]}; mend shape or stride there"
                    )
                if shape[0] * shape[1] > MAX_PIXELS:
                    raise InputError(f"{path}: expected at most {MAX_PIXELS:,} pixels, found {shape[0]} x {shape[1]}")
                if picture.mode not in ("L", "I;16", "I;16B", "I;16L", "I"):
                    raise InputError(f"{path}: expected a gray picture, found mode {picture.mode}; write it gray")
                check_upright(path, picture.getexif().get(ExifTags.Base.Orientation))
                if (num_pictures := getattr(picture, "n_frames", 1)) > 1:
                    raise InputError(f"{path}: expected one picture, found {num_pictures}; keep the map alone")
                gray = np.asarray(picture)
                if picture.mode != "L" and getattr(picture, "tag_v2", {}).get(_PHOTOMETRIC) == 0:
                    gray = np.iinfo(np.uint16).max - gray  # white is zero, which Pillow turns over in 8 bits alone
        except InputError:
            raise
        except (OSError, EOFError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"{path}: not a readable picture ({error}); write it again") from error
    probabilities: npt.NDArray[np.float32] = np.clip(gray.astype(np.float32) / np.float32(value_of_one), 0, 1)
    return probabilities
