"""The eight orientations of a square: quarter turns, and these mirrored."""

from __future__ import annotations

import torch

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


def orient(patches: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
    """Give each square patch one of its eight orientations.

    Args:
        patches: (N, C, H, W), H = W.
        kinds: (N,) int64, from 0 to 7; 0 leaves a patch as it is.

    Returns:
        (N, C, H, W).
    """
    output = torch.empty_like(patches)
    if patches.device.type == "cpu":
        for turned, patch, kind in zip(output, patches, kinds.tolist(), strict=True):
            turned.copy_(turn(patch, kind))
        return output
    for kind in range(NUM_ORIENTATIONS):  # few kernels, rather than some for each patch
        chosen = torch.nonzero(kinds == kind)[:, 0].to(patches.device)
        output[chosen] = turn(patches[chosen], kind)
    return output


def turn(patches: torch.Tensor, kind: int) -> torch.Tensor:
    """(..., H, W) in one of the eight orientations, of the same shape or, transposed, (..., W, H); a view or a copy."""
    flipped, is_transposed = _ORIENTATIONS[kind]
    turned = patches.flip(flipped) if flipped else patches
    return turned.transpose(-2, -1) if is_transposed else turned
