"""One slide held against its truth: map and truth read once, lesions, matches of detections, rows of the report."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..annotations.annotations import geojson_origin
from ..cohort.facts import check_class
from ..maps.files import MapInfo, read_map
from ..masks.placement import Ground, doubt
from ..masks.truth import Truth, read_truth
from . import froc
from .cases import Case, Found, check_inside, evaluation_stride
from .lesions import LesionSizes, evaluation_mask, measure_lesions
from .report import ScoredSlide, lesion_rows
from .settings import ScoreSettings


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

    def isolated(self, mpp: float) -> list[int]:
        """Labels of isolated tumor cells, ascending, at ``mpp`` µm per level-0 pixel."""
        return [int(index) + 1 for index in np.flatnonzero(self.sizes.is_isolated(self.stride * mpp))]


class SlideEvidence(NamedTuple):
    """What a run and the truth say of one slide, each read once.

    Attributes:
        case: the slide.
        prob_map: (rows, cols) float32 in [0, 1], or None where detections came as a file.
        found: the detections, and the slide's score.
        truth: the mask of its tumor, or None of a slide without a file.
        lesions: those of ``truth``, or None if there is no tumor.
    """

    case: Case
    prob_map: npt.NDArray[np.float32] | None
    found: Found
    truth: Truth | None
    lesions: SlideLesions | None


def read_evidence(case: Case, settings: ScoreSettings) -> SlideEvidence:
    """Read the map, or the detections, and the truth of a slide.

    Raises:
        InputError: if one of them is damaged, or the truth belongs to another slide.
    """
    if isinstance(case.info, MapInfo):
        prob_map = read_map(case.info)
        found = settings.find_on(prob_map, case.info)
    else:
        prob_map, found = None, settings.find(case.info)
    truth = read_case_truth(case, settings)
    return SlideEvidence(case, prob_map, found, truth, find_lesions(truth, case.mpp))


def truth_doubt(evidence: SlideEvidence, settings: ScoreSettings) -> str | None:
    """Why the truth of a slide seems to lie at the wrong place, see `masks.placement.doubt`, or None.

    A map made by ``infer`` is 0 off the tissue and nowhere else; other maps do not show where tissue is.
    """
    case, prob_map, truth = evidence.case, evidence.prob_map, evidence.truth
    if prob_map is None or truth is None or not isinstance(case.info, MapInfo) or case.info.patch is None:
        return None
    if truth.num_outlines and not truth.mask.any():
        return f"{truth.path}: its outlines show nowhere on the slide; check that they belong to it, and their size"
    begin = geojson_origin(settings.origin, case.bounds_origin)
    return doubt(truth.path, truth.mask, truth.stride, Ground(prob_map > 0, case.stride, case.bounds_origin, begin))


def read_case_truth(case: Case, settings: ScoreSettings) -> Truth | None:
    """Read the truth of a slide.

    Truth that comes at several strides is read at the challenge's, or by MONAI's rules at the map's.

    Args:
        case: the slide.
        settings: how it is scored.

    Returns:
        The truth, or None of a slide without a file.

    Raises:
        InputError: if the truth is damaged or belongs to another slide, or a reference table contradicts it.
    """
    if case.truth is None:
        return None
    wanted_stride = case.stride if settings.monai else evaluation_stride(case.mpp)
    begin = geojson_origin(settings.origin, case.bounds_origin)
    shape, stride, value = case.slide_shape, case.stride, settings.tumor_value
    truth = read_truth(case.truth, shape, stride, wanted_stride, value, begin, settings.is_challenge, case.bounds)
    check_class(case.facts, truth.path, truth.marks_tumor)
    settings.check_truth(truth)
    return truth


def find_lesions(truth: Truth | None, mpp: float) -> SlideLesions | None:
    """The lesions of a slide's truth, or None if there is no tumor.

    Args:
        truth: of `read_case_truth`.
        mpp: µm per level-0 pixel.
    """
    if truth is None or not truth.mask.any():
        return None
    labels = evaluation_mask(truth.mask, truth.stride * mpp)
    return SlideLesions(labels, measure_lesions(labels), truth.stride)


def score_slide(case: Case, found: Found, lesions: SlideLesions | None) -> ScoredSlide:
    """Hold what a run says of a slide against its lesions.

    Args:
        case: the slide.
        found: its detections and score.
        lesions: of `find_lesions`.

    Returns:
        The slide, scored.

    Raises:
        InputError: if a detection lies beyond the slide.
    """
    check_inside(case, found.detections)
    rows = []
    facts = case.facts
    is_tumor = lesions is not None if facts.is_tumor is None else facts.is_tumor
    if not facts.counts_lesions:
        nothing = found.detections.prob[:0]
        match = froc.SlideMatch(nothing, nothing, np.empty(0, dtype=np.int64), 0, nothing)
    elif lesions is None:
        match = froc.match_detections(found.detections, None, [], 1)
    else:
        isolated = lesions.isolated(case.mpp)
        match = froc.match_detections(found.detections, lesions.labels, isolated, lesions.stride)
        rows = lesion_rows(case.info.slide, match, lesions.sizes, lesions.stride * case.mpp, lesions.stride)
    row = {
        "slide": case.info.slide,
        "is_tumor": is_tumor,
        "score": found.score,
        "truth": None if case.truth is None else case.truth.name,
        "truth_stride": None if lesions is None else lesions.stride,
        "num_lesions": int(match.lesions.size),
        "num_lesions_hit": int(np.count_nonzero(match.lesions)),
        "num_isolated_tumor_cells": match.num_isolated_tumor_cells,
        "num_detections": int(found.detections.prob.size),
        "num_false_positives": int(match.false_positives.size),
        **{key: value for key, value in facts._asdict().items() if key not in ("is_tumor", "place")},
        "max_confidence": float(found.detections.prob.max(initial=0)),
        "lesion_confidences": [float(confidence) for confidence in match.lesions],
    }
    return ScoredSlide(row, match, rows, found.score)
