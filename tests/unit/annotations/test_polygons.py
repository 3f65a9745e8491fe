"""Polygons: containment against slow and foreign judges."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import points_in_poly

from helpers.even_odd import slow_inside
from helpers.real_annotations import extract_real_annotations, needs_real
from scripts.annotations import polygons as polygons_module
from scripts.annotations.annotations import read_annotation
from scripts.annotations.polygons import Polygon, crossings, in_any

vertices = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 13)), min_size=3, max_size=9)


def polygons_of(*rings):
    return [Polygon(f"p{i}", (np.array(ring, float),)) for i, ring in enumerate(rings)]


@given(vertices)
def test_in_any_agrees_with_fractions(ring):
    points = [(row / 2, col / 2) for row in range(-1, 21) for col in range(-1, 29)]
    expected = [slow_inside([ring], row, col) for row, col in points]
    assert in_any(polygons_of(ring), np.array(points)).tolist() == expected


@given(vertices, st.integers(0, 8), st.booleans())
def test_in_any_does_not_depend_on_drawing(ring, shift, is_reversed):
    redrawn = (ring[::-1] if is_reversed else ring)[shift:] + (ring[::-1] if is_reversed else ring)[:shift]
    points = np.random.default_rng(0).uniform(-1, 14, (60, 2))
    assert (in_any(polygons_of(ring), points) == in_any(polygons_of(redrawn), points)).all()


def test_in_any_boundary():
    polygons = polygons_of([(2, 3), (2, 7), (5, 7), (5, 3)])
    points = {"top": (2, 5), "left": (3, 3), "top left": (2, 3), "bottom": (5, 5), "right": (3, 7), "corner": (5, 7)}
    inside = in_any(polygons, np.array(list(points.values()), float)).tolist()
    assert dict(zip(points, inside, strict=True)) == {
        "top": True, "left": True, "top left": True, "bottom": False, "right": False, "corner": False,
    }  # fmt: skip


def test_in_any_hole_and_island():
    rings = tuple(
        np.array([(top, top), (top, 20 - top), (13 - top, 20 - top), (13 - top, top)], float) for top in (0, 2, 4)
    )
    polygons = [Polygon("nested", rings)]
    assert in_any(polygons, np.array([(1, 10), (3, 10), (6, 10)], float)).tolist() == [True, False, True]


def test_in_any_no_points_or_polygons():
    assert in_any(polygons_of(), np.array([(1.0, 2.0)])).tolist() == [False]
    assert in_any(polygons_of([(0, 0), (0, 9), (9, 9)]), np.empty((0, 2))).shape == (0,)
    assert not in_any(polygons_of([(0, 0), (0, 9), (9, 9)]), np.array([(np.nan, 1), (1, np.inf)])).any()


def test_in_any_in_chunks(monkeypatch):
    rng = np.random.default_rng(1)
    polygons, points = polygons_of(rng.uniform(0, 99, (50, 2))), rng.uniform(0, 99, (500, 2))
    whole = in_any(polygons, points)
    monkeypatch.setattr(polygons_module, "_POINTS_AT_ONCE", 7)
    assert (in_any(polygons, points) == whole).all()
    assert 0 < whole.sum() < 500


@given(vertices, vertices)
def test_in_any_is_the_union(first, second):
    points = [(row / 2, col / 2) for row in range(-1, 21, 3) for col in range(-1, 29, 2)]
    expected = [slow_inside([first], *point) or slow_inside([second], *point) for point in points]
    assert in_any(polygons_of(first, second), np.array(points)).tolist() == expected


@given(vertices, st.lists(st.integers(-1, 21), min_size=1, max_size=9, unique=True))
def test_crossings_are_even_in_number_and_change_sides(ring, half_rows):
    rows = np.sort(np.array(half_rows)) / 2
    index, cols = crossings(polygons_of(ring)[0], rows)
    for number, row in enumerate(rows):
        found = np.sort(cols[index == number])
        assert len(found) % 2 == 0
        for left, right in pairwise(found):
            if right - left > 1e-6:
                to_the_right = np.count_nonzero(found >= right)
                assert slow_inside([ring], row, (left + right) / 2) == (to_the_right % 2 == 1)


def test_bounds_are_those_of_all_rings():
    rings = (np.array([(2.0, 3.0), (2.0, 7.5), (5.0, 3.0)]), np.array([(1.5, 4.0), (1.5, 8.0), (9.0, 4.0)]))
    assert Polygon("a", rings).bounds() == (1.5, 3, 9, 8)


@needs_real
def test_real_polygons_agree_with_skimage_and_shapely(tmp_path):
    rng = np.random.default_rng(2)
    num_inside = 0
    for annotation in map(read_annotation, extract_real_annotations(tmp_path)):
        for polygon in annotation.tumor + annotation.exclusion:
            (ring,) = polygon.rings
            top, left, bottom, right = polygon.bounds()
            margin = 0.05 * (bottom - top + right - left)
            # random fractions of a pixel keep clear of sides between whole pixels, where the judges' rules differ
            points = rng.uniform((top - margin, left - margin), (bottom + margin, right + margin), (40, 2))
            inside = in_any([polygon], points)
            assert (inside == points_in_poly(points, ring)).all(), (annotation.path, polygon.name)
            outline = shapely.Polygon(ring)
            if outline.is_valid:
                assert (inside == shapely.contains_xy(outline, points)).all(), (annotation.path, polygon.name)
            num_inside += int(inside.sum())
    assert num_inside > 50_000
