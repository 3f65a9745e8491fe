from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scripts.masks.truth import Truth
from scripts.scoring.calibration import NUM_BINS
from scripts.scoring.map_reliability import count_pixels, reliability_report

PROB_MAP = np.array([[0.0, 0.1, 0.2, 1.0], [0.1, 0.9, 0.9, 0.0]], dtype=np.float32)
MASK = np.array([[1, 0, 1, 1], [0, 1, 0, 1]], dtype=bool)


def test_report_by_hand() -> None:
    counts = count_pixels(PROB_MAP, 8, Truth(Path("a.png"), MASK, 8))
    report = reliability_report([counts], 0, 0)
    assert report is not None
    assert report["num_pixels"] == 6
    assert report["tumor_share"] == pytest.approx(3 / 6)
    assert report["brier_score"] == pytest.approx((0.01 + 0.64 + 0 + 0.01 + 0.01 + 0.81) / 6, rel=1e-5)
    # bins of 1/15: both 0.1 in 1, 0.2 in 3 (float32 0.2 is a little more), both 0.9 in 13, 1 in 14
    assert {index: count for index, count in enumerate(report["count"]) if count} == {1: 2, 3: 1, 13: 2, 14: 1}
    assert report["frequency"][13] == pytest.approx(0.5)
    assert report["confidence"][13] == pytest.approx(0.9)
    assert report["frequency"][0] is None
    assert report["calibration_error"] == pytest.approx((0.2 + 0.8 + 0.8 + 0) / 6, rel=1e-5)
    assert report["interval"] == [None] * NUM_BINS


def test_truth_is_read_at_the_points_that_pixels_stand_for() -> None:
    """A mask four times as fine: tumor where the centers of map pixels lie, and only there."""
    fine = np.zeros((8, 16), dtype=bool)
    fine[2, 6] = fine[6, 10] = True  # centers of map pixels (0, 1) and (1, 2)
    counts = count_pixels(PROB_MAP, 8, Truth(Path("a.png"), fine, 2))
    assert counts.tumor.sum() == 2
    assert counts.tumor[1] == 1
    assert counts.tumor[13] == 1


def test_normal_slide_has_no_tumor() -> None:
    counts = count_pixels(PROB_MAP, 8, None)
    assert counts.tumor.sum() == 0
    assert counts.pixels.sum() == 6


def test_intervals_are_over_slides() -> None:
    """Slides of which each holds only tumor or none in a bin: the share of tumor is as uncertain as slides are few."""
    tumor = count_pixels(np.full((10, 10), 0.5, dtype=np.float32), 1, Truth(Path("a"), np.ones((10, 10), bool), 1))
    normal = count_pixels(np.full((10, 10), 0.5, dtype=np.float32), 1, None)
    report = reliability_report([tumor, normal] * 4, 400, 0)
    assert report is not None
    low, high = report["interval"][7]
    assert report["frequency"][7] == 0.5
    assert 0.1 < low < 0.3
    assert 0.7 < high < 0.9


def test_maps_without_a_value_have_no_reliability() -> None:
    assert reliability_report([count_pixels(np.zeros((3, 4), dtype=np.float32), 8, None)], 10, 0) is None
