"""Calibration: by hand, against scikit-learn and loops, and temperatures that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as sklearn_log_loss

from helpers.slow_scores import drawn
from scripts.errors import InputError
from scripts.scoring.bootstrap import resample_weights
from scripts.scoring.calibration import (
    NUM_BINS,
    calibration_error,
    fit_temperature,
    fit_temperature_and_offset,
    log_loss,
    reliability,
)


def patches(count, temperature=1.0, seed=0):
    """Logits whose probabilities are right at this temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, count)
    return logits * temperature, rng.random(count) < expit(logits)


def test_calibration_error_by_hand():
    # 0.02 and 0.03 in the first of 15 bins, one tumor: |0.05 - 1|; 0.9 twice, both tumor: |1.8 - 2|; over 4 patches.
    found = calibration_error(np.array([0.02, 0.03, 0.9, 0.9]), np.array([True, False, True, True]))
    assert found == pytest.approx([(0.95 + 0.2) / 4])


def test_calibration_error_of_resamples_is_that_of_a_loop():
    logits, is_tumor = patches(40)
    probabilities, weights = expit(logits), resample_weights(40, 30)
    for row, found in zip(weights, calibration_error(probabilities, is_tumor, weights), strict=True):
        chosen = drawn(row)
        assert found == pytest.approx(calibration_error(probabilities[chosen], is_tumor[chosen])[0])


def test_reliability_is_scikit_learns():
    logits, is_tumor = patches(500, temperature=2.0)
    curve = reliability(expit(logits), is_tumor)
    frequency, confidence = calibration_curve(is_tumor, expit(logits), n_bins=NUM_BINS)
    filled = curve.num_patches > 0
    np.testing.assert_allclose(curve.frequency[filled], frequency)
    np.testing.assert_allclose(curve.confidence[filled], confidence)
    assert curve.num_patches.sum() == 500
    error = (curve.num_patches * np.abs(curve.confidence - curve.frequency))[filled].sum() / 500
    assert calibration_error(expit(logits), is_tumor)[0] == pytest.approx(error)


def test_reliability_has_both_ends_and_empty_bins():
    curve = reliability(np.array([0.0, 1.0]), np.array([False, True]))
    assert curve.num_patches.tolist() == [1] + [0] * 13 + [1]
    assert np.isnan(curve.frequency[1:-1]).all()
    assert curve.edges[[0, -1]].tolist() == [0, 1]


def test_log_loss_is_scikit_learns_and_takes_any_logit():
    logits, is_tumor = patches(200)
    assert log_loss(logits, is_tumor) == pytest.approx(sklearn_log_loss(is_tumor, expit(logits)))
    assert log_loss(np.array([800.0, -900.0]), np.array([False, True])) == 850


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_found_and_is_the_best(temperature):
    logits, is_tumor = patches(20_000, temperature)
    found = fit_temperature(logits, is_tumor)
    assert found == pytest.approx(temperature, rel=0.05)
    least = log_loss(logits / found, is_tumor)
    assert all(least < log_loss(logits / (found * factor), is_tumor) for factor in (0.98, 1.02))


@pytest.mark.parametrize(("temperature", "offset"), [(0.5, 1.0), (1.0, -2.0), (3.0, 0.0)])
def test_temperature_and_offset_are_found_and_are_scikit_learns(temperature, offset):
    logits, is_tumor = patches(20_000, temperature)
    logits = logits - offset * temperature
    found = fit_temperature_and_offset(logits, is_tumor)
    assert found == pytest.approx((temperature, offset), rel=0.05, abs=0.05)
    judge = LogisticRegression(C=np.inf, tol=1e-9).fit(logits[:, None], is_tumor)
    assert (1 / found[0], found[1]) == pytest.approx((judge.coef_.item(), judge.intercept_.item()), rel=1e-4, abs=1e-4)


def test_an_offset_mends_what_no_temperature_does():
    logits, is_tumor = patches(20_000)
    shifted = logits - 1
    alone = shifted / fit_temperature(shifted, is_tumor)
    temperature, offset = fit_temperature_and_offset(shifted, is_tumor)
    assert calibration_error(expit(alone), is_tumor) > 0.05
    assert calibration_error(expit(shifted / temperature + offset), is_tumor) < 0.02


@pytest.mark.parametrize("fit", [fit_temperature, fit_temperature_and_offset])
@pytest.mark.parametrize(
    ("logits", "is_tumor", "message"),
    [
        ([1.0, 2.0], [True, True], "found one class"),
        ([-1.0, 2.0], [False, True], "tells all of them apart"),
        ([1.0, -2.0], [False, True], "or none"),
    ],
)
def test_patches_without_a_temperature_are_refused(fit, logits, is_tumor, message):
    with pytest.raises(InputError, match=message):
        fit(np.array(logits), np.array(is_tumor))
