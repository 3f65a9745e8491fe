"""Pictures of results for people to look at first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from ..scoring.figures import write_figure


def slide_picture(
    path: str | Path,
    overview: npt.NDArray[np.uint8],
    prob_map: npt.NDArray[np.float32],
    truth: npt.NDArray[np.bool_] | None,
    title: str,
) -> None:
    """Write a picture of a slide beside its probability map, the truth outlined on both.

    Args:
        path: the PNG to write.
        overview: (rows, cols, 3) uint8 RGB of the whole slide, of any resolution.
        prob_map: (rows, cols) float32, 0 to 1, of the whole slide.
        truth: (rows, cols) bool tumor mask of the whole slide, or None.
        title: printed above.
    """
    height, width = overview.shape[:2]
    figure = Figure(figsize=(11, 0.9 + 5.2 * height / width), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    extent = (0.0, float(width), float(height), 0.0)
    left.imshow(overview, extent=extent)
    left.set_title("slide, truth outlined" if truth is not None else "slide")
    right.imshow(overview, extent=extent)
    heat = right.imshow(prob_map, extent=extent, cmap="inferno", vmin=0, vmax=1, interpolation="nearest")
    heat.set_alpha(np.clip(1.6 * prob_map, 0, 0.8))  # the less likely tumor is, the more of the tissue shows
    right.set_title("probability of tumor")
    for axes in (left, right):
        axes.set_axis_off()
        if truth is not None and truth.any() and not truth.all():
            axes.contour(
                (np.arange(truth.shape[1]) + 0.5) * width / truth.shape[1],
                (np.arange(truth.shape[0]) + 0.5) * height / truth.shape[0],
                truth,
                levels=[0.5],
                colors="#00e0ff",
                linewidths=1.4,
            )
    figure.colorbar(ScalarMappable(heat.norm, heat.cmap), ax=[left, right], shrink=0.8, pad=0.01)
    figure.suptitle(title)
    write_figure(path, figure)
