"""Slides as scored, with made-up confidences."""

from __future__ import annotations

import numpy as np

from scripts.cohort.facts import SlideFacts
from scripts.scoring.froc import SlideMatch
from scripts.scoring.report import Resampling, ScoredSlide, score_report


def slide_of(false_positives, lesions=(), strata=(), score=0.0, num_isolated=0, **row):
    match = SlideMatch(
        np.array(false_positives, dtype=np.float64),
        np.array(lesions, dtype=np.float64),
        np.arange(1, len(lesions) + 1),
        num_isolated,
        np.zeros(num_isolated),
    )
    rows = [{"stratum": name} for name in strata]
    return ScoredSlide({**SlideFacts()._asdict(), "is_tumor": bool(strata), **row}, match, rows, score)


def report_of(slides, num_resamples=0, monai=False):
    parts = {"comparison": None, "excluded": [], "excluded_from_lesions": [], "warnings": []}
    return {**score_report(slides, 0.5, monai, Resampling(num_resamples, 3)), **parts}
