"""GeoJSON of QuPath: features and geometries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import mapping, shape

from helpers.annotation_forms import TUMOR_XY, collection, feature
from scripts.annotations.geojson import check_geometry, polygon_xy, read_features, shifted_xy, vertices_xy
from scripts.annotations.polygons import Polygon
from scripts.errors import InputError

GEOMETRIES = [
    shapely.Point(3, 4.5),
    shapely.MultiPoint([(3, 4), (5, 6)]),
    shapely.LineString([(3, 4), (5, 6)]),
    shapely.MultiLineString([[(3, 4), (5, 6)], [(7, 8), (9, 9.5)]]),
    shapely.Polygon([(0, 0), (9, 0), (9, 5)], [[(7, 1), (8, 1), (8, 2)]]),
    shapely.MultiPolygon([shapely.box(0, 0, 4, 7), shapely.box(8, 9, 10, 11)]),
    shapely.GeometryCollection([shapely.Point(1, 2), shapely.box(0, 0, 4, 7)]),
]


def _lists(value):
    """A geometry as JSON gives it: lists, not tuples."""
    if isinstance(value, dict):
        return {key: _lists(part) for key, part in value.items()}
    return [_lists(part) for part in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda geometry: geometry.geom_type)
def test_geometries_are_moved_as_shapely_moves_them(geometry):
    stated = _lists(mapping(geometry))
    check_geometry(stated, "here")
    moved = shape(shifted_xy(stated, 10, -2.5))
    assert shapely.equals_exact(moved, shapely.transform(geometry, lambda points: points + np.array([10, -2.5])))
    assert len(vertices_xy(stated)) == shapely.count_coordinates(geometry)
    assert shifted_xy(shifted_xy(stated, 10, -2.5), -10, 2.5) == stated


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Point"},
        {"type": "Point", "coordinates": []},
        {"type": "Point", "coordinates": [1, "2"]},
        {"type": "Point", "coordinates": [1, float("nan")]},
        {"type": "Point", "coordinates": [1, 1e12]},
        {"type": "Point", "coordinates": [True, 2]},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[0, 0], [1, 1], [2, 0]]},
        {"type": "Polygon", "coordinates": {"a": 1}},
        {"type": "MultiPolygon", "coordinates": [[[0, 0], [1, 1], [2, 0]]]},
        {"type": "Circle", "coordinates": [1, 2]},
        {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [1]}]},
        {"type": "GeometryCollection", "geometries": [3]},
        {"type": "GeometryCollection", "geometries": []},
    ],
    ids=str,
)
def test_check_geometry_refuses(geometry):
    with pytest.raises(InputError, match=r"^here: expected a point, line or polygon of finite \(x, y\) pixels, found"):
        check_geometry(geometry, "here")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(kind=st.sampled_from([item.geom_type for item in GEOMETRIES]), value=json_values)
def test_check_geometry_lets_pass_only_what_can_be_moved(kind, value):
    geometry = {"type": kind, "geometries" if kind == "GeometryCollection" else "coordinates": value}
    try:
        check_geometry(geometry, "here")
    except InputError:
        return
    assert len(vertices_xy(shifted_xy(geometry, 1, 2))) == len(vertices_xy(geometry)) > 0


def test_polygon_xy_closes_rings_and_begins_at_the_origin():
    outer, hole = np.array([[20.0, 30], [20, 90], [60, 90]]), np.array([[30.5, 70], [30.5, 80], [40, 80]])
    found = polygon_xy(Polygon("", (outer, hole)), (20, 30))
    assert found == [[[0, 0], [60, 0], [60, 40], [0, 0]], [[40.0, 10.5], [50.0, 10.5], [50.0, 20.0], [40.0, 10.5]]]
    assert all(type(side) is int for vertex in found[0] for side in vertex)


def test_read_features_names_types_and_children():
    child = feature("Tumor", TUMOR_XY, name="inner")
    outer = {**feature("Tissue", TUMOR_XY, childObjects=[child], objectType="annotation"), "id": "f1"}
    old = {**feature(None, TUMOR_XY), "id": "PathDetectionObject"}
    root = {**feature(None, TUMOR_XY), "id": "PathRootObject"}
    found = list(read_features(Path("a.geojson"), collection(outer, old, root)))
    assert [(item.name, item.identity, item.object_type, item.label) for item in found] == [
        ("f1", "f1", "annotation", "Tissue"),
        ("inner", None, "annotation", "Tumor"),
        ("feature 2", None, "detection", None),
    ]
