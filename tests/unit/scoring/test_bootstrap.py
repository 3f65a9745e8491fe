"""The bootstrap: against resampling and scoring anew, one resample after the other."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.slow_scores import drawn, slow_sensitivity
from scripts.scoring.bootstrap import resample_weights, resampled_sensitivity
from scripts.scoring.froc import TARGETS, SlideMatch, froc_curve, froc_score

QUICK = settings(max_examples=60, deadline=None)
NO_LABELS = np.empty(0, dtype=np.int64)


def match_of(false_positives, lesions=(), num_isolated=0):
    return SlideMatch(
        np.array(false_positives, dtype=np.float64),
        np.array(lesions, dtype=np.float64),
        NO_LABELS,
        num_isolated,
        np.zeros(num_isolated),
    )


@st.composite
def cohorts(draw):
    rng = np.random.default_rng(draw(st.integers(0, 100_000)))
    tied = draw(st.booleans())
    num_slides, most = draw(st.integers(1, 7)), draw(st.sampled_from([2, 20, 150]))

    def confidences(count, misses):
        values = rng.integers(1, 6, count) / 5 if tied else rng.random(count) + 0.01
        return np.where(rng.random(count) < misses, 0.0, values)

    misses = draw(st.sampled_from([0.0, 0.3]))
    return [
        match_of(
            confidences(rng.integers(0, most), 0),
            confidences(rng.integers(0, 4) * (rng.random() < 0.7), misses),
            int(rng.random() < 0.2),
        )
        for _ in range(num_slides)
    ]


@QUICK
@given(cohorts(), st.booleans(), st.integers(0, 1000))
def test_resampled_sensitivity_is_that_of_resampling_and_scoring_anew(matches, drops_lowest, seed):
    weights = resample_weights(len(matches), 25, seed)
    rates = [0.0, 0.1, *TARGETS]
    found = resampled_sensitivity(matches, weights, rates, drops_lowest)
    for row, values in zip(weights, found, strict=True):
        slides = [matches[index] for index in drawn(row)]
        expected = slow_sensitivity(slides, rates, drops_lowest)
        if expected is None:
            assert np.isnan(values).all()
        else:
            np.testing.assert_array_equal(values, expected)


@QUICK
@given(cohorts(), st.booleans())
def test_every_slide_once_is_the_score_itself(matches, drops_lowest):
    if not sum(match.lesions.size for match in matches):
        return
    found = resampled_sensitivity(matches, np.ones((1, len(matches)), dtype=np.int32), TARGETS, drops_lowest)[0]
    has_isolated = any(match.num_isolated_tumor_cells for match in matches)
    curve = froc_curve(
        np.concatenate([match.false_positives for match in matches]),
        np.concatenate([match.lesions for match in matches]),
        len(matches),
        drops_lowest and not has_isolated,
    )
    np.testing.assert_array_equal(found, froc_score(curve.fps_per_slide, curve.sensitivity).sensitivity)


def test_false_positives_beyond_the_rates_change_nothing_and_none_before_is_lost():
    # Several blocks of events. The strongest are 9,000 of one slide and five of each other one: a resample without the
    # first has at most 15 among them, more than 8, but not 8 per slide, and its lesions come after them.
    rng = np.random.default_rng(3)
    matches = [match_of(rng.random(9000) / 2 + 0.5, [0.7, 0.4])]
    matches += [match_of([*(rng.random(5) / 2 + 0.5), *(rng.random(5000) * 0.4)], [0.45, 0.42, 0.0]) for _ in range(2)]
    weights = resample_weights(3, 40, 1)
    assert (weights[:, 0] == 0).any()
    for row, values in zip(weights, resampled_sensitivity(matches, weights, TARGETS), strict=True):
        slides = [matches[index] for index in drawn(row)]
        lesions = np.concatenate([match.lesions for match in slides])
        curve = froc_curve(np.concatenate([match.false_positives for match in slides]), lesions, len(slides))
        np.testing.assert_array_equal(values, froc_score(curve.fps_per_slide, curve.sensitivity).sensitivity)
