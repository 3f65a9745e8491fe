"""Intervals and p values, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.scoring.intervals import interval, p_value, share, wilson


def test_interval_by_hand():
    values = np.append(np.arange(41.0), np.nan)
    assert interval(values) == pytest.approx([1.0, 39.0])  # 2.5% and 97.5% of the way from 0 to 40
    assert interval(np.array([np.nan])) is None
    assert interval(np.empty(0)) is None


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([0.1] * 19, 2 / 20),
        ([-0.1] * 19, 2 / 20),
        ([0.1] * 17 + [-0.1] * 2, 2 * 3 / 20),
        ([0.0] * 19, 1.0),
        ([0.1] * 17 + [0.0, 0.0, np.nan], 2 * 3 / 20),
        ([np.nan], None),
    ],
)
def test_p_value_by_hand(differences, expected):
    assert p_value(np.array(differences)) == pytest.approx(expected)


def test_wilson_by_hand():
    # 7 of 10 and z = 1.959964: center (7 + z²/2) / (10 + z²), half width z sqrt(10 * 0.7 * 0.3 + z²/4) / (10 + z²)
    assert wilson(7, 10) == pytest.approx([0.396778, 0.892209], abs=1e-6)
    assert wilson(10, 10) == pytest.approx([0.722467, 1.0], abs=1e-6)
    assert wilson(0, 0) is None


def test_share_of_nothing_is_unknown():
    assert share(1, 4) == 0.25
    assert share(0, 0) is None
