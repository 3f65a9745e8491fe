"""Detections: the points that a probability map is boiled down to, on the map and in the level-0 frame. No files."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..geometry import map_to_level0


class Detections(NamedTuple):
    """Detected points, strongest first: three arrays of one length N, on a map or in the level-0 frame."""

    prob: npt.NDArray[np.floating[Any]]
    row: npt.NDArray[np.int64]
    col: npt.NDArray[np.int64]


def non_maximum_suppression(prob_map: npt.NDArray[np.floating[Any]], radius: int, threshold: float = 0.5) -> Detections:
    """Pick the strongest pixel, clear the square around it, and again, until nothing exceeds the threshold.

    Exactly what `monai.transforms.ProbNMS` returns for ``box_size=2 * radius`` and ``sigma=0``, without looking
    at the whole map for every pick. The square is half open, [i - radius, i + radius) both ways; of equal pixels
    the first in reading order wins.

    Args:
        prob_map: (rows, cols) floating, finite, in any memory order; not changed.
        radius: in map pixels, at least 1 (NCRF: 12 at level 6; MONAI's bundle: 24).
        threshold: at least 0; only greater values are detections.

    Returns:
        Detections with (row, col) on the map, strongest first.

    Raises:
        ValueError: for a map that is not 2-D, a radius below 1 or a negative threshold.
    """
    if prob_map.ndim != 2:
        raise ValueError(f"prob_map must be (rows, cols), but got shape {prob_map.shape}")
    if int(radius) != radius or radius < 1:
        raise ValueError(f"radius must be a positive integer, but got {radius}")
    if not threshold >= 0:
        raise ValueError(f"threshold must be at least 0, but got {threshold}")
    radius = int(radius)
    num_cols = prob_map.shape[1]
    values = prob_map.ravel()
    is_free = np.greater(prob_map, float(threshold), order="C")  # in this order the flat view shares its memory
    is_free_flat = is_free.reshape(-1)
    candidates = np.flatnonzero(is_free)
    picked: list[int] = []
    while candidates.size:
        # In chunks, so that few suppressed pixels are met one by one.
        strongest = _strongest(values, candidates)
        for chunk in np.array_split(strongest, -(-strongest.size // 256)):
            for index in chunk[is_free_flat[chunk]].tolist():
                if is_free_flat[index]:
                    row, col = divmod(index, num_cols)
                    is_free[max(row - radius, 0) : row + radius, max(col - radius, 0) : col + radius] = False
                    picked.append(index)
        candidates = candidates[is_free_flat[candidates]]
    indices = np.array(picked, dtype=np.int64)
    return Detections(values[indices], *np.divmod(indices, max(num_cols, 1)))


def _strongest(values: npt.NDArray[np.floating[Any]], candidates: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """About the strongest sixteenth of ``candidates`` (ascending indices), by value down, then by index up.

    Sorting all would be most of the work, and for nothing: the strongest suppress most of the others.
    """
    found = values[candidates]
    if candidates.size > 1024:
        sample = np.sort(found[:: candidates.size // 512])
        is_strong = found >= sample[-(sample.size // 16)]
        candidates, found = candidates[is_strong], found[is_strong]
    return candidates[np.argsort(-found, kind="stable")]


def detections_to_level0(detections: Detections, stride: int, slide_shape: tuple[int, int]) -> Detections:
    """Move detections from a map to the level-0 points that its pixels stand for, kept inside the slide.

    Args:
        detections: on the map.
        stride: level-0 pixels per map pixel.
        slide_shape: (height, width) in level-0 pixels; the last row and column of a map may be centered beyond.

    Returns:
        Detections in the level-0 frame.
    """
    rows = map_to_level0(detections.row, stride).clip(max=slide_shape[0] - 1)
    cols = map_to_level0(detections.col, stride).clip(max=slide_shape[1] - 1)
    return Detections(detections.prob, rows, cols)
