from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scripts.scoring.figures import FEW, froc_figure, reliability_figure, roc_figure

TARGETS = [0.25, 0.5, 1, 2, 4, 8]


def _froc(rates: list[float], sensitivity: list[float]) -> Any:
    at_targets = np.interp(TARGETS, rates, sensitivity).tolist()
    return froc_figure(np.array(rates), np.array(sensitivity), TARGETS, at_targets, float(np.mean(at_targets)))


CURVES = {
    "perfect": ([0.0, 0.0, 0.0], [0.0, 0.5, 1.0]),
    "perfect, with false positives": ([0.0, 0.0, 0.67], [0.0, 1.0, 1.0]),
    "nothing found": ([0.0], [0.0]),
    "found at once": ([0.0], [1.0]),
}


def _is_apart_from_the_frame(axes: Any) -> bool:
    """Whether all that is drawn lies within the limits and not on them, on the screen."""
    axes.figure.canvas.draw()
    box = axes.get_window_extent()
    points = np.concatenate([line.get_transform().transform(line.get_xydata()) for line in axes.lines])
    points = points[np.isfinite(points).all(axis=1)]
    return bool(np.all(points > (box.x0 + 3, box.y0 + 3)) and np.all(points < (box.x1 - 3, box.y1 - 3)))


@pytest.mark.parametrize("name", CURVES)
def test_froc_curve_lies_apart_from_the_frame(name: str) -> None:
    (axes,) = _froc(*CURVES[name]).axes
    assert _is_apart_from_the_frame(axes)
    assert any(line.get_marker() == "s" and len(line.get_xdata()) == len(CURVES[name][0]) for line in axes.lines)


@pytest.mark.parametrize(
    ("rate", "sensitivity"), [([0.0, 0.0, 1.0], [0.0, 1.0, 1.0]), ([0.0, 1.0, 1.0], [0.0, 0.0, 1.0]), ([0, 1], [0, 1])]
)
def test_roc_curve_lies_apart_from_the_frame(rate: list[float], sensitivity: list[float]) -> None:
    (axes,) = roc_figure(rate, sensitivity, 1.0).axes
    assert _is_apart_from_the_frame(axes)
    assert any(line.get_marker() == "s" for line in axes.lines)


def test_long_curves_mark_no_points() -> None:
    rates = np.linspace(0, 5, 200)
    (axes,) = _froc(rates.tolist(), (rates / 5).tolist()).axes
    assert not any(line.get_marker() == "s" for line in axes.lines)


def _reliability(counts: list[int]) -> Any:
    edges = np.linspace(0, 1, len(counts) + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    return reliability_figure(
        {
            "low": edges[:-1].tolist(),
            "high": edges[1:].tolist(),
            "count": counts,
            "confidence": [float(middle) if count else None for middle, count in zip(middles, counts, strict=True)],
            "frequency": [float(middle) if count else None for middle, count in zip(middles, counts, strict=True)],
            "interval": [[0.0, 1.0] if count else None for count in counts],
        },
        what="map pixels",
    )


def _num_bars(axes: Any) -> int:
    drawn = [container for container in axes.containers if hasattr(container, "lines")]
    segments = [segment for container in drawn for segment in container.lines[2][0].get_segments()]
    return sum(len(segment) == 2 and bool(np.isfinite(segment).all()) for segment in segments)


@pytest.mark.parametrize(
    ("counts", "num_bars", "num_hollow"),
    [([900, 0, FEW - 1, FEW, 3], 2, 2), ([FEW, FEW], 2, 0), ([1, 2, 0], 0, 2)],
)
def test_bins_of_few_pixels_have_no_interval(counts: list[int], num_bars: int, num_hollow: int) -> None:
    (axes,) = _reliability(counts).axes
    assert _num_bars(axes) == num_bars
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert sum(len(line.get_xdata()) for line in hollow) == num_hollow
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert (f"fewer than {FEW} map pixels" in labels) == (num_hollow > 0)
    assert _is_apart_from_the_frame(axes)
