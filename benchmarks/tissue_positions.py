"""The positions of pieces of real tissue at which weights are asked, and what is tumor there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tissue_pieces import FACTOR, MPP_10X, MPP_40X, Piece, enlarged

from scripts.geometry import map_shape, map_to_level0

CENTER_UM = 32 * MPP_10X
"""Side of the square about a position whose tumor decides: PatchCamelyon's rule."""

TUMOR_FROM = 0.5
"""A position is tumor if so much of its central square is, and normal if nothing of it is; others are left out."""


class Scale(NamedTuple):
    """How weights of one resolution see pieces.

    Attributes:
        overlays: configs over inference.json.
        patch: side of a patch in pixels of 0.243 µm.
        stride: from one position to the next, likewise.
    """

    overlays: Sequence[str]
    patch: int
    stride: int


SCALES = {"40x": Scale((), 224, 64), "10x": Scale(("screen_10x.json",), 96 * FACTOR, 128)}


def seen(piece: Piece, scale: str) -> Piece:
    """A piece as weights get it: those at 40x get pictures at 10x enlarged."""
    return enlarged(piece) if scale == "40x" and piece.kind == "masks" else piece


def stride_of(piece: Piece, scale: str) -> int:
    """Level-0 pixels of a piece, as seen, from one position to the next."""
    stride = SCALES["10x" if piece.kind == "masks" else scale].stride  # the same positions for both weights
    return round(stride * MPP_40X / piece.mpp)


def positions(piece: Piece, scale: str) -> npt.NDArray[np.bool_]:
    """Where a piece, as seen, is evaluated: a bool map."""
    patch = SCALES[scale].patch * MPP_40X / piece.mpp
    return inside((piece.image.shape[0], piece.image.shape[1]), stride_of(piece, scale), patch)


def inside(shape: tuple[int, int], stride: int, patch: float) -> npt.NDArray[np.bool_]:
    """Which positions have their whole patch in a piece, so that no white edge is in it.

    Args:
        shape: (height, width) of the piece in level-0 pixels.
        stride: level-0 pixels per map pixel.
        patch: side of the patch in level-0 pixels.

    Returns:
        A bool map of the piece.
    """
    centers = [map_to_level0(np.arange(count), stride) for count in map_shape(shape, stride)]
    rows, cols = ((at >= patch / 2) & (at + patch / 2 <= side) for at, side in zip(centers, shape, strict=True))
    return np.asarray(np.outer(rows, cols))


def tumor_share(piece: Piece, stride: int) -> npt.NDArray[np.float64]:
    """Share of tumor in the square of `CENTER_UM` about each position; of positions near the edge, what is there."""
    half = round(CENTER_UM / piece.mpp / 2)
    sums = np.pad(piece.tumor.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    bounds = []
    for side, count in zip(piece.tumor.shape, map_shape(piece.tumor.shape, stride), strict=True):
        at = map_to_level0(np.arange(count), stride)
        bounds.append((np.clip(at - half, 0, side), np.clip(at + half, 0, side)))
    (top, bottom), (left, right) = bounds
    found = (
        sums[np.ix_(bottom, right)] - sums[np.ix_(top, right)] - sums[np.ix_(bottom, left)] + sums[np.ix_(top, left)]
    )
    return np.asarray(found / np.outer(bottom - top, right - left))


def labels(piece: Piece, scale: str) -> npt.NDArray[np.float64]:
    """1 where a position is tumor, 0 where it is normal, NaN where it is neither or lies outside; (rows, cols)."""
    share = tumor_share(piece, stride_of(piece, scale))
    found = np.where(share >= TUMOR_FROM, 1.0, np.where(share == 0, 0.0, np.nan))
    return np.where(positions(piece, scale), found, np.nan)
