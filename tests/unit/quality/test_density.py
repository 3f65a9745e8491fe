"""Optical densities of rounded colors."""

import numpy as np
import pytest

from scripts.quality.density import LEVELS, chromatic_coordinates, color_densities, color_index


def test_index_finds_the_density_of_each_color() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(40, 256, (7, 11, 3), dtype=np.uint8)
    found = color_densities()[color_index(picture)]
    expected = np.maximum(0, -np.log10(picture / 245.0))
    assert found.shape == (7, 11, 3)
    np.testing.assert_allclose(found, expected, atol=np.log10(44.5 / 40.5) + 0.01)  # half a step at the darkest
    assert color_index(np.full((1, 1, 3), 255, dtype=np.uint8))[0, 0] == LEVELS**3 - 1


def test_a_dye_keeps_its_place_at_any_density() -> None:
    dye = np.array([0.65, 0.7, 0.29])
    means, x, y = chromatic_coordinates(np.array([0.2, 1.0, 1.7])[:, None] * dye)
    np.testing.assert_allclose(means, np.array([0.2, 1.0, 1.7]) * dye.mean())
    assert np.ptp(x) == pytest.approx(0, abs=1e-12)
    assert np.ptp(y) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("density", [0.0, 0.3, 1.5])
def test_gray_is_in_the_middle(density: float) -> None:
    _, x, y = chromatic_coordinates(np.full((1, 3), density))
    assert (x[0], y[0]) == (pytest.approx(0), pytest.approx(0))
