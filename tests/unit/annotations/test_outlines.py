"""Outlines along pixel edges: drawn again they give the mask back, by our rule and by shapely's."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scripts.annotations.annotations import Annotation
from scripts.annotations.outlines import component_polygons, without_holes
from scripts.annotations.polygons import Polygon
from scripts.masks.groundtruth import tumor_mask

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)).filter(np.any)
STRIDES = st.sampled_from([1, 37, 64])


def _shapely(polygon):
    return shapely.Polygon(polygon.rings[0][:, ::-1], [ring[:, ::-1] for ring in polygon.rings[1:]])


def _drawn(polygons, mask, stride):
    shape = tuple(side * stride for side in mask.shape)
    return tumor_mask(Annotation("", tuple(polygons), ()), shape, stride) != 0


@settings(max_examples=50)
@given(mask=MASKS, stride=STRIDES)
def test_component_polygons_drawn_again_give_the_mask(mask, stride):
    polygons = component_polygons(mask, (0, 0), stride)
    np.testing.assert_array_equal(_drawn(polygons, mask, stride), mask)

    areas = [_shapely(polygon) for polygon in polygons]
    assert all(shapely.is_valid(area) for area in areas)
    assert shapely.is_valid(shapely.MultiPolygon(areas)), "parts meet in corners only"
    assert sum(area.area for area in areas) == mask.sum() * stride**2
    rows, cols = (np.indices(mask.shape) + 0.5) * stride
    np.testing.assert_array_equal(shapely.contains_xy(shapely.MultiPolygon(areas), cols, rows), mask)


@settings(max_examples=50)
@given(mask=MASKS, stride=STRIDES)
def test_without_holes_encloses_the_same(mask, stride):
    joined = [Polygon("", (without_holes(polygon),)) for polygon in component_polygons(mask, (0, 0), stride)]
    np.testing.assert_array_equal(_drawn(joined, mask, stride), mask)


def test_component_polygons_has_corners_only():
    mask = np.ones((3, 5), dtype=bool)
    mask[1, 1:3] = False
    (polygon,) = component_polygons(mask, (10, 20), 37, "Lesion 1")
    assert polygon.name == "Lesion 1"
    outer, hole = polygon.rings
    assert len(outer) == len(hole) == 4
    assert polygon.bounds() == (370.0, 740.0, 481.0, 925.0), "top, left, bottom, right"
    assert (hole.min(axis=0).tolist(), hole.max(axis=0).tolist()) == ([11 * 37, 21 * 37], [12 * 37, 23 * 37])


def test_without_holes_takes_the_short_way():
    mask = np.ones((3, 60), dtype=bool)
    mask[1, [2, 57]] = False
    (polygon,) = component_polygons(mask, (0, 0), 1)
    ring = without_holes(polygon)
    sides = np.abs(np.diff(ring, axis=0)).sum(axis=1)
    assert len(ring) == 4 + 2 * (4 + 2)
    assert sorted(sides)[-3] < 60, "no way leads from one end to the other but the outline's own"
