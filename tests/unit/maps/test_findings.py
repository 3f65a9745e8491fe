"""Lesions and detections of maps, by hand and against slow ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from scripts.annotations.annotations import Annotation
from scripts.maps.detections import Detections
from scripts.maps.files import MapInfo
from scripts.maps.findings import FindingSettings, find_lesions, rank_regions
from scripts.masks.groundtruth import tumor_mask

SHAPE, STRIDE, MPP = (1501, 2203), 37, 0.5  # a map of 41 x 60, 18.5 µm a pixel
INFO = MapInfo(Path("a.npy"), "a.tif", SHAPE, STRIDE, MPP)
SETTINGS = FindingSettings(0.5, 37.0, 0.0)  # two pixels


@pytest.fixture
def prob_map():
    """A strong lesion with a hole, a weak one of two pixels that touch at a corner, and what is not above 0.5."""
    found = np.zeros((41, 60), dtype=np.float32)
    found[5:9, 30:34] = 0.6
    found[6, 31] = 0.2
    found[7, 33] = 0.9
    found[40, 58] = 0.7
    found[39, 59] = 0.75
    found[20, 20] = 0.5
    return found


def test_find_lesions_by_hand(prob_map):
    findings = find_lesions(prob_map, INFO, SETTINGS)
    strong, weak = findings.lesions
    assert [lesion.parts[0].name for lesion in findings.lesions] == ["Lesion 1", "Lesion 2"]
    assert [len(lesion.parts) for lesion in findings.lesions] == [1, 2]
    assert len(strong.parts[0].rings) == 2
    assert strong.area_um2 == pytest.approx(15 * 18.5**2)
    assert (strong.max_probability, strong.confidence) == pytest.approx((0.9, 0.9))
    assert strong.mean_probability == pytest.approx((14 * 0.6 + 0.9) / 15)
    assert weak.confidence == pytest.approx(0.75)
    assert weak.center == (40 * 37, 59 * 37), "the corner where both touch"
    assert findings.detections.prob[0] == np.float32(0.9)
    assert findings.detections.row[0] == int(7.5 * 37)
    assert findings.detections.col[0] == int(33.5 * 37)
    assert findings.lesion_numbers[:2].tolist() == [1, 2]
    assert strong.num_detections + weak.num_detections == len(findings.detections.prob)


def test_a_lesion_beside_a_stronger_one_has_no_confidence(prob_map):
    prob_map[7, 35] = 0.8  # one pixel off, within two pixels of 0.9
    settings = SETTINGS._replace(nms_radius_um=60.0)
    *_, last = find_lesions(prob_map, INFO, settings).lesions
    assert (last.confidence, last.num_detections) == (0, 0)
    assert last.max_probability == pytest.approx(0.8)


def test_small_lesions_are_left_out_and_their_detections_stay(prob_map):
    every = find_lesions(prob_map, INFO, SETTINGS)
    large = find_lesions(prob_map, INFO, SETTINGS._replace(min_area_um2=3 * 18.5**2))
    assert len(large.lesions) == 1
    np.testing.assert_array_equal(large.detections.prob, every.detections.prob)
    assert large.lesion_numbers.tolist().count(0) == every.lesion_numbers.tolist().count(2) > 0
    assert len(find_lesions(prob_map, INFO, SETTINGS._replace(min_area_um2=2 * 18.5**2)).lesions) == 2


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_find_lesions_of_nothing_and_of_everything(value):
    findings = find_lesions(np.full((41, 60), value, dtype=np.float32), INFO, SETTINGS)
    assert len(findings.lesions) == int(value)
    assert (len(findings.detections.prob) > 0) == (value > 0)


def test_lesions_drawn_again_give_the_thresholded_map():
    rng = np.random.default_rng(3)
    prob_map = ndimage.gaussian_filter(rng.random((41, 60)), 1.5).astype(np.float32)
    prob_map = (prob_map - prob_map.min()) / np.ptp(prob_map)
    findings = find_lesions(prob_map, INFO, SETTINGS)
    polygons = tuple(part for lesion in findings.lesions for part in lesion.parts)
    np.testing.assert_array_equal(tumor_mask(Annotation(Path(), polygons, ()), SHAPE, STRIDE) != 0, prob_map > 0.5)
    labels, count = ndimage.label(prob_map > 0.5, np.ones((3, 3)))
    assert len(findings.lesions) == count > 5
    assert any(len(part.rings) > 1 for part in polygons)
    expected = sorted(ndimage.mean(prob_map, labels, range(1, count + 1)))
    np.testing.assert_allclose(sorted(lesion.mean_probability for lesion in findings.lesions), expected, rtol=1e-5)


def test_regions_without_a_detection_come_by_their_highest_probability():
    """Three regions whose maxima a stronger neighbor suppresses: confidence 0, so the probability decides."""
    prob_map = np.zeros((9, 30), dtype=np.float32)
    for col, value in ((2, 0.6), (5, 0.8), (8, 0.7), (11, 0.99)):
        prob_map[4, col] = value
    (strongest,) = np.argwhere(prob_map == prob_map.max())
    on_map = Detections(prob_map[4, 11:12], strongest[:1], strongest[1:])
    found = rank_regions(prob_map, 0.5, on_map)
    assert [round(float(region.intensity_max), 2) for region in found.ranked] == [0.99, 0.8, 0.7, 0.6]
    weak = rank_regions(prob_map, 0.5, Detections(np.array([0.6, 0.7]), np.array([4, 4]), np.array([2, 8])))
    assert [round(float(region.intensity_max), 2) for region in weak.ranked] == [0.7, 0.6, 0.99, 0.8]
