"""Calibration: do probabilities say how often they are right? Scores, reliability curve, temperature, offset. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InputError

NUM_BINS = 15
"""Bins of equal width (Guo et al. 2017)."""

_TEMPERATURES = (0.02, 50.0)


class Reliability(NamedTuple):
    """The reliability curve over `NUM_BINS` bins of probability.

    Attributes:
        edges: (bins + 1,) float64, from 0 to 1.
        num_patches: (bins,) int64, in each.
        confidence: (bins,) float64, their mean probability; NaN where there is none.
        frequency: (bins,) float64, share of tumor among them; NaN where there is none.
    """

    edges: npt.NDArray[np.float64]
    num_patches: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    frequency: npt.NDArray[np.float64]


def bin_index(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The bin of each probability, (N,) int64: [low, high), the last one with 1."""
    return np.minimum((probabilities * NUM_BINS).astype(np.int64), NUM_BINS - 1)


def reliability(probabilities: npt.NDArray[np.float64], is_tumor: npt.NDArray[np.bool_]) -> Reliability:
    """The reliability curve.

    Args:
        probabilities: (N,) of tumor, from 0 to 1.
        is_tumor: (N,).

    Returns:
        The curve.
    """
    index = bin_index(probabilities)
    count = np.bincount(index, minlength=NUM_BINS)
    sums = (np.bincount(index, values, NUM_BINS) for values in (probabilities, is_tumor.astype(np.float64)))
    confidence, frequency = (np.divide(total, count, out=np.full(NUM_BINS, np.nan), where=count > 0) for total in sums)
    return Reliability(np.linspace(0, 1, NUM_BINS + 1), count, confidence, frequency)


def calibration_error(
    probabilities: npt.NDArray[np.float64],
    is_tumor: npt.NDArray[np.bool_],
    weights: npt.NDArray[np.int32] | None = None,
) -> npt.NDArray[np.float64]:
    """Expected calibration error: the mean distance of confidence and frequency over the bins (Guo et al. 2017).

    It is of the probability of tumor, not of that of the likelier class, so both ends of the curve count.

    Args:
        probabilities: (N,) of tumor, from 0 to 1.
        is_tumor: (N,).
        weights: (R, N) of `bootstrap.resample_weights`; None: every patch once.

    Returns:
        (R,) float64, (1,) without weights.
    """
    weights = np.ones((1, probabilities.size), dtype=np.int32) if weights is None else weights
    surplus = np.zeros((probabilities.size, NUM_BINS))
    surplus[np.arange(probabilities.size), bin_index(probabilities)] = probabilities - is_tumor
    found: npt.NDArray[np.float64] = np.abs(weights @ surplus).sum(axis=1) / weights.sum(axis=1)
    return found


def log_loss(logits: npt.NDArray[np.float64], is_tumor: npt.NDArray[np.bool_]) -> float:
    """Mean negative log likelihood of the labels, in nats; logits of any size."""
    return float(np.logaddexp(0, np.where(is_tumor, -logits, logits)).mean())


def fit_temperature(logits: npt.NDArray[np.float64], is_tumor: npt.NDArray[np.bool_]) -> float:
    """The temperature by which logits are divided for the least log loss (Guo et al. 2017).

    Probabilities below 0.5 stay below, and no two change their order: neither accuracy nor AUC changes. In the
    inverse of the temperature the loss is convex, so there is one best.

    Args:
        logits: (N,) finite, of validation data.
        is_tumor: (N,), of both classes.

    Returns:
        The temperature, above 1 where the network was too sure.

    Raises:
        InputError: if there is none: labels of one class, or logits that tell all patches apart, or none.
    """
    from scipy.optimize import minimize_scalar

    _check_both_classes(is_tumor)
    low, high = (1 / bound for bound in _TEMPERATURES[::-1])
    found = minimize_scalar(
        lambda inverse: log_loss(logits * inverse, is_tumor),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return _checked(1 / float(found.x))


def fit_temperature_and_offset(logits: npt.NDArray[np.float64], is_tumor: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """The temperature and the offset of the least log loss: ``logits / temperature + offset`` (Platt 1999).

    No two probabilities change their order, so AUC stays; but 0.5 moves, and with it accuracy. The loss is convex in
    the inverse of the temperature and in the offset.

    Args:
        logits: (N,) finite, of validation data.
        is_tumor: (N,), of both classes. The offset holds for their share of tumor.

    Returns:
        The temperature, and the offset in logits.

    Raises:
        InputError: as of `fit_temperature`.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    _check_both_classes(is_tumor)
    if logits[is_tumor].min() >= logits[~is_tumor].max():
        raise _no_temperature(0.0)

    def loss(line: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        moved = logits * line[0] + line[1]
        surplus = expit(moved) - is_tumor
        return log_loss(moved, is_tumor), np.array([(surplus * logits).mean(), surplus.mean()])

    low, high = (1 / bound for bound in _TEMPERATURES[::-1])
    found = minimize(
        loss, np.array([1.0, 0.0]), jac=True, bounds=[(low, high), (None, None)], options={"ftol": 0, "gtol": 1e-9}
    )
    return _checked(1 / float(found.x[0])), float(found.x[1])


def _check_both_classes(is_tumor: npt.NDArray[np.bool_]) -> None:
    if is_tumor.all() or not is_tumor.any():
        raise InputError("temperature: expected normal and tumor patches, found one class; add patches of the other")


def _checked(temperature: float) -> float:
    if not 1.001 * _TEMPERATURES[0] < temperature < 0.999 * _TEMPERATURES[1]:
        raise _no_temperature(temperature)
    return temperature


def _no_temperature(found: float) -> InputError:
    return InputError(
        f"temperature: expected patches that define one from {_TEMPERATURES[0]:g} to {_TEMPERATURES[1]:g}, "
        f"found {found:.3g}, since the network tells all of them apart, or none; give more patches"
    )
