"""Scores as one would write them down: loops over samples, pairs and resamples. Slow and obviously right."""

from __future__ import annotations

import numpy as np

from scripts.scoring.froc import TARGETS


def slow_sensitivity(matches, rates=TARGETS, drops_lowest=False):
    """Sensitivity at the rates of slides that are pooled; None without lesions."""
    false = [float(prob) for match in matches for prob in match.false_positives]
    hits = [float(prob) for match in matches for prob in match.lesions]
    if not hits:
        return None
    everything = set(false) | set(hits)
    if any(match.num_isolated_tumor_cells for match in matches):
        everything.add(0.0)
    limits = sorted(everything)
    if limits[0] == 0 or drops_lowest:
        limits = limits[1:]
    points = [(0.0, 0.0)]
    for limit in reversed(limits):
        points.append(
            (sum(prob >= limit for prob in false) / len(matches), sum(prob >= limit for prob in hits) / len(hits))
        )
    return np.interp(rates, [rate for rate, _ in points], [value for _, value in points])


def slow_auc(scores, is_tumor):
    """Share of the pairs in which the tumor sample scores higher, ties half; NaN without a pair."""
    tumor = [score for score, label in zip(scores, is_tumor, strict=True) if label]
    normal = [score for score, label in zip(scores, is_tumor, strict=True) if not label]
    if not (tumor and normal):
        return float("nan")
    won = sum(1.0 if first > second else 0.5 if first == second else 0.0 for first in tumor for second in normal)
    return won / (len(tumor) * len(normal))


def slow_average_precision(scores, is_tumor):
    """The step-wise integral of precision over sensitivity; NaN without a tumor sample."""
    if not any(is_tumor):
        return float("nan")
    found, before = 0.0, 0.0
    for limit in sorted(set(scores), reverse=True):
        called = [label for score, label in zip(scores, is_tumor, strict=True) if score >= limit]
        sensitivity = sum(called) / sum(is_tumor)
        found += (sensitivity - before) * sum(called) / len(called)
        before = sensitivity
    return found


def drawn(row):
    """Indices of the items that a row of weights holds, each as often as it says."""
    return [index for index, count in enumerate(row) for _ in range(count)]
