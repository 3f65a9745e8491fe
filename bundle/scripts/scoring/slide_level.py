"""Scores of whole slides: does a slide hold tumor? AUC, ROC curve, sensitivity and specificity. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import roc
from .intervals import interval, share, wilson

RATES = np.linspace(0, 1, 51)
"""False positive rates at which the ROC curve's band is given."""


def slide_level_report(
    scores: npt.NDArray[np.float64],
    is_tumor: npt.NDArray[np.bool_],
    threshold: float,
    weights: npt.NDArray[np.int32],
) -> dict[str, Any]:
    """How well slide scores tell slides with tumor from those without.

    Intervals of the AUC and the curve are of the bootstrap over slides; those of sensitivity and specificity are
    Wilson's, which stay sensible where none or all of a few slides are found.

    Args:
        scores: (N,) one for each slide, higher is more suspicious.
        is_tumor: (N,) bool.
        threshold: slides of a greater score are called tumor.
        weights: (R, N) of `bootstrap.resample_weights`.

    Returns:
        The object ``slide_level`` of ``froc.json``.
    """
    is_called = scores > threshold
    hits, misses = int((is_called & is_tumor).sum()), int((~is_called & is_tumor).sum())
    alarms, passes = int((is_called & ~is_tumor).sum()), int((~is_called & ~is_tumor).sum())
    curve = roc.roc_curve(scores, is_tumor)
    report: dict[str, Any] = {
        "threshold": threshold,
        "auc": None if curve is None else float(roc.roc_auc(scores, is_tumor)[0]),
        "auc_interval": interval(roc.roc_auc(scores, is_tumor, weights)) if len(weights) else None,
        "sensitivity": share(hits, hits + misses),
        "sensitivity_interval": wilson(hits, hits + misses),
        "specificity": share(passes, passes + alarms),
        "specificity_interval": wilson(passes, passes + alarms),
        "num_true_positives": hits,
        "num_false_negatives": misses,
        "num_true_negatives": passes,
        "num_false_positives": alarms,
        "roc": None,
        "roc_band": None,
    }
    if curve is not None:
        report["roc"] = {
            "false_positive_rate": curve.false_positive_rate.tolist(),
            "sensitivity": curve.sensitivity.tolist(),
            "threshold": [None, *curve.threshold[1:].tolist()],
        }
        if len(weights):
            report["roc_band"] = _band(roc.resampled_roc(scores, is_tumor, weights, RATES))
    return report


def _band(resampled: npt.NDArray[np.float64]) -> dict[str, Any] | None:
    bounds = [interval(column) for column in resampled.T]
    if bounds[0] is None:
        return None
    low, high = zip(*(pair for pair in bounds if pair is not None), strict=True)
    return {"false_positive_rate": RATES.tolist(), "low": list(low), "high": list(high)}
