"""Reliability of map pixels: of those with a probability of about p, is a share of p tumor in the truth? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..geometry import level0_to_map, map_to_level0
from ..masks.truth import Truth
from .bootstrap import resample_weights
from .calibration import NUM_BINS, bin_index
from .intervals import interval


class PixelCounts(NamedTuple):
    """Map pixels of a slide by their probability, each (`NUM_BINS`,) float64.

    Attributes:
        pixels: how many there are.
        probability: sum of their probabilities.
        tumor: how many are tumor in the truth.
        squared_error: sum of the squared differences of both.
    """

    pixels: npt.NDArray[np.float64]
    probability: npt.NDArray[np.float64]
    tumor: npt.NDArray[np.float64]
    squared_error: npt.NDArray[np.float64]


def count_pixels(prob_map: npt.NDArray[np.floating[Any]], stride: int, truth: Truth | None) -> PixelCounts:
    """Hold the pixels of a map that have a value against the truth at the points that they stand for.

    Args:
        prob_map: (rows, cols) floating in [0, 1]; 0 was not evaluated.
        stride: level-0 pixels per map pixel.
        truth: of the slide, or None if it is normal.

    Returns:
        The counts.
    """
    rows, cols = np.nonzero(prob_map)
    probabilities = prob_map[rows, cols].astype(np.float64)
    is_tumor = np.zeros(probabilities.size)
    if truth is not None:
        places = (
            level0_to_map(map_to_level0(axis, stride), truth.stride).clip(max=side - 1)
            for axis, side in zip((rows, cols), truth.mask.shape, strict=True)
        )
        is_tumor = truth.mask[tuple(places)].astype(np.float64)
    bins = bin_index(probabilities)
    columns = (np.ones_like(is_tumor), probabilities, is_tumor, (probabilities - is_tumor) ** 2)
    sums = (np.bincount(bins, weights=column, minlength=NUM_BINS).astype(np.float64) for column in columns)
    return PixelCounts(*sums)


def reliability_report(slides: Sequence[PixelCounts], num_resamples: int, seed: int) -> dict[str, Any] | None:
    """Reliability of the pixels of all slides.

    Args:
        slides: one for each slide.
        num_resamples: of the bootstrap over slides; 0 leaves the intervals out.
        seed: of the bootstrap.

    Returns:
        ``num_pixels``, ``tumor_share``, ``brier_score``, ``calibration_error`` (the mean distance of probability and
        share, weighted by pixels), and for each bin ``low``, ``high``, ``count``, ``confidence`` (mean probability),
        ``frequency`` (share of tumor) and ``interval`` of it, None in empty ones. None if no pixel has a value.
    """
    totals = PixelCounts(*(np.sum(column, axis=0) for column in zip(*slides, strict=True)))
    num_pixels = float(totals.pixels.sum())
    if num_pixels == 0:
        return None
    weights = resample_weights(len(slides), num_resamples, seed)
    counts, tumor = (weights @ np.stack([getattr(slide, key) for slide in slides]) for key in ("pixels", "tumor"))
    with np.errstate(invalid="ignore"):  # a bin without pixels has no share
        confidence, frequency = totals.probability / totals.pixels, totals.tumor / totals.pixels
        shares = tumor / counts
    edges = np.linspace(0, 1, NUM_BINS + 1)
    return {
        "num_pixels": int(num_pixels),
        "tumor_share": float(totals.tumor.sum() / num_pixels),
        "brier_score": float(totals.squared_error.sum() / num_pixels),
        "calibration_error": float(np.abs(totals.probability - totals.tumor).sum() / num_pixels),
        "low": edges[:-1].tolist(),
        "high": edges[1:].tolist(),
        "count": totals.pixels.astype(np.int64).tolist(),
        "confidence": [None if np.isnan(value) else float(value) for value in confidence],
        "frequency": [None if np.isnan(value) else float(value) for value in frequency],
        "interval": [
            interval(column) if total else None for column, total in zip(shares.T, totals.pixels, strict=True)
        ],
    }
