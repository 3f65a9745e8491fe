"""Outlines of a mask's components along the edges of its pixels: drawn again, they give the mask back. No files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import shapely

from .polygons import Polygon, Ring


def component_polygons(
    component: npt.NDArray[np.bool_], location: tuple[int, int], stride: int, name: str = ""
) -> tuple[Polygon, ...]:
    """Outline the true pixels of a mask.

    Args:
        component: (rows, cols) bool, at least one of them true.
        location: (row, col) of its first pixel on the whole map.
        stride: level-0 pixels per map pixel.
        name: given to each polygon.

    Returns:
        One polygon for each part that hangs together by pixel sides, with its holes. Vertices are corners of map
        pixels, so whole level-0 pixels; those of the last row and column may lie beyond the slide by less than a
        stride.
    """
    padded = np.pad(component, ((0, 0), (1, 1))).astype(np.int8)
    steps = np.diff(padded, axis=1)
    rows, starts = np.nonzero(steps == 1)
    stops = np.nonzero(steps == -1)[1]
    area = shapely.union_all(shapely.box(starts, rows, stops, rows + 1))  # x is the column
    return tuple(
        Polygon(name, tuple((ring + location) * stride for ring in _rings(part))) for part in shapely.get_parts(area)
    )


def without_holes(polygon: Polygon) -> Ring:
    """Join a polygon's rings to one, for forms that know no holes.

    The way to a hole and back is the same side twice, which encloses nothing by the even-odd rule.

    Args:
        polygon: with any number of holes.

    Returns:
        (N, 2) float64, (row, col); the last vertex joins the first.
    """
    joined, *holes = polygon.rings
    for hole in holes:
        distances = np.abs(joined[:, None] - hole[None]).sum(axis=2)
        here, there = np.unravel_index(distances.argmin(), distances.shape)
        around = np.roll(hole, -int(there), axis=0)
        joined = np.concatenate([joined[: here + 1], around, around[:1], joined[here:]])
    return joined


def _rings(polygon: shapely.Polygon) -> Iterator[Ring]:
    for ring in (polygon.exterior, *polygon.interiors):
        vertices = np.asarray(ring.coords)[:-1, ::-1]
        before, after = vertices - np.roll(vertices, 1, axis=0), np.roll(vertices, -1, axis=0) - vertices
        is_corner = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]  # a union keeps vertices on straight sides
        yield np.ascontiguousarray(vertices[is_corner])
