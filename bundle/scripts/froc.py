"""FROC by the rules of CAMELYON16: detections, lesions, hits, curve, score. Arrays in, arrays out; no files.

Source of the rules: the challenge's evaluation code, ``Evaluation_FROC.py`` in
https://github.com/computationalpathologygroup/Camelyon16. ``docs/evaluation.md`` says where others differ.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .errors import InputError
from .geometry import level0_to_map, map_to_level0

GROW_UM = 75.0
"""Lesions are grown by this, measured across, so by half of it to each side (CAMELYON16: about five tumor cells)."""

ITC_DIAMETER_UM = 275.0
"""A grown lesion with a shorter major axis is isolated tumor cells (CAMELYON16: 200 µm, and 75 µm of growth)."""

TARGETS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives per slide at which CAMELYON16 averages the sensitivity."""


class Detections(NamedTuple):
    """Detected points, strongest first: three arrays of one length N, on a map or in the level-0 frame."""

    prob: npt.NDArray[np.floating[Any]]
    row: npt.NDArray[np.int64]
    col: npt.NDArray[np.int64]


class SlideMatch(NamedTuple):
    """Detections of one slide held against its lesions.

    Attributes:
        false_positives: (F,) confidences of the detections outside of every lesion.
        lesions: (L,) highest confidence inside each lesion that counts, 0 where it was missed.
        lesion_labels: (L,) int64, those lesions' labels in the evaluation mask.
        num_isolated_tumor_cells: lesions too small to count; detections in them count neither way.
    """

    false_positives: npt.NDArray[np.floating[Any]]
    lesions: npt.NDArray[np.floating[Any]]
    lesion_labels: npt.NDArray[np.int64]
    num_isolated_tumor_cells: int


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


