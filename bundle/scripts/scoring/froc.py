"""FROC by the rules of CAMELYON16: hits, curve, score. Arrays in, arrays out; no files.

Source of the rules: the challenge's evaluation code, ``Evaluation_FROC.py`` in
https://github.com/computationalpathologygroup/Camelyon16. ``docs/scoring_rules.md`` says where others differ.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import NoLesionError
from ..geometry import level0_to_map
from ..maps.detections import Detections

TARGETS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives per slide at which CAMELYON16 averages the sensitivity."""


class SlideMatch(NamedTuple):
    """Detections of one slide held against its lesions.

    Attributes:
        false_positives: (F,) confidences of the detections outside of every lesion.
        lesions: (L,) highest confidence inside each lesion that counts, 0 where it was missed.
        lesion_labels: (L,) int64, those lesions' labels in the evaluation mask.
        num_isolated_tumor_cells: lesions too small to count; detections in them count neither way.
        isolated: (I,) highest confidence inside each of those, in the order of their labels, for information.
    """

    false_positives: npt.NDArray[np.floating[Any]]
    lesions: npt.NDArray[np.floating[Any]]
    lesion_labels: npt.NDArray[np.int64]
    num_isolated_tumor_cells: int
    isolated: npt.NDArray[np.floating[Any]]


class FrocCurve(NamedTuple):
    """Points of the curve from strict to lenient; the first is (0, 0) at an infinite threshold.

    Attributes:
        fps_per_slide: (P,) float64, increasing.
        sensitivity: (P,) float64 in [0, 1], increasing.
        threshold: (P,) float64, decreasing; detections of at least this confidence count.
    """

    fps_per_slide: npt.NDArray[np.float64]
    sensitivity: npt.NDArray[np.float64]
    threshold: npt.NDArray[np.float64]


class FrocScore(NamedTuple):
    """Sensitivity at each target rate, (T,) float64, and its mean, which is the score."""

    sensitivity: npt.NDArray[np.float64]
    mean: float


def match_detections(
    detections: Detections,
    labels: npt.NDArray[np.int32] | None,
    isolated_labels: Collection[int],
    stride: int,
) -> SlideMatch:
    """Hold the detections of one slide against its lesions (CAMELYON16's ``compute_FP_TP_Probs``).

    A lesion is hit at the highest confidence of the detections in it; further ones count neither way, and so do
    detections in isolated tumor cells. Confidence 0 hits nothing.

    Args:
        detections: level-0 frame, confidences finite and at least 0.
        labels: (rows, cols) int32 of `lesions.evaluation_mask`, or None for a slide without tumor.
        isolated_labels: labels that do not count.
        stride: level-0 pixels per pixel of ``labels``.

    Returns:
        The match; without tumor all detections are false positives.

    Raises:
        ValueError: for bad confidences, or a detection outside of the mask.
    """
    if not (np.isfinite(detections.prob).all() and (detections.prob >= 0).all()):
        raise ValueError("the confidences of detections must be finite and at least 0")
    if labels is None:
        return SlideMatch(detections.prob, detections.prob[:0], np.empty(0, dtype=np.int64), 0, detections.prob[:0])
    hit_labels = labels[
        _mask_indices(detections.row, stride, labels.shape[0]), _mask_indices(detections.col, stride, labels.shape[1])
    ]
    highest = np.zeros(int(labels.max(initial=0)) + 1, dtype=detections.prob.dtype)
    np.maximum.at(highest, hit_labels, detections.prob)
    isolated = np.array(sorted(set(isolated_labels)), dtype=np.int64)
    counted = np.setdiff1d(np.arange(1, highest.size), isolated)
    return SlideMatch(detections.prob[hit_labels == 0], highest[counted], counted, isolated.size, highest[isolated])


def _mask_indices(level0: npt.NDArray[np.int64], stride: int, size: int) -> npt.NDArray[np.int64]:
    """Mask rows (or columns) of level-0 rows; pyramids drop a last incomplete one, so one too far is the last."""
    indices = level0_to_map(level0, stride)
    if indices.size and not 0 <= indices.min() <= indices.max() <= size:
        raise ValueError(f"detections must lie on the mask, but reach {indices.max()} of {size} rows or columns")
    return indices.clip(max=size - 1)


def froc_curve(
    false_positives: npt.ArrayLike, lesions: npt.ArrayLike, num_slides: int, drops_lowest: bool = False
) -> FrocCurve:
    """Sensitivity over false positives per slide, one point per distinct confidence (CAMELYON16's ``computeFROC``).

    The challenge drops the lowest distinct value, which is the 0 of missed or isolated lesions; where there is none
    it loses a true point, which is kept here.

    Args:
        false_positives: (F,) confidences of all false positives of all slides.
        lesions: (L,) highest confidence per counted lesion, 0 where missed.
        num_slides: all slides, normal ones too.
        drops_lowest: drop the lowest distinct confidence where no 0 is among them, as MONAI and the challenge do.
            Whoever asks for it makes sure that there are no isolated tumor cells: they count as 0 there.

    Returns:
        The curve.

    Raises:
        NoLesionError: if there is no lesion.
        ValueError: if ``num_slides`` is not positive.
    """
    false_confidences = np.sort(np.asarray(false_positives, dtype=np.float64))
    hit_confidences = np.sort(np.asarray(lesions, dtype=np.float64))
    if num_slides < 1:
        raise ValueError(f"num_slides must be positive, but got {num_slides}")
    if hit_confidences.size == 0:
        raise NoLesionError(
            "truth: expected at least one lesion above isolated tumor cells, found none, so no sensitivity is defined; "
            "add the maps and the truth of slides with tumor"
        )
    threshold = np.unique(np.concatenate([false_confidences, hit_confidences]))[::-1]
    threshold = threshold[threshold > 0] if threshold[-1:] <= 0 or not drops_lowest else threshold[:-1]
    num_false = false_confidences.size - np.searchsorted(false_confidences, threshold, side="left")
    num_hit = hit_confidences.size - np.searchsorted(hit_confidences, threshold, side="left")
    return FrocCurve(
        np.concatenate([[0.0], num_false / num_slides]),
        np.concatenate([[0.0], num_hit / hit_confidences.size]),
        np.concatenate([[np.inf], threshold]),
    )


def pooled_curve(matches: Sequence[SlideMatch], monai: bool) -> FrocCurve:
    """The FROC curve of all slides.

    Args:
        matches: of each slide.
        monai: whether the lowest point is dropped as MONAI does; where there are isolated tumor cells, none is.

    Raises:
        InputError: if there is no lesion.
    """
    has_isolated = any(match.num_isolated_tumor_cells for match in matches)
    false_positives = np.concatenate([match.false_positives for match in matches])
    confidences = np.concatenate([match.lesions for match in matches])
    return froc_curve(false_positives, confidences, len(matches), monai and not has_isolated)


def froc_score(
    fps_per_slide: npt.NDArray[np.float64],
    sensitivity: npt.NDArray[np.float64],
    targets: Sequence[float] = TARGETS,
) -> FrocScore:
    """Sensitivity at the target rates, interpolated linearly, and its mean.

    Beyond the last point the sensitivity stays what it was there; without any detection it is 0.

    Args:
        fps_per_slide: (P,) of `FrocCurve`, increasing.
        sensitivity: (P,) of `FrocCurve`.
        targets: (T,) false positives per slide.

    Returns:
        The sensitivities and the score.
    """
    at_targets = np.interp(np.asarray(targets, dtype=np.float64), fps_per_slide, sensitivity)
    return FrocScore(at_targets, float(at_targets.mean()))
