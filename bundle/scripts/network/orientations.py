"""The eight orientations of a square patch, quarter turns and these mirrored, and its central part."""

from __future__ import annotations

import torch

from ..errors import InputError

_ORIENTATIONS: tuple[tuple[tuple[int, ...], bool], ...] = (
    ((), False),
    ((-1,), True),
    ((-2, -1), False),
    ((-2,), True),
    ((-1,), False),
    ((-2, -1), True),
    ((-2,), False),
    ((), True),
)
"""Axes to flip, and whether to transpose then."""

NUM_ORIENTATIONS = len(_ORIENTATIONS)


def orient(patches: torch.Tensor, kinds: torch.Tensor, output: torch.Tensor | None = None) -> torch.Tensor:
    """Give each square patch one of its eight orientations.

    Args:
        patches: (N, C, H, W), H = W.
        kinds: (N,) int64, from 0 to 7; 0 leaves a patch as it is.
        output: (N, C, h, w) of any dtype, where the central part is written; None makes one for the whole.

    Returns:
        The output.

    Raises:
        InputError: see `center_crop`.
    """
    if output is None:
        output = torch.empty_like(patches)
    write = _write_each if patches.device.type == "cpu" else _write_kinds
    write(patches, kinds, output)
    return output


def _write_each(patches: torch.Tensor, kinds: torch.Tensor, output: torch.Tensor) -> None:
    for index, kind in enumerate(kinds.tolist()):
        part = slice(index, index + 1)
        output[part] = center_crop(turn(patches[part], kind), (output.shape[2], output.shape[3]))


def _write_kinds(patches: torch.Tensor, kinds: torch.Tensor, output: torch.Tensor) -> None:
    """On a GPU: few kernels, rather than some for each patch."""
    for kind in range(NUM_ORIENTATIONS):
        chosen = torch.nonzero(kinds == kind)[:, 0].to(patches.device)
        turned = center_crop(turn(patches[chosen], kind), (output.shape[2], output.shape[3]))
        output[chosen] = turned.to(output.dtype)


def turn(patches: torch.Tensor, kind: int) -> torch.Tensor:
    """(..., H, W) in one of the eight orientations, of the same shape or, transposed, (..., W, H); a view or a copy."""
    flipped, is_transposed = _ORIENTATIONS[kind]
    turned = patches.flip(flipped) if flipped else patches
    return turned.transpose(-2, -1) if is_transposed else turned


def orientation_maps(kinds: torch.Tensor) -> torch.Tensor:
    """Where in a square patch lies what is seen in its orientation.

    Args:
        kinds: (N,) int64, see `orient`.

    Returns:
        (N, 2, 2) float32: from (x, y), measured from the center, in the oriented patch to those in the patch itself.
    """
    return torch.tensor([_map_xy(*orientation) for orientation in _ORIENTATIONS])[kinds]


def _map_xy(flipped: tuple[int, ...], is_transposed: bool) -> list[list[float]]:
    of_x, of_y = (-1.0 if axis in flipped else 1.0 for axis in (-1, -2))
    return [[0.0, of_x], [of_y, 0.0]] if is_transposed else [[of_x, 0.0], [0.0, of_y]]


def center_crop(patches: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Cut the central part out.

    Args:
        patches: (N, 3, H, W).
        size: (height, width), at most (H, W).

    Returns:
        (N, 3, height, width), a view.

    Raises:
        InputError: if the patches are smaller.
    """
    top, left = ((side - wanted) // 2 for side, wanted in zip(patches.shape[2:], size, strict=True))
    if top < 0 or left < 0:
        raise InputError(f"patches must be at least patch_size, {size}, but are {tuple(patches.shape[2:])}")
    return patches[:, :, top : top + size[0], left : left + size[1]]
