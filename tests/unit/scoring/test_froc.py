"""FROC: hand-computed cases, and property tests against slow, literal versions of the published rules."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import measure

from helpers.detected_points import detections_of
from scripts.errors import InputError
from scripts.maps.detections import Detections
from scripts.scoring.froc import TARGETS, SlideMatch, froc_curve, froc_score, match_detections

QUICK = settings(max_examples=60, deadline=None)


# --- hits ----------------------------------------------------------------------------------------------------------

LABELS = np.zeros((10, 20), dtype=np.int32)
LABELS[1:3, 11:15] = 1
LABELS[5:9, 2:6] = 2
LABELS[7, 17] = 3  # isolated tumor cells
IN_1, IN_2, IN_3, OUTSIDE = (150, 1250), (650, 350), (750, 1750), (50, 50)  # level 0 at stride 100

CASES = {
    "none": ([], [], [0, 0]),
    "one hit": ([(0.9, *IN_1)], [], [0.9, 0]),
    "one false alarm": ([(0.8, *OUTSIDE)], [0.8], [0, 0]),
    "two on one lesion": ([(0.9, *IN_2), (0.7, *IN_2)], [], [0, 0.9]),
    "isolated tumor cells only": ([(0.9, *IN_3)], [], [0, 0]),
    "all": ([(0.9, *IN_3), (0.8, *IN_2), (0.7, *OUTSIDE), (0.6, *IN_1)], [0.7], [0.6, 0.8]),
    "confidence 0": ([(0.0, *IN_1), (0.0, *OUTSIDE)], [0.0], [0, 0]),
}


@pytest.mark.parametrize(("points", "false_positives", "lesions"), CASES.values(), ids=CASES.keys())
def test_match_detections(points, false_positives, lesions):
    match = match_detections(detections_of(*points), LABELS, [3], stride=100)
    assert match.false_positives.tolist() == pytest.approx(false_positives)
    assert match.lesions.tolist() == pytest.approx(lesions)
    assert match.lesion_labels.tolist() == [1, 2]
    assert match.num_isolated_tumor_cells == 1


def test_match_detections_on_a_normal_slide_are_all_false():
    match = match_detections(detections_of((0.9, *IN_1), (0.2, 9999, 3)), None, [], stride=100)
    assert match.false_positives.tolist() == pytest.approx([0.9, 0.2])
    assert match.lesions.size == 0


def test_match_detections_past_a_floored_pyramid_take_the_last_row():
    labels = np.zeros((3, 4), dtype=np.int32)
    labels[2] = 1
    assert match_detections(detections_of((0.9, 349, 10)), labels, [], stride=100).lesions.tolist() == pytest.approx(
        [0.9]
    )
    with pytest.raises(ValueError, match="must lie on the mask"):
        match_detections(detections_of((0.9, 400, 10)), labels, [], stride=100)


@pytest.mark.parametrize("prob", [np.nan, -0.5])
def test_match_detections_refuses_confidences(prob):
    with pytest.raises(ValueError, match="confidences"):
        match_detections(detections_of((prob, *IN_1)), LABELS, [], stride=100)


# --- curve and score -----------------------------------------------------------------------------------------------


def _literal_challenge(slides, level):
    """The challenge's published rules, step by step, for slides of (detections, labels or None, isolated)."""
    all_false, all_hits, num_lesions = [], [], 0
    for detections, labels, isolated in slides:
        hits = [0.0] * (0 if labels is None else int(labels.max()))
        for prob, row, col in detections:
            label = 0 if labels is None else labels[int(row / 2**level), int(col / 2**level)]
            if label == 0:
                all_false.append(prob)
            elif label not in isolated and prob > hits[label - 1]:
                hits[label - 1] = prob
        all_hits += hits  # isolated tumor cells stay 0
        num_lesions += len(hits) - len(isolated)
    rates, sensitivities = [], []
    for limit in sorted(set(all_false + all_hits))[1:]:
        rates.append(sum(prob >= limit for prob in all_false) / len(slides))
        sensitivities.append(sum(prob >= limit for prob in all_hits) / num_lesions)
    rates.append(0.0)
    sensitivities.append(0.0)
    score = np.interp([0.25, 0.5, 1, 2, 4, 8], rates[::-1], sensitivities[::-1])
    loses_a_point = 0.0 not in all_false + all_hits
    return rates[::-1], sensitivities[::-1], score, loses_a_point


