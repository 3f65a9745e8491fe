"""Single pixels that no tissue looks like."""

import numpy as np
import pytest
from skimage.color import rgb2hsv

from scripts.quality.marks import is_mark


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((40, 150, 70), True),  # green
        ((30, 90, 190), True),  # blue
        ((60, 60, 62), True),  # black, and dirt
        ((205, 130, 180), False),
        ((60, 20, 60), False),  # dark nuclei
        ((200, 30, 40), False),  # red is the color of blood
        ((243, 242, 244), False),  # glass
    ],
)
def test_marks(rgb: tuple[int, int, int], expected: bool) -> None:
    picture = np.array([[rgb]], dtype=np.uint8)
    assert bool(is_mark(rgb2hsv(picture))[0, 0]) == expected
