"""Pictures of results for people to look at first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from ..scoring.figures import write_figure
from .overlays import scale_bar

_INCHES = 16.0
_MARGIN = 0.1 / _INCHES
"""Of `strip_picture`: its width, and the room on its left as a share of it."""


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


def strip_picture(
    path: str | Path,
    overview: npt.NDArray[np.uint8],
    prob_map: npt.NDArray[np.float32],
    overview_um: float,
    map_um: float,
    title: str,
    parts: Sequence[tuple[str, float, float]] = (),
) -> None:
    """Write a picture of a slide that is much higher than wide, laid on its side, with its probability map below.

    The slide is turned counterclockwise, so its upper end is on the left.

    Args:
        path: the PNG to write.
        overview: (rows, cols, 3) uint8 RGB of the whole slide, of any resolution.
        prob_map: (rows, cols) float32, 0 to 1, of the whole slide; 0 where nothing was evaluated.
        overview_um: µm per pixel of the overview.
        map_um: µm per pixel of the map.
        title: printed above the slide.
        parts: what the slide shows, each with its begin and end in µm from the upper end, drawn above the slide.
    """
    length, width = (side * overview_um for side in overview.shape[:2])
    strip = _INCHES * width / length
    height = (1.05 if parts else 0.62) + strip + 0.66 + strip + 0.85
    figure = Figure(figsize=(_INCHES, height), dpi=100)
    FigureCanvasAgg(figure)
    tissue, colored = (
        figure.add_axes((0.0, below / height, 1.0, strip / height)) for below in (0.85 + strip + 0.66, 0.85)
    )
    for axes in (tissue, colored):
        axes.imshow(np.rot90(overview), extent=(0.0, length, 0.0, width))
    # the map's last row and column may reach beyond the slide
    turned, extent = np.rot90(prob_map), (0.0, prob_map.shape[0] * map_um, 0.0, prob_map.shape[1] * map_um)
    heat = colored.imshow(turned, extent=extent, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    heat.set_alpha(np.where(turned > 0, 0.2 + 0.5 * turned, 0.0))  # some of the tissue shows everywhere
    for axes in (tissue, colored):
        axes.set(xlim=(0, length), ylim=(0, width), aspect="auto")
        axes.set_axis_off()
    _name_parts(tissue, parts, strip)
    heading: dict[str, Any] = {"fontsize": 20, "fontweight": "bold"}
    figure.text(_MARGIN, 1 - 0.42 / height, title, **heading)
    figure.text(_MARGIN, (0.85 + strip + 0.2) / height, "The same tissue, colored by the network", **heading)
    bar = scale_bar(length, 0.15)
    scale = figure.add_axes((_MARGIN, 0.0, bar.share, 0.85 / height))
    scale.plot([0, 1], [0.68, 0.68], color="black", linewidth=5, solid_capstyle="butt", clip_on=False)
    scale.text(0.5, 0.54, bar.label, ha="center", va="top", fontsize=17)
    scale.set(xlim=(0, 1), ylim=(0, 1))
    scale.set_axis_off()
    colors = figure.add_axes((0.55, 0.48 / height, 0.42, 0.2 / height))
    figure.colorbar(ScalarMappable(heat.norm, heat.cmap), cax=colors, orientation="horizontal")
    colors.set_xticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "0.25", "0.5", "0.75", "1"], fontsize=17)
    figure.text(0.53, 0.49 / height, "Probability of metastasis", ha="right", fontsize=17)
    write_figure(path, figure)


def _name_parts(axes: Axes, parts: Sequence[tuple[str, float, float]], inches: float) -> None:
    """Write names above a strip that is so many inches high, each over a line as long as its part."""
    across = axes.get_xaxis_transform()
    for name, begin, end in parts:
        gap = 0.004 * axes.get_xlim()[1]
        y = 1 + 0.12 / inches
        axes.plot([begin + gap, end - gap], [y, y], color="black", linewidth=2, transform=across, clip_on=False)
        axes.text((begin + end) / 2, y + 0.08 / inches, name, ha="center", fontsize=17, transform=across)
