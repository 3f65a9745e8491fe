"""The picture of a staging: confusion matrices of nodes and of patients, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .summary import kappa_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DARK = 0.55
"""From this share of a row on, a number is white on blue."""


def confusion_figure(agreement: dict[str, Any]) -> Figure:
    """Draw the confusion matrices, each row colored by the share of its true class.

    Classes that are neither true nor called are left out where they are the gravest, as pN3a is in CAMELYON17.

    Args:
        agreement: the object ``agreement`` of ``stage.json``; ``patients`` may be None.

    Returns:
        A figure with an Agg canvas.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = [(name, agreement[name]) for name in ("nodes", "patients") if agreement[name] is not None]
    figure = Figure(figsize=(4.9 * len(found), 4.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    for (name, report), axes in zip(found, figure.subplots(1, len(found), squeeze=False)[0], strict=True):
        _draw(axes, name, report)
    return figure


def _draw(axes: Axes, name: str, report: dict[str, Any]) -> None:
    confusion = np.array(report["confusion"])
    size = len(confusion)
    while size > 2 and not (confusion[size - 1].any() or confusion[:, size - 1].any()):
        size -= 1
    confusion, classes = confusion[:size, :size], report["classes"][:size]
    total = confusion.sum(axis=1, keepdims=True)
    share = confusion / np.maximum(total, 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, col in np.ndindex(confusion.shape):
        color = "white" if share[row, col] > _DARK else "#202020" if confusion[row, col] else "#b0b0b0"
        axes.text(col, row, str(confusion[row, col]), ha="center", va="center", color=color, fontsize=11)
    axes.set_xticks(range(size), classes)
    axes.set_yticks(range(size), [f"{label} ({count})" for label, count in zip(classes, total[:, 0], strict=True)])
    axes.set_xlabel("Called")
    axes.set_ylabel("True (number)")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(f"{name.capitalize()}\n{kappa_text(report)}", loc="left", fontsize=10)
