"""Scores of patches: against scikit-learn, against a loop over resamples, and the files that are written."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit
from sklearn import metrics

from helpers.made_patches import write_patches
from helpers.slow_scores import drawn
from scripts.errors import InputError
from scripts.scoring.bootstrap import resample_weights
from scripts.scoring.intervals import interval, wilson
from scripts.scoring.patches import patch_report, score_patches, summary


def made_logits(count, seed=0):
    rng = np.random.default_rng(seed)
    logits = np.round(rng.normal(0, 2, count), 1)  # with ties
    return logits, rng.random(count) < expit(logits / 2)


def test_values_are_scikit_learns():
    logits, is_tumor = made_logits(300)
    report = patch_report(logits, is_tumor, 0)
    expected = {
        "auc": metrics.roc_auc_score(is_tumor, logits),
        "average_precision": metrics.average_precision_score(is_tumor, logits),
        "accuracy": metrics.accuracy_score(is_tumor, logits > 0),
        "brier_score": metrics.brier_score_loss(is_tumor, expit(logits)),
    }
    for name, value in expected.items():
        assert report[name] == {"value": pytest.approx(value), "interval": None}
    assert (report["num_patches"], report["num_tumor"]) == (300, is_tumor.sum())


def test_intervals_are_those_of_a_loop():
    logits, is_tumor = made_logits(40)
    report = patch_report(logits, is_tumor, 60, seed=2)
    resamples = [
        patch_report(logits[chosen], is_tumor[chosen], 0) for chosen in map(drawn, resample_weights(40, 60, 2))
    ]
    for name in ("auc", "average_precision", "accuracy", "brier_score", "calibration_error"):
        values = np.array([found[name]["value"] for found in resamples])
        assert report[name]["interval"] == pytest.approx(interval(values)), name


def test_reliability_by_hand():
    probabilities = np.array([0.02, 0.04, 0.5, 0.98])
    report = patch_report(np.log(probabilities / (1 - probabilities)), np.array([False, True, True, True]), 0)
    curve = report["reliability"]
    assert curve["count"] == [2, *[0] * 6, 1, *[0] * 6, 1]
    assert curve["confidence"][0] == pytest.approx(0.03)
    assert (curve["frequency"][0], curve["frequency"][1], curve["frequency"][7]) == (0.5, None, 1.0)
    assert curve["interval"][0] == wilson(1, 2)
    assert curve["interval"][1] is None
    assert (curve["low"][0], curve["high"][-1], len(curve["low"])) == (0, 1, 15)


def test_patches_of_one_class_have_no_auc():
    report = patch_report(np.array([0.5, -0.5]), np.array([False, False]), 10)
    assert report["auc"] == report["average_precision"] == {"value": None, "interval": None}
    assert "AUC               undefined, of one class" in summary(report)


def test_logits_that_are_none_are_refused():
    with pytest.raises(InputError, match="logits: expected finite numbers"):
        patch_report(np.array([np.nan]), np.array([True]))


def test_score_patches_writes_report_table_and_picture(tmp_path):
    folder, overlay, weights = write_patches(tmp_path)
    report = score_patches(tmp_path / "out", weights, [folder], overlays=[str(overlay)], num_resamples=20)
    assert json.loads((tmp_path / "out" / "patches.json").read_text()) == report
    assert report["weights"] == "tiny.pt"
    assert 0.5 < report["auc"]["value"] < 1
    with open(tmp_path / "out" / "patches.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    labels, logits = [row["label"] == "1" for row in rows], [float(row["logit"]) for row in rows]
    assert metrics.roc_auc_score(labels, logits) == pytest.approx(report["auc"]["value"])
    assert all(f"/{row['label']}/" in row["file"] for row in rows)
    with Image.open(tmp_path / "out" / "reliability.png") as picture:
        assert picture.size == (960, 720)
    assert summary(report).startswith("24 patches, 12 tumor\nAUC ")
