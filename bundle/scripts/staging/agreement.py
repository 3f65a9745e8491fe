"""How far classes that were called agree with those that are true: kappa, confusion, and two runs compared. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..scoring.bootstrap import resample_weights
from ..scoring.intervals import LEVEL, interval, p_value


class Calls(NamedTuple):
    """What is true and what was called, of items that belong to groups.

    Attributes:
        truth: (N,) of the classes' names.
        called: (N,) of the same.
        groups: (N,) the group of each item; a resample holds a group whole, as nodes of a patient are alike.
    """

    truth: Sequence[str]
    called: Sequence[str]
    groups: Sequence[str]


def confusion_matrix(truth: npt.ArrayLike, called: npt.ArrayLike, num_classes: int) -> npt.NDArray[np.int64]:
    """How often each class was called what.

    Args:
        truth: (N,) int, indices of classes.
        called: (N,) int.
        num_classes: K.

    Returns:
        (K, K) int64, [true, called].
    """
    pairs = np.asarray(truth, dtype=np.int64) * num_classes + np.asarray(called, dtype=np.int64)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def quadratic_kappa(confusion: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float64]:
    """Cohen's kappa with quadratic weights (Cohen 1968): 1 is agreement, 0 what chance gives.

    Equal to ``sklearn.metrics.cohen_kappa_score(..., weights="quadratic")``.

    Args:
        confusion: (..., K, K) whole numbers, [true, called].

    Returns:
        (...) float64; NaN where all items are of one class, true and called.
    """
    num_classes = confusion.shape[-1]
    distance = np.subtract.outer(np.arange(num_classes), np.arange(num_classes)) ** 2
    of_truth, of_called = confusion.sum(axis=-1), confusion.sum(axis=-2)
    total = of_truth.sum(axis=-1)
    found = (confusion * distance).sum(axis=(-2, -1)) * total
    by_chance = (of_truth[..., :, None] * of_called[..., None, :] * distance).sum(axis=(-2, -1))
    ratio = np.divide(found, by_chance, out=np.full(np.shape(found), np.nan), where=by_chance > 0)
    return np.asarray(1 - ratio, dtype=np.float64)


def agreement_report(calls: Calls, classes: Sequence[str], num_resamples: int, seed: int) -> dict[str, Any]:
    """Agreement of what was called with what is true.

    Args:
        calls: the items.
        classes: names of the classes, in their order.
        num_resamples: of the groups; 0 leaves the interval out.
        seed: of the bootstrap.

    Returns:
        ``kappa`` and its interval (None where undefined), ``accuracy``, ``confusion`` ([true, called]), ``classes``,
        ``num``, and ``bootstrap``.
    """
    confusion, resampled = _confusions(calls, classes, num_resamples, seed)
    kappa = float(quadratic_kappa(confusion))
    kappas = quadratic_kappa(resampled)
    return {
        "num": len(calls.truth),
        "kappa": None if np.isnan(kappa) else kappa,
        "kappa_interval": interval(kappas),
        "accuracy": float(np.trace(confusion) / len(calls.truth)),
        "classes": list(classes),
        "confusion": confusion.tolist(),
        "bootstrap": {
            "num_resamples": num_resamples,
            "seed": seed,
            "level": LEVEL,
            "num_of_one_class": int(np.isnan(kappas).sum()),
        },
    }


def compare_calls(
    calls: Calls, others: Sequence[str], classes: Sequence[str], num_resamples: int, seed: int
) -> dict[str, Any]:
    """The difference of kappa, this run minus another on the same items, by the paired bootstrap.

    Args:
        calls: this run.
        others: (N,) what the other run called the same items.
        classes: names of the classes, in their order.
        num_resamples: of the groups, the same for both runs.
        seed: of the bootstrap.

    Returns:
        ``kappa`` of the other run, ``kappa_difference``, ``kappa_difference_interval`` and ``kappa_p_value``; None
        where undefined.
    """
    confusion, resampled = _confusions(calls, classes, num_resamples, seed)
    other, other_resampled = _confusions(calls._replace(called=others), classes, num_resamples, seed)
    kappa, difference = float(quadratic_kappa(other)), float(quadratic_kappa(confusion) - quadratic_kappa(other))
    differences = quadratic_kappa(resampled) - quadratic_kappa(other_resampled)
    return {
        "kappa": None if np.isnan(kappa) else kappa,
        "kappa_difference": None if np.isnan(difference) else difference,
        "kappa_difference_interval": interval(differences),
        "kappa_p_value": p_value(differences),
    }


def _confusions(
    calls: Calls, classes: Sequence[str], num_resamples: int, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The confusion matrix (K, K) of the items, and those (R, K, K) of the resamples of their groups."""
    size = len(classes)
    index = {name: position for position, name in enumerate(classes)}
    truth = np.array([index[name] for name in calls.truth], dtype=np.int64)
    called = np.array([index[name] for name in calls.called], dtype=np.int64)
    names, group = np.unique(np.asarray(calls.groups, dtype=str), return_inverse=True)
    of_group = np.zeros((len(names), size * size), dtype=np.int64)
    np.add.at(of_group, (group, truth * size + called), 1)
    weights = resample_weights(len(names), num_resamples, seed).astype(np.int64)
    return confusion_matrix(truth, called, size), (weights @ of_group).reshape(num_resamples, size, size)
