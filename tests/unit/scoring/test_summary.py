"""Scores as lines: the console's table, what is left out, centers."""

from __future__ import annotations

from helpers.scored_slides import report_of, slide_of
from scripts.scoring.lesions import ISOLATED, MACRO, MICRO
from scripts.scoring.summary import counts, summary

SLIDES = [
    slide_of([0.7], [0.9, 0.0, 0.8], [MICRO, ISOLATED, MICRO, MACRO], 0.9, 1),
    slide_of([0.85], score=0.85),
]


def test_summary_is_a_short_table():
    comparison = {
        **{"against": "old", "froc_difference": 0.0123, "froc_difference_interval": [-0.01, 0.03], "froc_p_value": 0.2},
        **{"auc_difference": None},
    }
    report = {**report_of(SLIDES), "comparison": comparison, "excluded": ["b"], "warnings": ["something odd"]}
    report["froc_interval"] = [0.25, 1.0]
    left_out = {**report, "num_slides": 3, "num_tumor_slides": 2, "excluded_from_lesions": ["c"]}
    assert counts(left_out).startswith("3 slides, 2 with tumor, 2 scored for lesions, 3 lesions,")
    assert summary(left_out).endswith("\nexcluded: b\nexcluded from lesion scores: c")
    assert counts(report) == "2 slides, 1 with tumor, 3 lesions, 1 isolated tumor cell not counted"
    assert summary(report).splitlines() == [
        "FROC score 0.6111 [0.250, 1.000] (2 slides, 1 with tumor, 3 lesions, 1 isolated tumor cell not counted)",
        "false positives per slide     0.25     0.5       1       2       4       8",
        "sensitivity                  0.333   0.667   0.667   0.667   0.667   0.667",
        "micrometastasis (1 of 2 hit): FROC score 0.5000",
        "macrometastasis (1 of 1 hit): FROC score 0.8333",
        "slides: AUC 1.0000, at 0.5 sensitivity 1.000 [0.207, 1.000], specificity 0.000 [0.000, 0.793]",
        "FROC score against old: +0.0123 [-0.010, +0.030], p 0.2",
        "excluded: b",
    ]


def test_summary_has_a_line_for_each_center():
    slides = [
        slide_of([0.7], [0.9, 0.0], [MICRO, MICRO], 0.9, center="Radboud"),
        slide_of([0.6], score=0.6, center="Radboud"),
        slide_of([], score=0.2, center="Utrecht"),
    ]
    lines = summary(report_of(slides)).splitlines()
    assert "Radboud (2 slides, 1 with tumor): FROC score 0.5000, AUC 1.0000" in lines
    assert "Utrecht (1 slide, 0 with tumor): -" in lines
