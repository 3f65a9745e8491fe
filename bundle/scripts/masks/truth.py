"""Ground truth of a slide: a tumor mask (PNG, npy, TIFF; JPEG with a sidecar) or an annotation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..files import read_json
from .files import MASK_SUFFIXES, check_alone, level_shapes, one_channel, read_level, read_mask_array
from .placement import Bounds, place, placed_shape
from .strides import choose_level, mask_stride
from .thresholds import LOSSY_SUFFIXES, read_threshold


class Truth(NamedTuple):
    """Ground truth of a slide.

    Attributes:
        path: the file it came from.
        mask: (rows, cols) bool, true is tumor.
        stride: level-0 pixels per mask pixel.
        num_outlines: tumor outlines of an annotation, which may be too small to be drawn; None of a mask.
    """

    path: Path
    mask: npt.NDArray[np.bool_]
    stride: int
    num_outlines: int | None = None

    @property
    def marks_tumor(self) -> bool:
        """Whether there is tumor."""
        return bool(self.mask.any() if self.num_outlines is None else self.num_outlines)


def read_truth(
    path: Path,
    slide_shape: tuple[int, int],
    map_stride: int,
    wanted_stride: int,
    tumor_value: int | None = None,
    origin: tuple[int, int] = (0, 0),
    at_corner: bool = False,
    bounds: Bounds | None = None,
) -> Truth:
    """Read the ground truth of a slide.

    An annotation is drawn at ``wanted_stride``; of a pyramidal TIFF the coarsest level that is at least as fine is
    read, else the finest, and levels whose stride is in doubt are passed over; another mask has the stride that it
    has. That stride stands in the mask's sidecar (``<stem>.json``), or is the whole number that explains the mask's
    shape, each side rounded up or down.

    Args:
        path: a mask or an annotation.
        slide_shape: (height, width) in level-0 pixels.
        map_stride: stride of the slide's map, preferred where several strides explain the mask's shape.
        wanted_stride: level-0 pixels per pixel, for truth that comes at any stride or at several.
        tumor_value: the value that is tumor in masks of three values 0, 1, 2. None: masks are 0/1 or 0/255.
        origin: see `annotations.annotations.read_annotation`.
        at_corner: where an annotation is sampled, see `groundtruth.tumor_mask`.
        bounds: the part of the slide that was scanned, if it is known. A mask whose shape fits this part and not the
            slide is placed there, which warns: programs that show this part alone write such masks.

    Returns:
        The mask and its stride.

    Raises:
        InputError: if the file is damaged or too large, belongs to another slide or has other values.
    """
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff"):
        shapes = level_shapes(path)
        shown = placed_shape(path, shapes, slide_shape, bounds)
        level, stride = choose_level(path, shapes, shown, map_stride, wanted_stride)
        check_alone(path, level)
        array = read_level(path, level)
    elif suffix in (*MASK_SUFFIXES, *LOSSY_SUFFIXES):
        array = read_mask_array(path)
        shown = placed_shape(path, [(array.shape[0], array.shape[1])], slide_shape, bounds)
        stride = mask_stride(path, array.shape[:2], shown, map_stride)
    else:
        from ..annotations.annotations import read_annotation
        from .groundtruth import tumor_mask

        annotation = read_annotation(path, origin)
        drawn = tumor_mask(annotation, slide_shape, wanted_stride, at_corner)
        return Truth(path, drawn != 0, wanted_stride, len(annotation.tumor))
    gray, threshold = one_channel(path, array), read_threshold(path)
    mask = _is_tumor(path, gray, tumor_value) if threshold is None else gray >= threshold
    if bounds is not None and shown != slide_shape:
        mask = place(path, mask, stride, bounds, slide_shape)
    return Truth(path, mask, stride)


def is_flat_mask(path: Path) -> bool:
    """Whether a truth is a mask of one level, which does not say where its pixels were sampled."""
    is_tiff = path.suffix.lower() in (".tif", ".tiff")
    return path.suffix.lower() in (*MASK_SUFFIXES, *LOSSY_SUFFIXES) and not (is_tiff and len(level_shapes(path)) > 1)


class StatedScale(NamedTuple):
    """What a file of truth says of its slide: (height, width) in level-0 pixels, µm per level-0 pixel, or None.

    ``bounds`` is the part that was scanned, which only the slide itself says.
    """

    slide_shape: tuple[int, int] | None
    mpp: float | None
    bounds: Bounds | None = None


def stated_scale(path: Path) -> StatedScale:
    """Shape and resolution of the slide that a truth belongs to, by the truth itself.

    A mask's sidecar says both. The finest level of a pyramidal TIFF, as CAMELYON16 publishes its masks, has the slide's
    shape. An annotation says nothing, nor does a mask without a sidecar.

    Args:
        path: a mask or an annotation.

    Raises:
        InputError: if a file is damaged.
    """
    shape, mpp = None, None
    sidecar = path.with_suffix(".json")
    if path.suffix.lower() in (*MASK_SUFFIXES, *LOSSY_SUFFIXES) and sidecar.is_file():
        content = read_json(sidecar)
        if isinstance(content, dict):
            stated, found = content.get("shape"), content.get("mpp")
            if isinstance(stated, list) and len(stated) == 2 and all(type(side) is int for side in stated):
                shape = (stated[0], stated[1])
            mpp = float(found) if isinstance(found, (int, float)) and 0 < found < float("inf") else None
    if shape is None and path.suffix.lower() in (".tif", ".tiff"):
        shapes = level_shapes(path)
        shape = shapes[0] if len(shapes) > 1 else None
    return StatedScale(shape, mpp)


def _is_tumor(path: Path, array: npt.NDArray[Any], tumor_value: int | None) -> npt.NDArray[np.bool_]:
    """Tell tumor by value; a third value is an error, since two conventions disagree on which one is tumor."""
    if np.issubdtype(array.dtype, np.inexact) and not np.isfinite(array).all():
        raise InputError(f"{path}: expected 0 and 1, found NaN or infinity; write the mask again")
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf":
        raise InputError(f"{path}: expected a mask of numbers, found {array.dtype}; write it as 0 and 1")
    nonzero = array[array != 0]
    allowed = (1, 255) if tumor_value is None else tuple({1, 2, tumor_value})
    is_allowed = np.isin(nonzero, allowed)
    if not is_allowed.all() or (tumor_value is None and nonzero.size and (nonzero != nonzero[0]).any()):
        found = ", ".join(str(value) for value in np.unique(nonzero)[:5])
        way_out = (
            "write it as 0 and 1, or say which value is tumor with --tumor_value (2 in the masks published with "
            "CAMELYON16: 0 outside, 1 normal tissue, 2 tumor)"
            if tumor_value is None
            else f"drop or change --tumor_value {tumor_value}"
        )
        expected = "0/1 or 0/255" if tumor_value is None else f"0, {', '.join(map(str, sorted(allowed)))}"
        raise InputError(f"{path}: expected a mask of {expected}, found besides 0: {found}; {way_out}")
    result: npt.NDArray[np.bool_] = array != 0 if tumor_value is None else array == tumor_value
    return result
