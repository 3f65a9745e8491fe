"""The report: strata and the table of lesions by hand, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.scored_slides import report_of, slide_of
from scripts.errors import InputError
from scripts.scoring.froc import SlideMatch
from scripts.scoring.lesions import ISOLATED, MACRO, MICRO, measure_lesions
from scripts.scoring.report import (
    BAND_RATES,
    lesion_rows,
    stratum,
)

SLIDES = [
    slide_of([0.7], [0.9, 0.0, 0.8], [MICRO, ISOLATED, MICRO, MACRO], 0.9, 1),
    slide_of([0.85], score=0.85),
]


def test_strata_by_hand():
    report = report_of(SLIDES)
    # at 0.9 no false positive, at 0.85 half a one per slide, at 0.7 one
    assert report["sensitivity"] == pytest.approx([1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3])
    assert report["strata"][MICRO] == {
        "num_lesions": 2,
        "num_hit": 1,
        "froc_score": 0.5,
        "froc_interval": None,
        "sensitivity": [0.5] * 6,
    }
    assert report["strata"][MACRO]["sensitivity"] == pytest.approx([0, 1, 1, 1, 1, 1])
    assert report["num_isolated_tumor_cells"] == 1
    assert report["curve"] == {
        "false_positives_per_slide": [0, 0, 0.5, 0.5, 1],
        "sensitivity": pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 2 / 3]),
        "threshold": [None, 0.9, 0.85, 0.8, 0.7],
    }


def test_a_slide_left_out_of_lesion_scores_counts_as_a_slide():
    left_out = slide_of([], score=0.8, is_tumor=True, counts_lesions=False)
    report, before = report_of([*SLIDES, left_out], 50), report_of(SLIDES, 50)
    alike = ("froc_score", "froc_interval", "sensitivity_intervals", "curve", "curve_band", "strata", "num_lesions")
    assert {key: report[key] for key in alike} == {key: before[key] for key in alike}
    assert (report["num_slides"], report["num_tumor_slides"], report["num_froc_slides"]) == (3, 2, 2)
    assert report["slide_level"]["auc"] == 0.5  # 0.9 above the normal slide's 0.85, 0.8 below


def test_intervals_hold_the_score_and_resamples_without_lesions_are_counted():
    report = report_of(SLIDES, 200)
    low, high = report["froc_interval"]
    assert low <= report["froc_score"] <= high
    assert len(report["sensitivity_intervals"]) == 6
    assert report["curve_band"]["false_positives_per_slide"] == BAND_RATES.tolist()
    bootstrap = report["bootstrap"]
    assert (bootstrap["num_resamples"], bootstrap["seed"]) == (200, 3)
    assert 30 < bootstrap["num_without_lesion"] < 70  # the second slide twice: a quarter
    assert 70 < bootstrap["num_of_one_class"] < 130
    assert report == report_of(SLIDES, 200)


def test_no_resamples_no_intervals():
    report = report_of(SLIDES)
    assert report["froc_interval"] is report["sensitivity_intervals"] is report["curve_band"] is None
    assert report["slide_level"]["auc_interval"] is None
    assert report["slide_level"]["auc"] == 1


def test_the_curve_ends_at_8_false_positives_per_slide():
    report = report_of([slide_of(np.linspace(0.9, 0.5, 40), [0.95, 0.3], [MICRO, MICRO])])
    assert report["curve"]["false_positives_per_slide"] == [0.0, *range(9)]
    assert report["sensitivity"] == pytest.approx([0.5] * 6)
    assert report["strata"][MACRO] == {
        "num_lesions": 0,
        "num_hit": 0,
        "froc_score": None,
        "froc_interval": None,
        "sensitivity": None,
    }


def test_monai_drops_the_lowest_point_where_nothing_is_missed():
    slides = [slide_of([], [0.9, 0.6], [MICRO, MICRO])]
    assert report_of(slides)["froc_score"] == 1.0
    assert report_of(slides, monai=True)["froc_score"] == 0.5
    slides = [slide_of([], [0.9, 0.6], [MICRO, MICRO, ISOLATED], num_isolated=1)]
    assert report_of(slides, monai=True)["froc_score"] == 1.0


def test_no_lesion_is_an_error():
    with pytest.raises(InputError, match="at least one lesion"):
        report_of([slide_of([0.5])])


def test_lesion_rows_by_hand():
    labels = np.zeros((400, 300), dtype=np.int32)
    labels[10:40, 50:60] = 1
    labels[100:103, 7:9] = 2
    labels[150:390, 200:240] = 3
    match = SlideMatch(np.empty(0), np.array([0.75, 0.0]), np.array([1, 3]), 1, np.array([0.5]))
    rows = lesion_rows("a.svs", match, measure_lesions(labels), 10.0, 40)
    assert [row["stratum"] for row in rows] == [MICRO, ISOLATED, MACRO]
    assert [row["confidence"] for row in rows] == [0.75, 0.5, 0.0]
    assert [row["is_hit"] for row in rows] == [True, True, False]
    assert (rows[0]["x"], rows[0]["y"]) == (55 * 40, 25 * 40)
    assert rows[0]["area_mm2"] == 0.03
    assert rows[0]["size_um"] == round(4 * np.sqrt((30**2 - 1) / 12) * 10 - 75, 1)
    assert {row["slide"] for row in rows} == {"a.svs"}
    assert [row["lesion"] for row in rows] == [1, 2, 3]


def test_a_macrometastasis_is_larger_than_2_mm():
    assert [stratum(size) for size in (2000.0, 2000.1)] == [MICRO, MACRO]
