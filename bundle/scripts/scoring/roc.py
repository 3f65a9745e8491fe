"""ROC curves, AUC and average precision, of samples that count once or as often as each resample holds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_CHUNK = 4_000_000  # numbers at a time, so that many resamples of many patches fit into memory


class RocCurve(NamedTuple):
    """Points of a ROC curve from strict to lenient; the first is (0, 0) at an infinite threshold.

    Attributes:
        false_positive_rate: (P,) float64, increasing to 1.
        sensitivity: (P,) float64, increasing to 1.
        threshold: (P,) float64, decreasing; samples of at least this score count as tumor.
    """

    false_positive_rate: npt.NDArray[np.float64]
    sensitivity: npt.NDArray[np.float64]
    threshold: npt.NDArray[np.float64]


def roc_curve(scores: npt.ArrayLike, is_tumor: npt.ArrayLike) -> RocCurve | None:
    """The ROC curve, one point per distinct score.

    Args:
        scores: (N,), higher is more suspicious.
        is_tumor: (N,) bool.

    Returns:
        The curve, or None if all samples are of one class.
    """
    counts = next(_class_counts(scores, is_tumor, None))
    num_tumor, num_normal = counts.tumor.sum(), counts.normal.sum()
    if not (num_tumor and num_normal):
        return None
    return RocCurve(
        np.append(0.0, counts.normal[0].cumsum() / num_normal),
        np.append(0.0, counts.tumor[0].cumsum() / num_tumor),
        np.append(np.inf, counts.threshold),
    )


def roc_auc(
    scores: npt.ArrayLike, is_tumor: npt.ArrayLike, weights: npt.NDArray[np.integer[Any]] | None = None
) -> npt.NDArray[np.float64]:
    """Area under the ROC curve: how often a tumor sample scores higher than a normal one; ties count half.

    Args:
        scores: (N,), higher is more suspicious.
        is_tumor: (N,) bool.
        weights: (R, N) whole numbers, how often each resample holds each sample; None: every sample once.

    Returns:
        (R,) float64, (1,) without weights; NaN where all samples are of one class.
    """
    found = []
    for counts in _class_counts(scores, is_tumor, weights):
        num_tumor, num_normal = counts.tumor.sum(axis=1), counts.normal.sum(axis=1)
        # twice the pairs that are ordered rightly, in whole numbers: exact, whatever the order of summation
        below = 2 * (num_normal[:, None] - counts.normal.cumsum(axis=1)) + counts.normal
        pairs = 2 * num_tumor * num_normal
        doubled = (counts.tumor * below).sum(axis=1)
        found.append(np.divide(doubled, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0))
    return np.concatenate(found)


def average_precision(
    scores: npt.ArrayLike, is_tumor: npt.ArrayLike, weights: npt.NDArray[np.integer[Any]] | None = None
) -> npt.NDArray[np.float64]:
    """Average precision: the mean of the precision at each distinct score, weighted by the gain of sensitivity.

    Args:
        scores: see `roc_auc`.
        is_tumor: see `roc_auc`.
        weights: see `roc_auc`.

    Returns:
        (R,) float64, (1,) without weights; NaN where no sample is tumor.
    """
    found = []
    for counts in _class_counts(scores, is_tumor, weights):
        num_hit = counts.tumor.cumsum(axis=1)
        num_called = num_hit + counts.normal.cumsum(axis=1)
        precision = np.divide(num_hit, num_called, out=np.zeros(num_hit.shape), where=num_called > 0)
        gained, num_tumor = (counts.tumor * precision).sum(axis=1), num_hit[:, -1]
        found.append(np.divide(gained, num_tumor, out=np.full(len(gained), np.nan), where=num_tumor > 0))
    return np.concatenate(found)


def resampled_roc(
    scores: npt.ArrayLike,
    is_tumor: npt.ArrayLike,
    weights: npt.NDArray[np.integer[Any]],
    rates: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Sensitivity at given false positive rates in each resample, interpolated linearly.

    Args:
        scores: see `roc_auc`.
        is_tumor: see `roc_auc`.
        weights: see `roc_auc`.
        rates: (T,) false positive rates from 0 to 1.

    Returns:
        (R, T) float64; NaN where all samples are of one class.
    """
    rows = []
    for counts in _class_counts(scores, is_tumor, weights):
        for tumor, normal in zip(counts.tumor, counts.normal, strict=True):
            num_tumor, num_normal = tumor.sum(), normal.sum()
            if num_tumor and num_normal:
                rate = np.append(0.0, normal.cumsum() / num_normal)
                rows.append(np.interp(rates, rate, np.append(0.0, tumor.cumsum() / num_tumor)))
            else:
                rows.append(np.full(rates.shape, np.nan))
    return np.array(rows).reshape(-1, rates.size)


class _Counts(NamedTuple):
    """How many tumor and normal samples have each distinct score, highest first: (R, P) int64, and (P,) scores."""

    tumor: npt.NDArray[np.int64]
    normal: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float64]


def _class_counts(
    scores: npt.ArrayLike, is_tumor: npt.ArrayLike, weights: npt.NDArray[np.integer[Any]] | None
) -> Iterator[_Counts]:
    """`_Counts` of the resamples, some at a time."""
    values, labels = np.asarray(scores, dtype=np.float64), np.asarray(is_tumor, dtype=np.bool_)
    if values.ndim != 1 or values.shape != labels.shape or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"scores must be (N,) finite numbers with as many labels, but got {values.shape}")
    weights = np.ones((1, values.size), dtype=np.int64) if weights is None else weights
    order = np.argsort(-values, kind="stable")
    values, labels = values[order], labels[order]
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    step = max(1, _CHUNK // values.size)
    for start in range(0, len(weights), step):
        chunk = weights[start : start + step, order].astype(np.int64)
        tumor = np.add.reduceat(chunk * labels, starts, axis=1)
        yield _Counts(tumor, np.add.reduceat(chunk, starts, axis=1) - tumor, values[starts])
