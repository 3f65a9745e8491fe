"""Scores of whole slides, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.scoring.bootstrap import resample_weights
from scripts.scoring.intervals import interval, wilson
from scripts.scoring.roc import roc_auc
from scripts.scoring.slide_level import slide_level_report

SCORES = np.array([0.9, 0.5, 0.4, 0.8, 0.2, 0.1])
IS_TUMOR = np.array([True, True, True, False, False, False])


def test_slide_level_by_hand():
    weights = resample_weights(6, 200, 1)
    report = slide_level_report(SCORES, IS_TUMOR, 0.45, weights)
    assert report["auc"] == 7 / 9
    counts = ("num_true_positives", "num_false_negatives", "num_true_negatives", "num_false_positives")
    assert [report[key] for key in counts] == [2, 1, 2, 1]
    assert report["sensitivity"] == report["specificity"] == pytest.approx(2 / 3)
    assert report["sensitivity_interval"] == wilson(2, 3)
    assert report["auc_interval"] == interval(roc_auc(SCORES, IS_TUMOR, weights))
    assert report["roc"]["threshold"] == [None, 0.9, 0.8, 0.5, 0.4, 0.2, 0.1]
    assert report["roc"]["sensitivity"] == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 1, 1, 1])
    band = report["roc_band"]
    assert band["false_positive_rate"][0::50] == [0, 1]
    assert band["low"][-1] == band["high"][-1] == 1
    assert all(low <= high for low, high in zip(band["low"], band["high"], strict=True))


def test_threshold_is_strict():
    report = slide_level_report(SCORES, IS_TUMOR, 0.5, resample_weights(6, 0))
    assert (report["num_true_positives"], report["num_false_positives"]) == (1, 1)
    assert report["auc_interval"] is None
    assert report["roc_band"] is None


def test_slides_of_one_class_have_no_curve():
    report = slide_level_report(SCORES, np.ones(6, dtype=bool), 0.45, resample_weights(6, 20))
    assert (
        report["auc"] is report["roc"] is report["roc_band"] is report["specificity"] is report["auc_interval"] is None
    )
    assert report["specificity_interval"] is None
    assert report["sensitivity"] == 0.5
