"""Pictures of sampled points."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from scripts.labels.regions import Regions
from scripts.labels.thumbnails import SIDE, mark_points, shrink, write_contact_sheet


@pytest.mark.parametrize(
    ("shape", "expected"), [((40, 20), (280, 140)), ((300, 1400), (60, 280)), ((1, 5000), (1, 280))]
)
def test_thumbnails_keep_the_aspect(shape, expected):
    assert shrink(np.full((*shape, 3), 200, np.uint8)).shape == (*expected, 3)


def test_dots_are_where_the_points_are():
    labels = np.zeros((3, 3, 3), np.uint8)
    labels[0, 1, 1] = 1
    labels[1, 0, 0] = 1  # a normal center beside tumor
    regions = Regions("a", np.array([(100, 900), (500, 200), (999, 1999)]), labels)
    thumbnail = np.full((100, 200, 3), 130, np.uint8)
    marked = mark_points(thumbnail, (1000, 2000), regions)
    assert (thumbnail == 130).all()
    ground = marked[0, 0]
    assert (ground > 150).all()
    dots = {tuple(place) for place in np.argwhere((marked != ground).any(axis=2)).tolist()}
    expected = {(row + i, col + j) for row, col in ((10, 90), (50, 20)) for i in (0, 1) for j in (0, 1)}
    assert dots == expected | {(99, 199)}
    red, blue = marked[10, 90].astype(int), marked[50, 20].astype(int)
    assert red[0] > 150 > red[2]
    assert blue[2] > 150 > blue[0]


def test_a_sheet_shows_every_slide(tmp_path):
    pictures = [np.full((SIDE // 2, SIDE, 3), value, np.uint8) for value in (0, 60, 120)]
    write_contact_sheet(tmp_path / "a.jpg", pictures, ["first", "second", "a very long name" * 9])
    with Image.open(tmp_path / "a.jpg") as sheet:
        values = np.asarray(sheet.convert("L"))
    for row, col, value in ((0, 0, 0), (0, 1, 60), (1, 0, 120)):
        at = values[row * 300 + 40 : row * 300 + 120, col * 286 + 20 : col * 286 + 260]
        assert abs(at.astype(int) - value).max() < 6
    assert values[320:, 300:].min() > 240
    assert values[6:18, 6:60].min() < 120  # the title
