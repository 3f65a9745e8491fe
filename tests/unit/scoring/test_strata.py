"""Scores of parts of the slides, against scoring these slides alone by loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.scored_slides import slide_of
from helpers.slow_scores import slow_auc, slow_sensitivity
from scripts.scoring.lesions import MICRO
from scripts.scoring.report import Resampling
from scripts.scoring.strata import slide_strata


def slides_of(seed):
    rng = np.random.default_rng(seed)
    slides = []
    for _ in range(int(rng.integers(1, 14))):
        count = int(rng.integers(0, 3))
        size = None if rng.random() < 0.1 else rng.choice(["macro", "micro"]) if count else "none"
        center = rng.choice(["A", "B"]) if rng.random() < 0.8 else None
        lesions = np.where(rng.random(count) < 0.3, 0.0, rng.integers(1, 6, count) / 5)
        false = rng.integers(1, 6, rng.integers(0, 5)) / 5
        score = float(rng.integers(0, 5) / 4)
        slides.append(slide_of(false, lesions, [MICRO] * count, score, center=center, metastasis=size))
    return slides


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000))
def test_a_part_is_scored_as_its_slides_alone(seed):
    slides = slides_of(seed)
    found = slide_strata(slides, False, Resampling(0))
    assert found["histological_type"] == {}
    assert set(found["center"]) == {slide.row["center"] for slide in slides} - {None}
    assert set(found["metastasis"]) == {slide.row["metastasis"] for slide in slides} - {None, "none"}
    for fact in ("center", "metastasis"):
        for value, scores in found[fact].items():
            members = [slide for slide in slides if slide.row[fact] == value]
            if fact == "metastasis":
                members += [slide for slide in slides if not slide.row["is_tumor"]]
            assert scores["num_slides"] == scores["num_froc_slides"] == len(members)
            expected = slow_sensitivity([slide.match for slide in members])
            if expected is None:
                assert scores["sensitivity"] is scores["froc_score"] is scores["froc_interval"] is None
            else:
                assert scores["sensitivity"] == pytest.approx(expected)
                assert scores["froc_score"] == pytest.approx(expected.mean())
            auc = slow_auc([slide.score for slide in members], [slide.row["is_tumor"] for slide in members])
            assert scores["auc"] == (None if np.isnan(auc) else pytest.approx(auc))


def test_slides_left_out_of_lesion_scores_count_in_the_area():
    slides = [
        slide_of([0.7], [0.9], [MICRO], 0.9, center="A"),
        slide_of([], score=0.8, center="A"),
        slide_of([], score=0.6, center="A", is_tumor=True, counts_lesions=False),
        slide_of([], score=0.6, center="B", is_tumor=True, counts_lesions=False),
    ]
    found = slide_strata(slides, False, Resampling(50))["center"]
    assert (found["A"]["num_slides"], found["A"]["num_froc_slides"], found["A"]["auc"]) == (3, 2, 0.5)
    low, high = found["A"]["froc_interval"]
    assert low <= found["A"]["froc_score"] <= high
    assert found["A"]["auc_interval"] is not None
    assert found["B"]["num_froc_slides"] == found["B"]["num_lesions"] == 0
    assert found["B"]["froc_score"] is found["B"]["auc"] is found["B"]["auc_interval"] is None
