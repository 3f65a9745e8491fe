"""The ``metrics`` step: how well a network tells labelled patch pictures apart, and how sure it may be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError, counted
from ..files import make_output_dir, write_json, write_table
from . import calibration, roc
from .bootstrap import resample_weights
from .intervals import LEVEL, interval, wilson

_COLUMNS = ("file", "label", "logit")
_LABELS = {"auc": "AUC", "brier_score": "Brier score"}


def patch_report(
    logits: npt.NDArray[np.float64], is_tumor: npt.NDArray[np.bool_], num_resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Accuracy, AUC, average precision and calibration of patches, with bootstrap intervals over patches.

    Args:
        logits: (N,) finite; a patch is called tumor above 0, a probability of 0.5.
        is_tumor: (N,).
        num_resamples: of the bootstrap; 0 leaves the intervals out.
        seed: of the bootstrap.

    Returns:
        The part of ``patches.json`` that is computed here.

    Raises:
        InputError: if logits are not finite.
    """
    from scipy.special import expit

    if not np.isfinite(logits).all():
        raise InputError("logits: expected finite numbers, found NaN or infinity; the weights are damaged, train again")
    probabilities = expit(logits)
    weights = resample_weights(len(logits), num_resamples, seed)
    found: dict[str, Any] = {
        "num_patches": len(logits),
        "num_tumor": int(is_tumor.sum()),
        "bootstrap": {"num_resamples": num_resamples, "seed": seed, "level": LEVEL},
    }
    means = {"accuracy": (logits > 0) == is_tumor, "brier_score": (probabilities - is_tumor) ** 2}
    for name, values in means.items():
        resampled = weights @ values.astype(np.float64) / len(logits)
        found[name] = {"value": float(values.mean()), "interval": interval(resampled)}
    for name, metric, scores in (
        ("auc", roc.roc_auc, logits),
        ("average_precision", roc.average_precision, logits),
        ("calibration_error", calibration.calibration_error, probabilities),
    ):
        value = float(metric(scores, is_tumor)[0])
        resampled = metric(scores, is_tumor, weights) if num_resamples else np.empty(0)
        found[name] = {"value": None if np.isnan(value) else value, "interval": interval(resampled)}
    curve = calibration.reliability(probabilities, is_tumor)
    tumor_counts = np.bincount(calibration.bin_index(probabilities), is_tumor, calibration.NUM_BINS)
    found["reliability"] = {
        "low": curve.edges[:-1].tolist(),
        "high": curve.edges[1:].tolist(),
        "count": curve.num_patches.tolist(),
        "confidence": [None if np.isnan(value) else float(value) for value in curve.confidence],
        "frequency": [None if np.isnan(value) else float(value) for value in curve.frequency],
        "interval": [
            wilson(int(hits), int(count)) for hits, count in zip(tumor_counts, curve.num_patches, strict=True)
        ],
    }
    return found


def score_patches(
    output: str | Path,
    weights: str | Path | None = None,
    folders: Sequence[str | Path] = (),
    tables: Sequence[str | Path] = (),
    overlays: Sequence[str] = (),
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Run a network on labelled patch pictures and write ``patches.json``, ``reliability.png`` and ``patches.csv``.

    Args:
        output: folder for the results.
        weights: of the network; the bundle's own for these settings if None.
        folders: see `training.patch_images.patch_datalist`.
        tables: see `training.patch_images.patch_datalist`.
        overlays: config files laid over ``train.json`` and ``train_patches.json``, such as ``train_10x.json``.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The report.

    Raises:
        InputError: if anything needed is missing or damaged.
    """
    from .figures import reliability_figure, write_figure
    from .patch_logits import compute_patch_logits

    if num_resamples < 0 or seed < 0:
        raise InputError(f"num_resamples and seed: expected at least 0, found {num_resamples} and {seed}; mend them")
    folder = make_output_dir(output)
    patches = compute_patch_logits(weights, folders, tables, overlays)
    report = {
        **patch_report(patches.logits, patches.is_tumor, num_resamples, seed),
        "weights": Path(patches.weights).name,
        "weights_purpose": None if patches.purpose is None else patches.purpose.content(),
        "mpp": patches.settings.mpp,
        "patch_size": list(patches.settings.patch_size),
        "folders": [str(path) for path in folders],
        "tables": [str(path) for path in tables],
    }
    rows = [
        {"file": file, "label": int(label), "logit": float(logit)}
        for file, label, logit in zip(patches.files, patches.is_tumor, patches.logits, strict=True)
    ]
    write_json(folder / "patches.json", report)
    write_table(folder / "patches.csv", _COLUMNS, rows)
    write_figure(folder / "reliability.png", reliability_figure(report["reliability"], title(report)))
    return report


def title(report: dict[str, Any]) -> str:
    """How many patches there are, in words."""
    return f"{counted(report['num_patches'], 'patch', 'patches')}, {report['num_tumor']} tumor"


def summary(report: dict[str, Any]) -> str:
    """The report as a short table for the console.

    Args:
        report: what ``patches.json`` holds.

    Returns:
        Several lines, without a line break at the end.
    """
    lines = [title(report)]
    for name in ("auc", "average_precision", "accuracy", "brier_score", "calibration_error"):
        value, found = report[name]["value"], report[name]["interval"]
        bounds = "" if found is None else f" [{found[0]:.3f}, {found[1]:.3f}]"
        label = _LABELS.get(name, name.replace("_", " "))
        lines.append(f"{label:17} " + ("undefined, of one class" if value is None else f"{value:.3f}{bounds}"))
    return "\n".join(lines)
