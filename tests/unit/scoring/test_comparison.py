"""Two runs: the paired bootstrap against resampling both and scoring them anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.made_maps import write_map
from helpers.slow_scores import drawn, slow_auc, slow_sensitivity
from scripts.cohort.facts import SlideFacts
from scripts.maps.detection_files import DetectionFile
from scripts.maps.files import MapInfo
from scripts.scoring.bootstrap import resample_weights
from scripts.scoring.comparison import compare_runs, find_run
from scripts.scoring.froc import SlideMatch
from scripts.scoring.intervals import interval, p_value
from scripts.scoring.report import Resampling, ScoredSlide


def run_of(rng, num_lesions):
    slides = []
    for count in num_lesions:
        confidences = np.where(rng.random(count) < 0.3, 0.0, rng.integers(1, 6, count) / 5)
        match = SlideMatch(rng.integers(1, 6, rng.integers(0, 6)) / 5, confidences, np.arange(count), 0, np.empty(0))
        slides.append(
            ScoredSlide({**SlideFacts()._asdict(), "is_tumor": bool(count)}, match, [], float(rng.integers(0, 5) / 4))
        )
    return slides


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 100_000))
def test_differences_are_those_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    num_lesions = [2, *rng.integers(0, 3, rng.integers(1, 6)).tolist()]
    first, second = run_of(rng, num_lesions), run_of(rng, num_lesions)
    is_tumor = [count > 0 for count in num_lesions]
    found = compare_runs(first, second, "old", False, Resampling(40, 7))
    score_differences, auc_differences = [], []
    for row in resample_weights(len(first), 40, 7):
        chosen = drawn(row)
        labels = [is_tumor[index] for index in chosen]
        pair = [slow_sensitivity([run[index].match for index in chosen]) for run in (first, second)]
        score_differences.append(np.nan if pair[0] is None else pair[0].mean() - pair[1].mean())
        aucs = [slow_auc([run[index].score for index in chosen], labels) for run in (first, second)]
        auc_differences.append(aucs[0] - aucs[1])
    assert found["froc_difference_interval"] == pytest.approx(interval(np.array(score_differences)), abs=1e-12)
    assert found["froc_p_value"] == p_value(np.array(score_differences))
    whole = [slow_auc([slide.score for slide in run], is_tumor) for run in (first, second)]
    if all(is_tumor):
        assert found["auc_difference"] is found["auc_difference_interval"] is found["auc_p_value"] is None
    else:
        assert found["auc_difference"] == whole[0] - whole[1]
        assert found["auc_difference_interval"] == interval(np.array(auc_differences))
        assert found["auc_p_value"] == p_value(np.array(auc_differences))


def test_a_run_against_itself_differs_in_nothing():
    slides = run_of(np.random.default_rng(1), [2, 1, 0, 0])
    found = compare_runs(slides, slides, "same", False, Resampling(100))
    assert found["froc_difference"] == found["auc_difference"] == 0
    assert found["sensitivity_differences"] == [0] * 6
    assert found["froc_difference_interval"] == found["auc_difference_interval"] == [0, 0]
    assert found["froc_p_value"] == found["auc_p_value"] == 1


def test_slides_left_out_of_lesion_scores_are_compared_as_slides():
    first, second = (run_of(np.random.default_rng(seed), [2, 1, 0, 0]) for seed in (1, 2))
    before = compare_runs(first, second, "old", False, Resampling(60))
    nothing = SlideMatch(np.empty(0), np.empty(0), np.empty(0, dtype=np.int64), 0, np.empty(0))
    row = SlideFacts(True, False)._asdict()
    runs = ([*run, ScoredSlide(row, nothing, [], score)] for run, score in ((first, 1.0), (second, 0.0)))
    found = compare_runs(*runs, "old", False, Resampling(60))
    assert {key: value for key, value in found.items() if "froc" in key} == {
        key: value for key, value in before.items() if "froc" in key
    }
    assert found["auc_difference"] > before["auc_difference"]


def test_without_resamples_only_the_differences():
    slides = run_of(np.random.default_rng(1), [2, 0])
    found = compare_runs(slides, slides, "same", False, Resampling(0))
    assert found["froc_difference"] == 0
    assert found["froc_difference_interval"] is found["froc_p_value"] is found["auc_p_value"] is None


def test_the_other_run_is_one_of_maps_or_of_detections(tmp_path):
    (tmp_path / "t.csv").write_text("0.9,100,200\n")
    assert isinstance(find_run(tmp_path)[0], DetectionFile)
    write_map(tmp_path, "t")
    assert isinstance(find_run(tmp_path)[0], MapInfo)
