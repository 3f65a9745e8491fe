"""Intervals and p values: of what was computed of bootstrap resamples, and of proportions. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
"""Confidence level of all intervals."""

_PERCENTILES = (2.5, 97.5)


def interval(values: npt.NDArray[np.float64]) -> list[float] | None:
    """Percentile interval of what was computed of the resamples.

    Args:
        values: (R,); NaN where a resample defines no value, as the AUC of slides of one class; these are left out.

    Returns:
        [low, high]: the 2.5th and the 97.5th percentile, interpolated linearly; None if no value is left.
    """
    values = values[~np.isnan(values)]
    if values.size == 0:
        return None
    low, high = np.percentile(values, _PERCENTILES)
    return [float(low), float(high)]


def p_value(differences: npt.NDArray[np.float64]) -> float | None:
    """Two-sided bootstrap p value of a paired difference: twice the smaller share of resamples beyond 0.

    The observed sample counts as one more resample, so that no p value is 0 (Davison and Hinkley 1997, section 4.2).

    Args:
        differences: (R,) of the resamples, NaN where undefined.

    Returns:
        A number from 2 / (R + 1) to 1; None if no difference is left.
    """
    # Equal scores of two runs may differ in the last bit of a mean.
    differences = np.round(differences[~np.isnan(differences)], 12)
    if differences.size == 0:
        return None
    smaller = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return float(min(1.0, 2 * (smaller + 1) / (differences.size + 1)))


def share(count: int, total: int) -> float | None:
    """A proportion, or None of nothing."""
    return count / total if total else None


def wilson(count: int, total: int) -> list[float] | None:
    """Wilson's score interval of a proportion, [low, high], or None of nothing."""
    from scipy.stats import binomtest

    if not total:
        return None
    found = binomtest(count, total).proportion_ci(LEVEL, method="wilson")
    return [float(found.low), float(found.high)]
