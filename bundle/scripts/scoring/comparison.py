"""Two runs on the same slides: the paired bootstrap of their difference. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import froc, roc
from .bootstrap import resample_weights, resampled_sensitivity
from .intervals import interval, p_value
from .report import Resampling, ScoredSlide


def compare_runs(
    slides: Sequence[ScoredSlide],
    others: Sequence[ScoredSlide],
    against: str,
    monai: bool,
    resampling: Resampling,
) -> dict[str, Any]:
    """The differences of score and of slide-level AUC, this run minus the other.

    Both runs are scored on the same resamples of the slides, so that what makes a slide hard is not counted as a
    difference.

    Args:
        slides: this run.
        others: the other run on the same slides and truth, in the same order.
        against: where it is, for the report.
        monai: see `report.score_report`.
        resampling: of slides.

    Returns:
        The object ``comparison`` of ``froc.json``.
    """
    weights = resample_weights(sum(slide.counts_lesions for slide in slides), *resampling)
    slide_weights = resample_weights(len(slides), *resampling)
    is_tumor = np.array([slide.is_tumor for slide in slides])
    froc_scores, froc_resampled, aucs, auc_resampled = [], [], [], []
    for run in (slides, others):
        matches = [slide.match for slide in run if slide.counts_lesions]
        scores = np.array([slide.score for slide in run])
        curve = froc.pooled_curve(matches, monai)
        froc_scores.append(froc.froc_score(curve.fps_per_slide, curve.sensitivity))
        froc_resampled.append(resampled_sensitivity(matches, weights, froc.TARGETS, monai).mean(axis=1))
        aucs.append(float(roc.roc_auc(scores, is_tumor)[0]))
        auc_resampled.append(roc.roc_auc(scores, is_tumor, slide_weights) if len(weights) else np.empty(0))
    first, second = froc_scores
    froc_differences = froc_resampled[0] - froc_resampled[1]
    auc_differences = auc_resampled[0] - auc_resampled[1]
    has_auc = not np.isnan(aucs[1])
    return {
        "against": against,
        "froc_score": second.mean,
        "froc_difference": first.mean - second.mean,
        "froc_difference_interval": interval(froc_differences),
        "froc_p_value": p_value(froc_differences),
        "sensitivity_differences": (first.sensitivity - second.sensitivity).tolist(),
        "auc": aucs[1] if has_auc else None,
        "auc_difference": aucs[0] - aucs[1] if has_auc else None,
        "auc_difference_interval": interval(auc_differences),
        "auc_p_value": p_value(auc_differences),
    }
