from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scripts.scoring.plots import froc_plot, roc_plot

SCORES: dict[str, Any] = {
    "froc_score": 0.5,
    "false_positives_per_slide": [0.25, 0.5, 1, 2, 4, 8],
    "sensitivity": [0.5] * 6,
    "curve": {"false_positives_per_slide": [0.0, 0.1, 9.0], "sensitivity": [0.0, 0.5, 0.5], "threshold": [None, 1, 0]},
    "curve_band": {"false_positives_per_slide": [0.0, 8.0], "low": [0.3, 0.4], "high": [0.6, 0.7]},
    "num_slides": 4,
    "num_froc_slides": 4,
    "num_tumor_slides": 2,
    "num_lesions": 3,
    "num_isolated_tumor_cells": 1,
    "slide_level": {
        "auc": 0.75,
        "roc": {"false_positive_rate": [0.0, 0.5, 1.0], "sensitivity": [0.5, 1.0, 1.0]},
        "roc_band": None,
    },
}


def test_froc_plot_has_curve_points_and_band() -> None:
    (axes,) = froc_plot(SCORES).axes
    assert axes.get_title(loc="left") == "FROC score 0.5000"
    assert len(axes.collections) == 1, "the band"
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.3, 0.7))
    assert not froc_plot(SCORES | {"curve_band": None}).axes[0].collections


def test_roc_plot_is_left_out_where_slides_are_of_one_class() -> None:
    figure = roc_plot(SCORES)
    assert figure is not None
    lines = [np.transpose(line.get_data()).tolist() for line in figure.axes[0].lines]
    assert [[0.0, 0.5], [0.5, 1.0], [1.0, 1.0]] in lines
    assert roc_plot(SCORES | {"slide_level": {"roc": None}}) is None
