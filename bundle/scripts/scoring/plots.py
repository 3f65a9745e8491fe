"""Plots of scores: from what ``froc.json`` holds to figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import counted
from .figures import Band, froc_figure, roc_figure, write_figure
from .summary import counts

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    subtitle = f"{counted(scores['num_tumor_slides'], 'slide')} with tumor, {scores['num_slides']} in all"
    roc = level["roc"]
    return roc_figure(roc["false_positive_rate"], roc["sensitivity"], level["auc"], subtitle, _band(level["roc_band"]))


def write_plots(output: Path, scores: dict[str, Any]) -> None:
    """Write ``froc.png``, and ``roc.png`` where slides are of both classes.

    Args:
        output: the folder.
        scores: what ``froc.json`` holds.
    """
    write_figure(output / "froc.png", froc_plot(scores))
    roc = roc_plot(scores)
    if roc is not None:
        write_figure(output / "roc.png", roc)


def _band(content: dict[str, Any] | None) -> Band | None:
    return None if content is None else Band(*content.values())
