"""Plots of scores: from what ``froc.json`` holds, and of the reliability of map pixels, to figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .plots import Band, froc_figure, roc_figure
from .score_report import counts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BLUE, _GRAY = "#1f5fa8", "#5a5a5a"


def froc_plot(scores: dict[str, Any], subtitle: str | None = None) -> Figure:
    """The FROC curve with its band.

    Args:
        scores: what ``froc.json`` holds.
        subtitle: the second line; all that was counted if None.

    Returns:
        A figure with an Agg canvas.
    """
    curve = scores["curve"]
    return froc_figure(
        np.array(curve["false_positives_per_slide"]),
        np.array(curve["sensitivity"]),
        scores["false_positives_per_slide"],
        scores["sensitivity"],
        scores["froc_score"],
        counts(scores) if subtitle is None else subtitle,
        _band(scores["curve_band"]),
    )


def roc_plot(scores: dict[str, Any]) -> Figure | None:
    """The ROC curve of slides with its band, or None where all slides are of one class.

    Args:
        scores: what ``froc.json`` holds.

    Returns:
        A figure with an Agg canvas.
    """
    level = scores["slide_level"]
    if level["roc"] is None:
        return None
    subtitle = f"{scores['num_tumor_slides']} slides with tumor, {scores['num_slides']} in all"
    roc = level["roc"]
    return roc_figure(roc["false_positive_rate"], roc["sensitivity"], level["auc"], subtitle, _band(level["roc_band"]))


def _band(content: dict[str, Any] | None) -> Band | None:
    return None if content is None else Band(*content.values())


def reliability_plot(reliability: dict[str, Any]) -> Figure:
    """The share of tumor over the probability of map pixels, with its interval, over a histogram of them.

    Args:
        reliability: of `map_reliability.reliability_report`.

    Returns:
        A figure with an Agg canvas.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    low, high, count = (np.array(reliability[key]) for key in ("low", "high", "count"))
    axes.bar(low, count / count.sum(), high - low, align="edge", color=_BLUE, alpha=0.15, linewidth=0)
    axes.plot([0, 1], [0, 1], color=_GRAY, linewidth=0.8, linestyle=(0, (3, 2)))
    known = [index for index in range(count.size) if count[index]]
    confidence, frequency = ([reliability[key][index] for index in known] for key in ("confidence", "frequency"))
    for index, x in zip(known, confidence, strict=True):
        if reliability["interval"][index] is not None:
            axes.plot([x, x], reliability["interval"][index], color=_BLUE, linewidth=1.2, clip_on=False)
    axes.plot(confidence, frequency, "o-", color=_BLUE, markersize=5, linewidth=1.8, zorder=3, clip_on=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.grid(color="#e2e2e2", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("Probability (bars: share of all pixels)")
    axes.set_ylabel("Share that is tumor in the truth")
    axes.set_title(
        f"Calibration error {reliability['calibration_error']:.4f}", loc="left", pad=24, fontsize=13, fontweight="bold"
    )
    subtitle = f"{reliability['num_pixels']:,} map pixels with tissue, {100 * reliability['tumor_share']:.1f}% tumor"
    axes.annotate(
        subtitle, (0, 1), xytext=(0, 10), textcoords="offset points", xycoords="axes fraction", fontsize=9, color=_GRAY
    )
    return figure
