"""Detections: non-maximum suppression against MONAI's, and the way to level 0."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.transforms import ProbNMS
from scipy import ndimage

from helpers.detected_points import detections_of
from scripts.maps.detections import detections_to_level0, non_maximum_suppression

QUICK = settings(max_examples=60, deadline=None)


def _as_list(detections):
    return [[float(prob), int(row), int(col)] for prob, row, col in zip(*detections, strict=True)]


def _prob_nms(prob_map, radius, threshold):
    found = ProbNMS(box_size=2 * radius, prob_threshold=threshold)(prob_map.copy())
    return [[float(prob), int(row), int(col)] for prob, row, col in found]


shapes = st.tuples(st.integers(1, 23), st.integers(1, 37))
few_values = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])  # many ties


@QUICK
@given(
    prob_map=shapes.flatmap(
        lambda shape: st.one_of(
            hnp.arrays(np.float32, shape, elements=few_values, fill=few_values),
            hnp.arrays(np.float64, shape, elements=st.floats(0, 1)),
        )
    ),
    radius=st.integers(1, 9),
    threshold=st.sampled_from([0.0, 0.3, 0.5, 0.9999]),
)
def test_non_maximum_suppression_is_prob_nms(prob_map, radius, threshold):
    before = prob_map.copy()
    found = non_maximum_suppression(prob_map, radius, threshold)
    assert _as_list(found) == _prob_nms(prob_map, radius, threshold)
    np.testing.assert_array_equal(prob_map, before)
    assert found.prob.dtype == prob_map.dtype


@pytest.mark.parametrize("levels", [None, 3, 50], ids=["distinct", "plateaus", "ties"])
def test_non_maximum_suppression_of_a_large_map_is_prob_nms(levels):
    # Large enough for several rounds and chunks.
    prob_map = np.random.default_rng(7).random((151, 263)).astype(np.float32)
    if levels is not None:
        prob_map = np.ceil(ndimage.gaussian_filter(prob_map, 2) * levels * 1.7) / np.float32(levels * 1.7)
    for radius in (2, 12):
        assert _as_list(non_maximum_suppression(prob_map, radius, 0.5)) == _prob_nms(prob_map, radius, 0.5)


@pytest.mark.parametrize(
    "of",
    [np.asfortranarray, lambda a: np.flipud(np.flipud(a).copy()), lambda a: np.repeat(a, 2, axis=1)[:, ::2]],
    ids=["Fortran order", "rows upwards", "every second column"],
)
def test_non_maximum_suppression_of_any_memory_order(of):
    prob_map = np.random.default_rng(8).random((61, 83)).astype(np.float32)
    expected = _as_list(non_maximum_suppression(prob_map, 5, 0.5))
    assert len(expected) > 20
    assert _as_list(non_maximum_suppression(of(prob_map), 5, 0.5)) == expected


def test_non_maximum_suppression_box_is_half_open():
    prob_map = np.zeros((1, 30), dtype=np.float32)
    prob_map[0, [6, 10, 14]] = [0.7, 0.9, 0.8]
    # [10 - 4, 10 + 4) holds column 6, but not column 14.
    assert non_maximum_suppression(prob_map, 4).col.tolist() == [10, 14]


def test_non_maximum_suppression_threshold_is_strict_and_empty_maps_are_fine():
    assert non_maximum_suppression(np.full((3, 5), 0.5, dtype=np.float32), 2, 0.5).prob.size == 0
    assert non_maximum_suppression(np.zeros((0, 5), dtype=np.float32), 2).row.size == 0


@pytest.mark.parametrize(
    ("shape", "radius", "threshold", "message"),
    [
        ((4,), 2, 0.5, "prob_map"),
        ((4, 5), 0, 0.5, "radius"),
        ((4, 5), 1.5, 0.5, "radius"),
        ((4, 5), 2, -1, "threshold"),
    ],
)
def test_non_maximum_suppression_refuses(shape, radius, threshold, message):
    with pytest.raises(ValueError, match=message):
        non_maximum_suppression(np.zeros(shape), radius, threshold)


def test_detections_to_level0_are_pixel_centers_inside_the_slide():
    moved = detections_to_level0(detections_of((0.9, 2, 5), (0.8, 3, 9)), 64, (200, 1000))
    assert moved.row.tolist() == [160, 199]  # (3 + 0.5) * 64 = 224 lies below the slide
    assert moved.col.tolist() == [352, 608]
