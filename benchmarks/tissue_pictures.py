"""Pictures of probability maps over pieces of real tissue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from PIL import Image
from tissue_pieces import Piece

from scripts.files import make_output_dir
from scripts.scoring.figures import write_figure

SIDE = 700
"""Longest side of a piece on a picture, in pixels."""


def draw_maps(path: Path, piece: Piece, maps: Mapping[str, npt.NDArray[np.floating[Any]]], stride: int) -> None:
    """Draw a piece, and beside it the piece under each of its maps; tumor is outlined.

    Args:
        path: the picture to write; its folder is made.
        piece: the piece; one that is much higher than wide is laid on its left side, and maps come below it.
        maps: (rows, cols) floating by title, NaN where there is no position.
        stride: level-0 pixels per map pixel.
    """
    make_output_dir(path.parent)
    turned = piece.image.shape[0] > 3 * piece.image.shape[1]
    height, width = piece.image.shape[1::-1] if turned else piece.image.shape[:2]
    cells = [1 + len(maps), 1] if turned else [1, 1 + len(maps)]
    side = 15.0 if turned else 4.4
    size = cells[1] * side, cells[0] * (side * height / width + 0.35)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(*cells, squeeze=False).ravel()
    draw_tissue(axes[0], piece, turned)
    axes[0].set_title(piece.title, fontsize=10)
    for place, (title, found) in zip(axes[1:], maps.items(), strict=True):
        draw_tissue(place, piece, turned)
        heat = draw_heat(place, found, stride, turned)
        place.set_title(title, fontsize=10)
    figure.colorbar(ScalarMappable(heat.norm, heat.cmap), ax=list(axes), shrink=0.7, pad=0.01)
    write_figure(path, figure)


def draw_grid(
    path: Path,
    columns: Sequence[Piece],
    rows: Mapping[str, Sequence[tuple[Piece, npt.NDArray[np.floating[Any]], int]]],
) -> None:
    """Draw pieces side by side, and below them the same under maps.

    Args:
        path: the picture to write.
        columns: square pieces.
        rows: by title, for each column the piece as it was seen, its map as for `draw_maps`, and the map's stride.
    """
    size = 2.6 * len(columns) + 0.9, 2.6 * (1 + len(rows)) + 0.3
    figure = Figure(figsize=size, dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1 + len(rows), len(columns), squeeze=False)
    for place, piece in zip(axes[0], columns, strict=True):
        draw_tissue(place, piece)
        place.set_title(piece.title, fontsize=11)
    for places, (title, cells) in zip(axes[1:], rows.items(), strict=True):
        for place, (piece, found, stride) in zip(places, cells, strict=True):
            draw_tissue(place, piece)
            heat = draw_heat(place, found, stride)
        places[0].text(-0.04, 0.5, title, rotation=90, ha="right", va="center", transform=places[0].transAxes)
    bar = figure.colorbar(ScalarMappable(heat.norm, heat.cmap), ax=list(axes.ravel()), shrink=0.5, pad=0.01)
    bar.set_label("probability of metastasis")
    write_figure(path, figure)


def draw_tissue(axes: Axes, piece: Piece, turned: bool = False) -> None:
    """Draw a piece in small, in level-0 pixels, its tumor outlined."""
    height, width = piece.image.shape[:2]
    factor = max(1, max(height, width) // (2 * SIDE if turned else SIDE))
    small = np.asarray(Image.fromarray(piece.image).reduce(factor))
    tumor = np.pad(piece.tumor[::factor, ::factor], 1)
    sides = (height, width)
    if turned:
        small, tumor, sides = np.rot90(small), np.rot90(tumor), (width, height)
    axes.imshow(small, extent=(0, sides[1], sides[0], 0))
    if tumor.any():
        rows, cols = ((np.arange(count) - 0.5) * factor for count in tumor.shape)
        axes.contour(cols, rows, tumor, levels=[0.5], colors="#00e0ff", linewidths=1.3)
    axes.set(xlim=(0, sides[1]), ylim=(sides[0], 0))
    axes.set_axis_off()


def draw_heat(axes: Axes, found: npt.NDArray[np.floating[Any]], stride: int, turned: bool = False) -> Any:
    """Draw a map over a piece; the less likely tumor is, the more of the tissue shows."""
    rows, cols = (side * stride for side in found.shape)
    shown = np.rot90(found) if turned else found
    height, width = axes.get_ylim()[0], axes.get_xlim()[1]
    # Turned, the map's last column, which may reach beyond the piece, is uppermost.
    extent = (0, rows, height, height - cols) if turned else (0, cols, rows, 0)
    heat = axes.imshow(shown, extent=extent, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    heat.set_alpha(np.clip(1.4 * np.nan_to_num(shown), 0, 0.75))
    axes.set(xlim=(0, width), ylim=(height, 0))
    return heat
