"""The stride of a mask: how many level-0 pixels a pixel of it covers, by its sidecar or its shape."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..files import read_json


def choose_level(
    path: Path,
    shapes: Sequence[tuple[int, int]],
    slide_shape: tuple[int, int],
    map_stride: int,
    wanted_stride: int,
) -> tuple[int, int]:
    """The level of a TIFF to read, and its stride.

    Args:
        path: the mask, for messages.
        shapes: (rows, cols) of its levels.
        slide_shape: (height, width) of what it shows, in level-0 pixels.
        map_stride: see `mask_stride`.
        wanted_stride: the coarsest level that is at least as fine is taken, else the finest.

    Returns:
        The index of the level, and its level-0 pixels per pixel.

    Raises:
        InputError: if no single stride explains any level.
    """
    if len(shapes) == 1:
        return 0, mask_stride(path, shapes[0], slide_shape, map_stride)
    strides = {level: one_stride(shape, slide_shape, map_stride) for level, shape in enumerate(shapes)}
    known = {level: stride for level, stride in strides.items() if stride is not None}
    if not known:
        raise _misfit(path, shapes[0], slide_shape)
    fine_enough = [level for level, stride in known.items() if stride <= wanted_stride]
    chosen = max(fine_enough, key=known.__getitem__) if fine_enough else min(known, key=known.__getitem__)
    return chosen, known[chosen]


def mask_stride(path: Path, shape: tuple[int, ...], slide_shape: tuple[int, int], map_stride: int) -> int:
    """Stride of a mask of one level, from its sidecar or its shape.

    Args:
        path: the mask.
        shape: its (rows, cols).
        slide_shape: (height, width) of what it shows, in level-0 pixels.
        map_stride: stride of the slide's map, preferred where several strides explain the shape.

    Returns:
        Level-0 pixels per pixel.

    Raises:
        InputError: if no single stride explains the shape, or the sidecar is of another slide or kind.
    """
    mask_shape = (shape[0], shape[1])
    sidecar = path.with_suffix(".json")
    content = read_json(sidecar) if sidecar.is_file() else None
    if isinstance(content, dict) and {"shape", "stride"} <= content.keys():
        if "tissue_fraction" in content:
            raise InputError(f"{path}: expected a tumor mask, found a foreground mask; give the folder of tumor masks")
        if content["shape"] != list(slide_shape):
            raise InputError(
                f"{sidecar}: expected the slide's shape {list(slide_shape)} (height, width), found {content['shape']}; "
                "give the truth of this slide"
            )
        stride = content["stride"]
        if not isinstance(stride, int) or not _explains(stride, mask_shape, slide_shape):
            raise InputError(
                f"{path}: expected the mask of a slide of {_x(slide_shape)} at stride {stride} (from {sidecar.name}), "
                f"found {_x(mask_shape)}; make it again with 'tumor-detection groundtruth'"
            )
        return stride
    found = one_stride(mask_shape, slide_shape, map_stride)
    if found is None:
        raise _misfit(path, mask_shape, slide_shape)
    return found


def one_stride(mask_shape: tuple[int, int], slide_shape: tuple[int, int], map_stride: int) -> int | None:
    """The stride that explains a mask's shape: the map's, else the only one, else None."""
    if _explains(map_stride, mask_shape, slide_shape):
        return map_stride
    row_ratio = slide_shape[0] / max(mask_shape[0], 1)
    # Rounding moves a stride by less than one part in the number of pixels of a side.
    slack = row_ratio / max(mask_shape[0] - 1, 1) + 1
    candidates = range(max(1, int(row_ratio - slack)), int(row_ratio + slack) + 2)
    found = [stride for stride in candidates if _explains(stride, mask_shape, slide_shape)]
    return found[0] if len(found) == 1 else None


def _explains(stride: int, mask_shape: tuple[int, int], slide_shape: tuple[int, int]) -> bool:
    return stride >= 1 and all(
        side in (full // stride, -(-full // stride)) for side, full in zip(mask_shape, slide_shape, strict=True)
    )


def _misfit(path: Path, mask_shape: tuple[int, int], slide_shape: tuple[int, int]) -> InputError:
    return InputError(
        f"{path}: a mask of {_x(mask_shape)} (rows x columns) fits a slide of {_x(slide_shape)} level-0 pixels at no "
        "single whole stride; make it with 'tumor-detection groundtruth', or give the truth of this slide"
    )


def _x(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]}"
