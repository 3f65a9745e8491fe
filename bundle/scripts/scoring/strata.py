"""Scores of a part of the slides or of the lesions: by size of the lesion, by center, by type. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import froc, roc
from .bootstrap import resample_weights, resampled_sensitivity
from .intervals import interval

if TYPE_CHECKING:
    from .report import Resampling, ScoredSlide

SLIDE_STRATA = ("center", "histological_type", "metastasis")
"""Facts of slides by which scores are given apart, see `cohort.facts.SlideFacts`."""


def lesion_scores(matches: Sequence[froc.SlideMatch], weights: npt.NDArray[np.int32], monai: bool) -> dict[str, Any]:
    """The FROC of some lesions.

    Args:
        matches: of each slide, with the lesions that belong to the stratum.
        weights: (R, slides) of `bootstrap.resample_weights`.
        monai: see `report.score_report`.

    Returns:
        ``num_lesions``, ``num_hit``, ``froc_score``, ``froc_interval`` and ``sensitivity``; the last three are None
        without a lesion.
    """
    confidences = np.concatenate([match.lesions for match in matches]) if matches else np.empty(0)
    report: dict[str, Any] = {
        "num_lesions": int(confidences.size),
        "num_hit": int(np.count_nonzero(confidences)),
        "froc_score": None,
        "froc_interval": None,
        "sensitivity": None,
    }
    if confidences.size:
        curve = froc.pooled_curve(matches, monai)
        score = froc.froc_score(curve.fps_per_slide, curve.sensitivity)
        resampled = resampled_sensitivity(matches, weights, froc.TARGETS, monai)
        report["froc_score"], report["sensitivity"] = score.mean, score.sensitivity.tolist()
        report["froc_interval"] = interval(resampled.mean(axis=1))
    return report


def slide_strata(
    slides: Sequence[ScoredSlide], monai: bool, resampling: Resampling
) -> dict[str, dict[str, dict[str, Any]]]:
    """Scores by each fact of `SLIDE_STRATA` that is known.

    A stratum is scored as if its slides were all there are, with their own false positives. One of the size of the
    metastasis holds besides all slides without tumor, which have none.

    Args:
        slides: all that count.
        monai: see `report.score_report`.
        resampling: of the slides of each stratum.

    Returns:
        By fact and value: ``num_slides``, ``num_tumor_slides``, ``num_froc_slides``, what `lesion_scores` gives,
        ``auc`` and ``auc_interval``.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for fact in SLIDE_STRATA:
        values = sorted({slide.row[fact] for slide in slides} - {None})
        if fact == "metastasis":
            values = [value for value in values if value != "none"]
        found[fact] = {}
        for value in values:
            members = [
                slide
                for slide in slides
                if slide.row[fact] == value or (fact == "metastasis" and not slide.row["is_tumor"])
            ]
            found[fact][value] = _scores(members, monai, resampling)
    return found


def _scores(slides: Sequence[ScoredSlide], monai: bool, resampling: Resampling) -> dict[str, Any]:
    matches = [slide.match for slide in slides if slide.counts_lesions]
    is_tumor = np.array([slide.is_tumor for slide in slides])
    scores = np.array([slide.score for slide in slides])
    has_auc = is_tumor.any() and not is_tumor.all()
    weights = resample_weights(len(slides), *resampling)
    lesion_weights = resample_weights(len(matches), *resampling) if matches else weights
    return {
        "num_slides": len(slides),
        "num_tumor_slides": int(is_tumor.sum()),
        "num_froc_slides": len(matches),
        **lesion_scores(matches, lesion_weights, monai),
        "auc": float(roc.roc_auc(scores, is_tumor)[0]) if has_auc else None,
        "auc_interval": interval(roc.roc_auc(scores, is_tumor, weights)) if has_auc and len(weights) else None,
    }
