"""Plots, drawn without pyplot's global state; each returns a figure for the caller to write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _RED, _GRAY = "#1f5fa8", "#c8452c", "#5a5a5a"

FEW = 50
"""Below so many patches or map pixels a bin of the reliability curve tells too little for an interval."""

_SHARE_LIMITS = -0.03, 1.05
"""Ends of an axis from 0 to 1: a line along 0 or 1 stands apart from the frame."""

_MARKED = 12
"""A curve of at most so many points shows each of them, since it may be no more than a corner or a dot."""


class Band(NamedTuple):
    """A band between two lines over the same x, each (P,)."""

    x: npt.ArrayLike
    low: npt.ArrayLike
    high: npt.ArrayLike


def _figure(title: str, subtitle: str) -> tuple[Figure, Axes]:
    """An empty figure with an Agg canvas, a title and a second line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(color="#e2e2e2", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", pad=24, fontsize=13, fontweight="bold")
    axes.annotate(
        subtitle, (0, 1), xytext=(0, 10), textcoords="offset points", xycoords="axes fraction", fontsize=9, color=_GRAY
    )
    return figure, axes


def _draw_band(axes: Axes, band: Band | None) -> None:
    if band is not None:
        axes.fill_between(band.x, band.low, band.high, color=_BLUE, alpha=0.15, linewidth=0, zorder=2)


def froc_figure(
    fps_per_slide: npt.NDArray[np.floating[Any]],
    sensitivity: npt.NDArray[np.floating[Any]],
    targets: Sequence[float],
    at_targets: Sequence[float],
    score: float,
    subtitle: str = "",
    band: Band | None = None,
) -> Figure:
    """Draw an FROC curve, with the sensitivity at the rates that make up the score.

    The axis is linear up to the first target and in octaves beyond, so that each target has the room of its weight.
    Beyond the last measured point the line is dashed: the score takes the sensitivity there as constant.

    Args:
        fps_per_slide: (P,) of `froc.FrocCurve`, increasing from 0.
        sensitivity: (P,) of `froc.FrocCurve`.
        targets: (T,) false positives per slide, increasing, the first positive.
        at_targets: (T,) sensitivity at each.
        score: their mean, for the title.
        subtitle: a second line, such as the numbers of slides and lesions.
        band: 95% interval of the sensitivity, over false positives per slide.

    Returns:
        A figure with an Agg canvas.
    """
    figure, axes = _figure(f"FROC score {score:.4f}", subtitle)
    end = targets[-1]
    axes.set_xscale("symlog", base=2, linthresh=targets[0], linscale=1)
    # Points in between: the score reads straight lines on a linear axis, and they bend on this one.
    rates = np.unique(np.concatenate([np.linspace(0, end, 2001), fps_per_slide[fps_per_slide <= end]]))
    curve = np.interp(rates, fps_per_slide, sensitivity)
    is_measured = rates <= fps_per_slide[-1]
    _draw_band(axes, band)
    line: dict[str, Any] = {"color": _BLUE, "linewidth": 1.8, "zorder": 3, "clip_on": False}
    axes.plot([0, *rates[is_measured]], [0, *curve[is_measured]], **line)
    if not is_measured.all():
        last = np.flatnonzero(is_measured)[-1]
        axes.plot(rates[last:], curve[last:], linestyle=(0, (3, 2)), **line)
    _mark_points(axes, fps_per_slide[fps_per_slide <= end], sensitivity[fps_per_slide <= end])
    axes.plot(targets, at_targets, "o", color=_RED, markersize=6, zorder=4, clip_on=False)
    for rate, value in zip(targets, at_targets, strict=True):
        below = value > 0.9
        axes.annotate(
            f"{value:.3f}",
            (rate, value),
            xytext=(0, -8 if below else 8),
            textcoords="offset points",
            ha="center",
            va="top" if below else "bottom",
            fontsize=8,
            color=_RED,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
            zorder=5,
        )
    axes.set_xlim(-0.12 * targets[0], 1.12 * end)
    axes.set_ylim(_SHARE_LIMITS)
    axes.set_xticks([0, *targets], labels=["0", *(_rate_label(target) for target in targets)])
    axes.minorticks_off()
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_xlabel("False positives per slide (average)")
    axes.set_ylabel("Sensitivity (lesions found)")
    return figure


def _mark_points(axes: Axes, x: npt.ArrayLike, y: npt.ArrayLike) -> None:
    if np.size(x) <= _MARKED:
        axes.plot(x, y, "s", color=_BLUE, markersize=4, zorder=3, clip_on=False)


def _rate_label(rate: float) -> str:
    fractions = {0.125: "1/8", 0.25: "1/4", 0.5: "1/2"}
    return fractions.get(rate, f"{rate:g}")


def roc_figure(
    false_positive_rate: npt.ArrayLike,
    sensitivity: npt.ArrayLike,
    auc: float,
    subtitle: str = "",
    band: Band | None = None,
) -> Figure:
    """Draw the ROC curve of slide scores.

    Args:
        false_positive_rate: (P,) of `roc.RocCurve`.
        sensitivity: (P,) of `roc.RocCurve`.
        auc: area under it, for the title.
        subtitle: a second line.
        band: 95% interval of the sensitivity, over the false positive rate.

    Returns:
        A figure with an Agg canvas.
    """
    figure, axes = _figure(f"AUC {auc:.4f}", subtitle)
    _draw_band(axes, band)
    axes.plot([0, 1], [0, 1], color=_GRAY, linewidth=0.8, linestyle=(0, (3, 2)))
    axes.plot(false_positive_rate, sensitivity, color=_BLUE, linewidth=1.8, zorder=3, clip_on=False)
    _mark_points(axes, false_positive_rate, sensitivity)
    axes.set_xlim(_SHARE_LIMITS)
    axes.set_ylim(_SHARE_LIMITS)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_xlabel("False positive rate (slides without tumor)")
    axes.set_ylabel("Sensitivity (slides with tumor)")
    return figure


def reliability_figure(curve: dict[str, list[Any]], subtitle: str = "", what: str = "patches") -> Figure:
    """Draw how often patches are tumor over the probability that they were given, with the patches in each bin.

    Bins of fewer than `FEW` patches are hollow points without an interval: it would reach from 0 to 1.

    Args:
        curve: the object ``reliability`` of ``patches.json``, or what has the same keys.
        subtitle: a second line.
        what: the patches are, for the axes.

    Returns:
        A figure with an Agg canvas.
    """
    figure, axes = _figure("Reliability", subtitle)
    few = [index for index, count in enumerate(curve["count"]) if 0 < count < FEW]
    confidence, frequency, low, high = (  # gaps in the line where bins are left out
        np.array([value if count >= FEW else np.nan for value, count in zip(values, curve["count"], strict=True)])
        for values in (
            curve["confidence"],
            curve["frequency"],
            [np.nan if pair is None else pair[0] for pair in curve["interval"]],
            [np.nan if pair is None else pair[1] for pair in curve["interval"]],
        )
    )
    share = np.array(curve["count"]) / sum(curve["count"])
    edges = np.array([*curve["low"], curve["high"][-1]])
    axes.bar(
        edges[:-1], share, np.diff(edges), align="edge", color=_GRAY, alpha=0.18, zorder=1, label=f"share of {what}"
    )
    axes.plot([0, 1], [0, 1], color=_GRAY, linewidth=0.8, linestyle=(0, (3, 2)), label="calibrated")
    bars = np.abs(np.stack([frequency - low, high - frequency]))
    axes.errorbar(
        confidence, frequency, bars, fmt="o-", color=_BLUE, linewidth=1.4, markersize=4, zorder=3, label="network, 95%"
    )
    if few:
        x, y = ([curve[key][index] for index in few] for key in ("confidence", "frequency"))
        label = f"fewer than {FEW} {what}"
        axes.plot(x, y, "o", color=_GRAY, markerfacecolor="white", markersize=4, zorder=3, label=label)
    axes.set_xlim(_SHARE_LIMITS)
    axes.set_ylim(_SHARE_LIMITS)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_xlabel("Probability of tumor (mean in each bin)")
    axes.set_ylabel(f"Share of {what} that are tumor")
    axes.legend(loc="upper left", frameon=False, fontsize=9)
    return figure


def write_figure(path: str | Path, figure: Figure) -> None:
    """Write a figure atomically, in the format of the path's suffix."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
