from __future__ import annotations

import numpy as np
import pytest

from scripts.maps.palette import heat_gradient, heat_palette


@pytest.mark.parametrize("num_steps", [8, 64, 256])
def test_palette_is_ordered_in_lightness(num_steps: int) -> None:
    """So that it reads the same in gray and to the color-blind."""
    palette = heat_palette(num_steps)
    assert palette.shape == (num_steps, 4)
    lightness = palette[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness[:: num_steps // 8]) > 0).all()
    assert (np.diff(lightness) > -1).all(), "rounded to 8 bits"
    assert palette[0, 3] == 0
    assert (palette[num_steps // 2 :, 3] == 255).all()


def test_gradient_begins_with_nothing() -> None:
    assert heat_gradient().startswith("linear-gradient(to right,rgba(68,1,84,0.00),")
