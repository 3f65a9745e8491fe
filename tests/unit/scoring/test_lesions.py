"""Lesions: hand-computed cases, and property tests against a literal version of the published rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import measure

from scripts.scoring.lesions import evaluation_mask, measure_lesions

QUICK = settings(max_examples=60, deadline=None)


def _literal_evaluation_mask(tumor, pixel_um):
    distance = ndimage.distance_transform_edt(~tumor)
    return measure.label(ndimage.binary_fill_holes(distance < 75 / (pixel_um * 2)), connectivity=2)


@QUICK
@given(
    shape=st.tuples(st.integers(2, 41), st.integers(2, 67)),
    density=st.sampled_from([0.002, 0.02, 0.2, 0.7]),
    seed=st.integers(0, 10_000),
    pixel_um=st.sampled_from([3.1, 7.5, 7.776, 9.375, 12.5, 15.552, 37.5, 40.0, 80.0]),
)
def test_evaluation_mask_is_the_literal_one(shape, density, seed, pixel_um):
    tumor = np.random.default_rng(seed).random(shape) < density
    tumor[shape[0] // 3, shape[1] // 2] = True
    labels = evaluation_mask(tumor, pixel_um)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, _literal_evaluation_mask(tumor, pixel_um))


def test_evaluation_mask_grows_by_half_of_75_um_and_fills_holes():
    tumor = np.zeros((40, 60), dtype=np.uint8)
    tumor[10:21, 30:41] = 255
    tumor[12:19, 32:39] = 0  # a hole wider than the growth closes
    labels = evaluation_mask(tumor, 15.0)  # below 2.5 px
    assert labels[15, 35] == 1
    assert labels[15, 28] == 1
    assert labels[15, 27] == 0
    assert labels[8, 28] == 0  # sqrt(8) px away
    assert labels[8, 29] == 1  # sqrt(5) px away


def test_evaluation_mask_grows_by_less_than_the_distance():
    tumor = np.zeros((21, 31), dtype=bool)
    tumor[10, 12] = True
    labels = evaluation_mask(tumor, 7.5)  # below 5 px
    assert labels[6, 14] == 1
    assert labels[6, 15] == 0  # 4 up and 3 right are 5 px
    np.testing.assert_array_equal(labels, _literal_evaluation_mask(tumor, 7.5))


def test_evaluation_mask_without_tumor_marks_nothing():
    assert not evaluation_mask(np.zeros((7, 11)), 15.0).any()


def test_evaluation_mask_refuses():
    with pytest.raises(ValueError, match="tumor_mask"):
        evaluation_mask(np.zeros(4), 1.0)
    with pytest.raises(ValueError, match="pixel_um"):
        evaluation_mask(np.zeros((4, 5)), 0.0)


def test_isolated_tumor_cells_are_below_275_um_grown():
    tumor = np.zeros((90, 160), dtype=bool)
    tumor[10:12, 5:8] = True  # a few cells
    tumor[30:34, 40:80] = True  # 40 px of 7.776 µm are 311 µm
    tumor[70, 100:120] = True  # 20 px are 156 µm
    labels = evaluation_mask(tumor, 7.776)
    assert labels.max() == 3
    assert measure_lesions(labels).is_isolated(7.776).tolist() == [True, False, True]
    regions = measure.regionprops(labels)
    assert measure_lesions(labels).diameter == pytest.approx([region.axis_major_length for region in regions])


def test_lesions_are_measured_before_they_were_grown():
    labels = np.zeros((60, 300), dtype=np.int32)
    labels[10:20, 20:220] = 1  # the ellipse of a bar of 200 x 10 px has a major axis of 4 sqrt((200² - 1) / 12) px
    labels[40:43, 7:9] = 2
    sizes = measure_lesions(labels)
    length = 4 * np.sqrt((200**2 - 1) / 12)
    assert sizes.diameter[0] == pytest.approx(length)
    assert sizes.area.tolist() == [2000, 6]
    assert sizes.center.tolist() == [[14.5, 119.5], [41.0, 7.5]]
    assert sizes.extent_um(10.0) == pytest.approx([length * 10 - 75, 0.0])  # 3 px of 10 µm are less than the growth
    assert sizes.is_isolated(10.0).tolist() == [False, True]
    assert measure_lesions(np.zeros((4, 5), dtype=np.int32)).center.shape == (0, 2)