@st.composite
def cohorts(draw):
    rng = np.random.default_rng(draw(st.integers(0, 100_000)))
    confidences = draw(st.sampled_from([np.array([0.5, 0.6, 0.7, 1.0]), rng.random(40) * 0.99 + 0.01]))
    slides = []
    for index in range(draw(st.integers(1, 6))):
        labels, isolated = None, []
        if index == 0 or rng.random() < 0.6:
            labels = measure.label(rng.random((9, 14)) < 0.12, connectivity=2).astype(np.int32)
            labels[8, 12:] = labels.max() + 1  # at least one lesion
            isolated = [label for label in range(1, labels.max()) if rng.random() < 0.3]
        count = int(rng.integers(0, draw(st.integers(1, 90))))
        rows, cols = rng.integers(0, 9 * 32, count), rng.integers(0, 14 * 32, count)
        points = list(zip(rng.choice(confidences, count).tolist(), rows.tolist(), cols.tolist(), strict=True))
        slides.append((points, labels, isolated))
    return slides


def _curve_of(slides):
    matches = []
    for points, labels, isolated in slides:
        array = np.array(points, dtype=np.float64).reshape(-1, 3)
        detections = Detections(array[:, 0], array[:, 1].astype(np.int64), array[:, 2].astype(np.int64))
        matches.append(match_detections(detections, labels, isolated, stride=32))
    false_positives = np.concatenate([match.false_positives for match in matches])
    return froc_curve(false_positives, np.concatenate([match.lesions for match in matches]), len(slides))


@QUICK
@given(cohorts())
def test_froc_curve_is_the_challenges(slides):
    rates, sensitivities, score, loses_a_point = _literal_challenge(slides, level=5)
    curve = _curve_of(slides)
    found_rates, found_sensitivities = curve.fps_per_slide.tolist(), curve.sensitivity.tolist()
    if loses_a_point and len(found_rates) > 1:
        # Every lesion is hit and none isolated: the challenge's code drops a true point, the last here.
        found_rates, found_sensitivities = found_rates[:-1], found_sensitivities[:-1]
    else:
        np.testing.assert_array_equal(froc_score(curve.fps_per_slide, curve.sensitivity).sensitivity, score)
    assert found_rates == rates
    assert found_sensitivities == sensitivities
    assert (np.diff(curve.fps_per_slide) >= 0).all()
    assert (np.diff(curve.threshold) < 0).all()


def test_froc_curve_by_hand():
    # Two slides, three lesions, one missed; the tie at 0.6 is one point.
    curve = froc_curve([0.8, 0.6, 0.3], [0.9, 0.6, 0.0], 2)
    assert curve.threshold.tolist() == [math.inf, 0.9, 0.8, 0.6, 0.3]
    assert curve.fps_per_slide.tolist() == [0, 0, 0.5, 1.0, 1.5]
    assert curve.sensitivity.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 2 / 3])
    score = froc_score(curve.fps_per_slide, curve.sensitivity)
    assert score.sensitivity.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3])
    assert score.mean == pytest.approx(5 / 9)


def test_froc_curve_keeps_the_point_that_the_challenge_drops():
    curve = froc_curve([0.8], [0.9, 0.6], 1)
    assert (curve.fps_per_slide[-1], curve.sensitivity[-1]) == (1.0, 1.0)
    assert froc_score(curve.fps_per_slide, curve.sensitivity).sensitivity.tolist() == [0.5, 0.5, 1, 1, 1, 1]


def test_froc_score_interpolates_between_points():
    assert froc_score(np.array([0.0, 2.0]), np.array([0.0, 1.0]), (0.5, 1.0)).sensitivity.tolist() == [0.25, 0.5]


@pytest.mark.parametrize(
    ("false_positives", "lesions", "expected"),
    [([], [0, 0], 0.0), ([], [0.9, 0.8], 1.0), ([0.9] * 100, [0.0], 0.0), ([0.9] * 100, [0.95], 1.0)],
    ids=["no detections", "all hit", "false only", "false below the hit"],
)
def test_froc_score_at_the_corners(false_positives, lesions, expected):
    curve = froc_curve(false_positives, lesions, 3)
    score = froc_score(curve.fps_per_slide, curve.sensitivity)
    assert score.sensitivity.tolist() == [expected] * len(TARGETS)
    assert score.mean == expected


def test_froc_curve_without_lesions_is_an_input_error():
    with pytest.raises(InputError, match="at least one lesion"):
        froc_curve([0.9], [], 2)
    with pytest.raises(ValueError, match="num_slides"):
        froc_curve([0.9], [0.5], 0)


def test_slide_match_is_what_a_bootstrap_over_slides_needs():
    match = match_detections(detections_of((0.9, *IN_2)), LABELS, [3], stride=100)
    assert isinstance(match, SlideMatch)
    twice = froc_curve(np.tile(match.false_positives, 2), np.tile(match.lesions, 2), 2)
    assert twice.sensitivity.tolist() == [0, 0.5]
