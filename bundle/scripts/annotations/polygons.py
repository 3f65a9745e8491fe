"""Polygons in the level-0 frame: rings of vertices, and which points they hold. Arrays in, arrays out; no files.

A point lies in a polygon by the even-odd rule over all its rings; why: docs/decisions/0001-polygons.md. On the
boundary: a polygon holds its upper and left sides and not its lower and right ones, so that of two polygons with a
common side exactly one holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_POINTS_AT_ONCE = 1 << 16

Ring = npt.NDArray[np.float64]
"""(N, 2) vertices, (row, col), level-0 frame; the last joins the first."""


class Polygon(NamedTuple):
    """An outline, with its holes if it has any.

    Attributes:
        name: as in the file, for messages.
        rings: one or more, each of at least 3 vertices.
    """

    name: str
    rings: tuple[Ring, ...]

    def bounds(self) -> tuple[float, float, float, float]:
        """(top, left, bottom, right), level-0 frame."""
        vertices = np.concatenate(self.rings)
        (top, left), (bottom, right) = vertices.min(axis=0), vertices.max(axis=0)
        return float(top), float(left), float(bottom), float(right)


def crossings(polygon: Polygon, rows: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Where horizontal lines cross the sides of a polygon.

    A point of the line is inside if the number of crossings to its right is odd (even-odd rule, as in W. R.
    Franklin's pnpoly, which NCRF uses).

    Args:
        polygon: the polygon.
        rows: (N,) rows of the lines, level-0 frame, ascending.

    Returns:
        (K,) int64 index into ``rows`` and (K,) float64 column of each crossing.
    """
    start = np.concatenate(polygon.rings)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in polygon.rings])
    is_down = start[:, :1] <= end[:, :1]
    upper, lower = np.where(is_down, start, end), np.where(is_down, end, start)
    first = np.searchsorted(rows, upper[:, 0])
    count = np.searchsorted(rows, lower[:, 0]) - first
    side = np.repeat(np.arange(len(count)), count)
    index = np.arange(len(side)) - np.repeat(np.cumsum(count) - count - first, count)
    (row, col), (height, width) = upper[side].T, (lower - upper)[side].T
    return index, col + (rows[index] - row) * width / height


def in_any(polygons: Sequence[Polygon], points: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which points lie in at least one of the polygons.

    Args:
        polygons: any number.
        points: (N, 2) float64, (row, col), level-0 frame; NaN and infinity lie in none.

    Returns:
        (N,) bool.
    """
    inside = np.zeros(len(points), dtype=bool)
    order = np.argsort(points[:, 0])
    rows, cols = points[order].T
    for polygon in polygons:
        top, left, bottom, right = polygon.bounds()
        first, last = np.searchsorted(rows, (top, bottom))
        near = first + np.flatnonzero((cols[first:last] >= left) & (cols[first:last] <= right))
        for begin in range(0, len(near), _POINTS_AT_ONCE):
            chunk = near[begin : begin + _POINTS_AT_ONCE]
            index, crossing = crossings(polygon, rows[chunk])
            num_right = np.bincount(index[cols[chunk][index] < crossing], minlength=len(chunk))
            inside[order[chunk]] |= num_right % 2 == 1
    return inside
