"""One slide held against its truth: lesions from the truth, matches of detections, rows of the report."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import froc
from .cases import Case, Found, check_inside, evaluation_stride
from .lesions import LesionSizes, evaluation_mask, measure_lesions
from .score_report import ScoredSlide, lesion_rows
from .truth import read_truth


class SlideLesions(NamedTuple):
    """The lesions of a slide.

    Attributes:
        labels: (rows, cols) int32 of `lesions.evaluation_mask`.
        sizes: of the lesions.
        stride: level-0 pixels per pixel of ``labels``.
    """

    labels: npt.NDArray[np.int32]
    sizes: LesionSizes
    stride: int


def read_lesions(case: Case, at_map_stride: bool, tumor_value: int | None) -> SlideLesions | None:
    """Read the truth of a slide and find its lesions.

    Args:
        case: the slide.
        at_map_stride: read truth that comes at several strides at the map's, as MONAI does, rather than at the
            challenge's.
        tumor_value: see `truth.read_truth`.

    Returns:
        The lesions, or None if there is no tumor.

    Raises:
        InputError: if the truth is damaged or belongs to another slide.
    """
    if case.truth is None:
        return None
    wanted_stride = case.stride if at_map_stride else evaluation_stride(case.mpp)
    found = read_truth(case.truth, case.slide_shape, case.stride, wanted_stride, tumor_value)
    if not found.mask.any():
        return None
    labels = evaluation_mask(found.mask, found.stride * case.mpp)
    return SlideLesions(labels, measure_lesions(labels), found.stride)


def score_slide(case: Case, found: Found, lesions: SlideLesions | None) -> ScoredSlide:
    """Hold what a run says of a slide against its lesions.

    Args:
        case: the slide.
        found: its detections and score.
        lesions: of `read_lesions`.

    Returns:
        The slide, scored.

    Raises:
        InputError: if a detection lies beyond the slide.
    """
    check_inside(case, found.detections)
    rows = []
    if lesions is None:
        match = froc.match_detections(found.detections, None, [], 1)
    else:
        pixel_um = lesions.stride * case.mpp
        isolated = np.flatnonzero(lesions.sizes.is_isolated(pixel_um)) + 1
        match = froc.match_detections(found.detections, lesions.labels, isolated.tolist(), lesions.stride)
        rows = lesion_rows(case.info.slide, match, lesions.sizes, pixel_um, lesions.stride)
    row = {
        "slide": case.info.slide,
        "is_tumor": lesions is not None,
        "score": found.score,
        "truth": None if case.truth is None else case.truth.name,
        "truth_stride": None if lesions is None else lesions.stride,
        "num_lesions": int(match.lesions.size),
        "num_lesions_hit": int(np.count_nonzero(match.lesions)),
        "num_isolated_tumor_cells": match.num_isolated_tumor_cells,
        "num_detections": int(found.detections.prob.size),
        "num_false_positives": int(match.false_positives.size),
        "max_confidence": float(found.detections.prob.max(initial=0)),
        "lesion_confidences": [float(confidence) for confidence in match.lesions],
    }
    return ScoredSlide(row, match, rows, found.score)