def non_maximum_suppression(prob_map: npt.NDArray[np.floating[Any]], radius: int, threshold: float = 0.5) -> Detections:
    """Pick the strongest pixel, clear the square around it, and again, until nothing exceeds the threshold.

    Exactly what `monai.transforms.ProbNMS` returns for ``box_size=2 * radius`` and ``sigma=0``, without looking
    at the whole map for every pick. The square is half open, [i - radius, i + radius) both ways; of equal pixels
    the first in reading order wins.

    Args:
        prob_map: (rows, cols) floating, finite; not changed.
        radius: in map pixels, at least 1 (NCRF: 12 at level 6; MONAI's bundle: 24).
        threshold: at least 0; only greater values are detections.

    Returns:
        Detections with (row, col) on the map, strongest first.

    Raises:
        ValueError: for a map that is not 2-D, a radius below 1 or a negative threshold.
    """
    if prob_map.ndim != 2:
        raise ValueError(f"prob_map must be (rows, cols), but got shape {prob_map.shape}")
    if int(radius) != radius or radius < 1:
        raise ValueError(f"radius must be a positive integer, but got {radius}")
    if not threshold >= 0:
        raise ValueError(f"threshold must be at least 0, but got {threshold}")
    radius = int(radius)
    num_cols = prob_map.shape[1]
    values = np.ascontiguousarray(prob_map).ravel()
    is_free = prob_map > float(threshold)
    is_free_flat = is_free.reshape(-1)
    candidates = np.flatnonzero(is_free)
    picked: list[int] = []
    while candidates.size:
        # In chunks, so that few suppressed pixels are met one by one.
        strongest = _strongest(values, candidates)
        for chunk in np.array_split(strongest, -(-strongest.size // 256)):
            for index in chunk[is_free_flat[chunk]].tolist():
                if is_free_flat[index]:
                    row, col = divmod(index, num_cols)
                    is_free[max(row - radius, 0) : row + radius, max(col - radius, 0) : col + radius] = False
                    picked.append(index)
        candidates = candidates[is_free_flat[candidates]]
    indices = np.array(picked, dtype=np.int64)
    return Detections(values[indices], *np.divmod(indices, max(num_cols, 1)))


def _strongest(values: npt.NDArray[np.floating[Any]], candidates: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """About the strongest sixteenth of ``candidates`` (ascending indices), by value down, then by index up.

    Sorting all would be most of the work, and for nothing: the strongest suppress most of the others.
    """
    found = values[candidates]
    if candidates.size > 1024:
        sample = np.sort(found[:: candidates.size // 512])
        is_strong = found >= sample[-(sample.size // 16)]
        candidates, found = candidates[is_strong], found[is_strong]
    return candidates[np.argsort(-found, kind="stable")]


def detections_to_level0(detections: Detections, stride: int, slide_shape: tuple[int, int]) -> Detections:
    """Move detections from a map to the level-0 points that its pixels stand for, kept inside the slide.

    Args:
        detections: on the map.
        stride: level-0 pixels per map pixel.
        slide_shape: (height, width) in level-0 pixels; the last row and column of a map may be centered beyond.

    Returns:
        Detections in the level-0 frame.
    """
    rows = map_to_level0(detections.row, stride).clip(max=slide_shape[0] - 1)
    cols = map_to_level0(detections.col, stride).clip(max=slide_shape[1] - 1)
    return Detections(detections.prob, rows, cols)


def evaluation_mask(tumor_mask: npt.NDArray[Any], pixel_um: float) -> npt.NDArray[np.int32]:
    """Grow the tumor, fill its holes and number the lesions (CAMELYON16's ``computeEvaluationMask``).

    A pixel belongs to the grown tumor if its Euclidean distance to a tumor pixel is below half of `GROW_UM`.
    Lesions that touch, diagonally too, are one.

    Args:
        tumor_mask: (rows, cols), nonzero is tumor.
        pixel_um: µm per mask pixel, positive.

    Returns:
        (rows, cols) int32: 0 outside, 1 to N the lesions in reading order of their first pixels.

    Raises:
        ValueError: for a mask that is not 2-D or a ``pixel_um`` that is not positive.
    """
    from skimage import measure

    if tumor_mask.ndim != 2:
        raise ValueError(f"tumor_mask must be (rows, cols), but got shape {tumor_mask.shape}")
    reach = GROW_UM / (_positive(pixel_um) * 2)
    is_tumor = tumor_mask != 0
    labels = np.zeros(is_tumor.shape, dtype=np.int32)
    rows, cols = np.flatnonzero(is_tumor.any(axis=1)), np.flatnonzero(is_tumor.any(axis=0))
    if rows.size == 0:
        return labels
    # A ring of background around the grown tumor keeps the holes of the crop those of the whole mask.
    margin = math.ceil(reach) + 1
    crop = (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + margin + 1),
        slice(max(int(cols[0]) - margin, 0), int(cols[-1]) + margin + 1),
    )
    labels[crop] = measure.label(_fill_holes(_grow(is_tumor[crop], reach)), connectivity=2)
    return labels


def _grow(mask: npt.NDArray[np.bool_], distance: float) -> npt.NDArray[np.bool_]:
    """Pixels whose Euclidean distance to the mask is below ``distance``, by shifting it through a disk.

    Equal to thresholding a distance transform, and much faster for the few pixels that 37.5 µm are on a mask.
    """
    num_rows = mask.shape[0]
    offsets = range(math.ceil(distance))
    half_widths = [max(col for col in offsets if math.hypot(row, col) < distance) for row in offsets]
    wide, grown = mask.copy(), np.zeros_like(mask)
    for col in offsets:
        if col:
            wide[:, col:] |= mask[:, :-col]
            wide[:, :-col] |= mask[:, col:]
        for row in (row for row in offsets if half_widths[row] == col):
            grown[row:] |= wide[: max(num_rows - row, 0)]
            grown[: max(num_rows - row, 0)] |= wide[row:]
    return grown


def _fill_holes(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Fill background that is not 4-connected to the border, as `scipy.ndimage.binary_fill_holes` does."""
    background, num_regions = ndimage.label(~mask)
    is_open = np.zeros(num_regions + 1, dtype=np.bool_)
    for edge in (background[0], background[-1], background[:, 0], background[:, -1]):
        is_open[edge] = True
    is_open[0] = False
    filled: npt.NDArray[np.bool_] = ~is_open[background]
    return filled


def lesion_diameters(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """Major axis length of each lesion of an evaluation mask.

    Args:
        labels: (rows, cols) int32 of `evaluation_mask`, labels 1 to N.

    Returns:
        (N,) float64 in mask pixels: the major axis of the ellipse with the lesion's second moments.
    """
    from skimage import measure

    return np.array([region.axis_major_length for region in measure.regionprops(labels)], dtype=np.float64)


def isolated_tumor_cells(labels: npt.NDArray[np.int32], pixel_um: float) -> list[int]:
    """Labels of lesions too small to count (CAMELYON16's ``computeITCList``).

    Args:
        labels: (rows, cols) int32 of `evaluation_mask`.
        pixel_um: µm per mask pixel.

    Returns:
        Labels whose major axis is below `ITC_DIAMETER_UM`, ascending.
    """
    is_small = lesion_diameters(labels) < ITC_DIAMETER_UM / _positive(pixel_um)
    return [int(index) + 1 for index in np.flatnonzero(is_small)]


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
        labels: (rows, cols) int32 of `evaluation_mask`, or None for a slide without tumor.
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
        return SlideMatch(detections.prob, detections.prob[:0], np.empty(0, dtype=np.int64), 0)
    hit_labels = labels[
        _mask_indices(detections.row, stride, labels.shape[0]), _mask_indices(detections.col, stride, labels.shape[1])
    ]
    highest = np.zeros(int(labels.max(initial=0)) + 1, dtype=detections.prob.dtype)
    np.maximum.at(highest, hit_labels, detections.prob)
    isolated = np.array(sorted(set(isolated_labels)), dtype=np.int64)
    counted = np.setdiff1d(np.arange(1, highest.size), isolated)
    return SlideMatch(detections.prob[hit_labels == 0], highest[counted], counted, isolated.size)


def _mask_indices(level0: npt.NDArray[np.int64], stride: int, size: int) -> npt.NDArray[np.int64]:
    """Mask rows (or columns) of level-0 rows; pyramids drop a last incomplete one, so one too far is the last."""
    indices = level0_to_map(level0, stride)
    if indices.size and not 0 <= indices.min() <= indices.max() <= size:
        raise ValueError(f"detections must lie on the mask, but reach {indices.max()} of {size} rows or columns")
    return indices.clip(max=size - 1)


def froc_curve(false_positives: npt.ArrayLike, lesions: npt.ArrayLike, num_slides: int) -> FrocCurve:
    """Sensitivity over false positives per slide, one point per distinct confidence (CAMELYON16's ``computeFROC``).

    The challenge drops the lowest distinct value, which is the 0 of missed or isolated lesions; where there is none
    it loses a true point, which is kept here.

    Args:
        false_positives: (F,) confidences of all false positives of all slides.
        lesions: (L,) highest confidence per counted lesion, 0 where missed.
        num_slides: all slides, normal ones too.

    Returns:
        The curve.

    Raises:
        InputError: if there is no lesion.
        ValueError: if ``num_slides`` is not positive.
    """
    false_confidences = np.sort(np.asarray(false_positives, dtype=np.float64))
    hit_confidences = np.sort(np.asarray(lesions, dtype=np.float64))
    if num_slides < 1:
        raise ValueError(f"num_slides must be positive, but got {num_slides}")
    if hit_confidences.size == 0:
        raise InputError(
            "truth: expected at least one lesion above isolated tumor cells, found none, so no sensitivity is defined; "
            "add the maps and the truth of slides with tumor"
        )
    threshold = np.unique(np.concatenate([false_confidences, hit_confidences]))[::-1]
    threshold = threshold[threshold > 0]
    num_false = false_confidences.size - np.searchsorted(false_confidences, threshold, side="left")
    num_hit = hit_confidences.size - np.searchsorted(hit_confidences, threshold, side="left")
    return FrocCurve(
        np.concatenate([[0.0], num_false / num_slides]),
        np.concatenate([[0.0], num_hit / hit_confidences.size]),
        np.concatenate([[np.inf], threshold]),
    )


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


def _positive(pixel_um: float) -> float:
    if not (math.isfinite(pixel_um) and pixel_um > 0):
        raise ValueError(f"pixel_um must be positive, but got {pixel_um}")
    return pixel_um
