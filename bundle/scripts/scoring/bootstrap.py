"""The bootstrap over slides or patches: how often each resample holds each, and the FROC of all resamples. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .froc import SlideMatch

_BLOCK = 4096  # events that are looked at together


def resample_weights(num_items: int, num_resamples: int, seed: int = 0) -> npt.NDArray[np.int32]:
    """How often each resample holds each item: as many draws with replacement as there are items.

    Args:
        num_items: slides, or patches.
        num_resamples: how many resamples.
        seed: makes the draw reproducible.

    Returns:
        (num_resamples, num_items) int32; each row sums to ``num_items``.
    """
    rng = np.random.default_rng(seed)
    weights = np.empty((num_resamples, num_items), dtype=np.int32)
    for row in weights:
        row[:] = np.bincount(rng.integers(num_items, size=num_items), minlength=num_items)
    return weights


def resampled_sensitivity(
    matches: Sequence[SlideMatch],
    weights: npt.NDArray[np.int32],
    rates: npt.ArrayLike,
    drops_lowest: bool = False,
) -> npt.NDArray[np.float64]:
    """Sensitivity at given rates in each resample of the slides: what `froc.froc_curve` and `froc.froc_score` give.

    Equal to drawing the slides, pooling their detections and scoring them anew, ties included, but sorts once: a
    resample only changes how much each detection counts.

    Args:
        matches: of each slide.
        weights: (R, slides) of `resample_weights`.
        rates: (T,) false positives per slide.
        drops_lowest: see `froc.froc_curve`; isolated tumor cells count as confidence 0 then.

    Returns:
        (R, T) float64; NaN where a resample holds no lesion.
    """
    rates = np.asarray(rates, dtype=np.float64)
    num_slides = len(matches)
    parts = [(match.false_positives, False) for match in matches] + [(match.lesions, True) for match in matches]
    confidence = np.concatenate([np.asarray(values, dtype=np.float64) for values, _ in parts])
    is_lesion = np.repeat([flag for _, flag in parts], [values.size for values, _ in parts])
    slide = np.repeat(np.tile(np.arange(num_slides), 2), [values.size for values, _ in parts])
    num_lesions = weights @ np.array([match.lesions.size for match in matches])
    has_zero = np.bincount(slide[confidence <= 0], minlength=num_slides) > 0
    has_zero |= np.array([match.num_isolated_tumor_cells > 0 for match in matches])
    order = np.argsort(-confidence, kind="stable")
    order = order[confidence[order] > 0]
    confidence, is_lesion, slide = confidence[order], is_lesion[order], slide[order]
    ends = np.flatnonzero(np.append(confidence[1:] != confidence[:-1], True)) if order.size else np.empty(0, np.int64)
    if not drops_lowest:
        needed = _num_needed(weights, slide[~is_lesion], rates.max() * num_slides)
        if needed is not None:
            last = np.flatnonzero(~is_lesion)[needed - 1]
            ends = ends[: np.searchsorted(ends, last) + 1]
            is_lesion, slide = is_lesion[: ends[-1] + 1], slide[: ends[-1] + 1]
    found = np.full((len(weights), rates.size), np.nan)
    for index in np.flatnonzero(num_lesions):
        row = weights[index]
        counts = row[slide]
        num_hit = np.cumsum(np.where(is_lesion, counts, 0))[ends]
        num_false = np.cumsum(np.where(is_lesion, 0, counts))[ends]
        if drops_lowest and not (row[has_zero] > 0).any() and ends.size:
            total = num_hit + num_false
            kept = int(np.searchsorted(total, total[-1]))
            num_hit, num_false = num_hit[:kept], num_false[:kept]
        fps_per_slide = np.append(0.0, num_false / num_slides)
        found[index] = np.interp(rates, fps_per_slide, np.append(0.0, num_hit / num_lesions[index]))
    return found


def _num_needed(weights: npt.NDArray[np.int32], slide: npt.NDArray[np.int64], limit: float) -> int | None:
    """How many of the strongest false positives give every resample more than ``limit``; None if all do not."""
    num_slides = weights.shape[1]
    total = np.zeros(len(weights), dtype=np.int64)
    for start in range(0, slide.size, _BLOCK):
        block = slide[start : start + _BLOCK]
        total += weights @ np.bincount(block, minlength=num_slides)
        if (total > limit).all():
            return start + block.size
    return None
