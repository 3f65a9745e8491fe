"""Two runs on the same slides: the other one's files, and the paired bootstrap of their difference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, counted, few
from ..folders.names import name_key
from ..maps.detection_files import DetectionFile, find_detection_files
from ..maps.files import MapInfo, holds_maps, read_map_infos
from . import froc, roc
from .bootstrap import resample_weights, resampled_sensitivity
from .cases import Case
from .intervals import interval, p_value
from .report import Resampling, ScoredSlide


def find_run(folder: str | Path) -> Sequence[MapInfo] | Sequence[DetectionFile]:
    """The maps of a folder, or the detections where it holds no map.

    Args:
        folder: of maps, of detections, or an output of ``froc``.

    Raises:
        InputError: if it holds neither, or a sidecar is wrong.
    """
    return read_map_infos(folder) if holds_maps(folder) else find_detection_files(folder)


def other_run(
    against: str | Path, cases: Sequence[Case], excluded: frozenset[str]
) -> tuple[dict[str, MapInfo | DetectionFile], list[str]]:
    """The files of another run on the same slides.

    Args:
        against: see `find_run`.
        cases: this run's slides.
        excluded: names of slides that this run leaves out.

    Returns:
        Its maps or detections by `folders.names.name_key`, and what is to be warned of.

    Raises:
        InputError: if it lacks a slide, or has a map of another one under its name.
    """
    others: dict[str, MapInfo | DetectionFile] = {name_key(info.name): info for info in find_run(against)}
    names = {name_key(case.info.name) for case in cases}
    if missing := sorted(names - others.keys()):
        raise InputError(
            f"{against}: expected a run on the same slides, found none of {len(missing)} of {len(names)}: "
            f"{few(missing)}; run it on these too, or leave them out with --exclude"
        )
    for case in cases:
        other = others[name_key(case.info.name)]
        if isinstance(other, MapInfo) and case.truth is not None and other.slide_shape != case.slide_shape:
            raise InputError(
                f"{other.path}: expected a slide of {case.slide_shape} (height, width) as in this run, found "
                f"{other.slide_shape}; give a run on the same slides"
            )
    beyond = sorted(others.keys() - names - excluded)
    return others, [
        f"{counted(len(beyond), 'slide')} of {against} left out, not in this run: {few(beyond)}"
    ] if beyond else []


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
