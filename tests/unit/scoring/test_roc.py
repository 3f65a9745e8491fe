"""ROC curves: by hand, against scikit-learn, and against loops over pairs and resamples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from helpers.slow_scores import drawn, slow_auc, slow_average_precision
from scripts.scoring.bootstrap import resample_weights
from scripts.scoring.roc import average_precision, resampled_roc, roc_auc, roc_curve

QUICK = settings(max_examples=60, deadline=None)


@st.composite
def samples(draw):
    rng = np.random.default_rng(draw(st.integers(0, 100_000)))
    count = draw(st.integers(1, 30))
    scores = rng.integers(0, 5, count) / 4 if draw(st.booleans()) else rng.random(count)
    return scores, rng.random(count) < draw(st.sampled_from([0.0, 0.3, 0.6, 1.0]))


def test_roc_by_hand():
    scores, is_tumor = [0.9, 0.8, 0.8, 0.3, 0.1], [True, True, False, False, True]
    curve = roc_curve(scores, is_tumor)
    assert curve.threshold.tolist() == [np.inf, 0.9, 0.8, 0.3, 0.1]
    assert curve.false_positive_rate.tolist() == [0, 0, 0.5, 1, 1]
    assert curve.sensitivity.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3, 1])
    assert roc_auc(scores, is_tumor).tolist() == [3.5 / 6]  # six pairs: three won, one tied
    assert average_precision(scores, is_tumor) == pytest.approx([(1 + 2 / 3 + 3 / 5) / 3])


@QUICK
@given(samples(), st.integers(0, 100))
def test_resamples_are_those_of_a_loop(found, seed):
    scores, is_tumor = found
    weights = resample_weights(len(scores), 12, seed)
    aucs, precisions = roc_auc(scores, is_tumor, weights), average_precision(scores, is_tumor, weights)
    for row, auc, precision in zip(weights, aucs, precisions, strict=True):
        chosen = drawn(row)
        np.testing.assert_array_equal(auc, slow_auc(scores[chosen], is_tumor[chosen]))
        np.testing.assert_allclose(precision, slow_average_precision(scores[chosen], is_tumor[chosen]), rtol=1e-12)


@QUICK
@given(samples(), st.integers(0, 100))
def test_resampled_roc_is_that_of_a_loop(found, seed):
    scores, is_tumor = found
    weights, rates = resample_weights(len(scores), 8, seed), np.linspace(0, 1, 6)
    for row, values in zip(weights, resampled_roc(scores, is_tumor, weights, rates), strict=True):
        chosen = drawn(row)
        curve = roc_curve(scores[chosen], is_tumor[chosen])
        if curve is None:
            assert np.isnan(values).all()
        else:
            np.testing.assert_array_equal(values, np.interp(rates, curve.false_positive_rate, curve.sensitivity))


@QUICK
@given(samples())
def test_curve_and_areas_are_scikit_learns(found):
    scores, is_tumor = found
    curve = roc_curve(scores, is_tumor)
    if curve is None:
        assert is_tumor.all() or not is_tumor.any()
        return
    rate, sensitivity, threshold = metrics.roc_curve(is_tumor, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.false_positive_rate, rate)
    np.testing.assert_allclose(curve.sensitivity, sensitivity)
    np.testing.assert_array_equal(curve.threshold, threshold)
    assert roc_auc(scores, is_tumor)[0] == pytest.approx(metrics.roc_auc_score(is_tumor, scores))
    assert average_precision(scores, is_tumor)[0] == pytest.approx(metrics.average_precision_score(is_tumor, scores))


@pytest.mark.parametrize("scores", [[], [0.1, np.nan], [[0.1, 0.2]]])
def test_scores_that_are_none_are_refused(scores):
    with pytest.raises(ValueError, match="scores must be"):
        roc_auc(scores, np.zeros(np.shape(scores), dtype=bool))
