"""Black background, dark edges and coverslip edges, each drawn beside what looks like it."""

import numpy as np
import pytest

from helpers.drawn_artifacts import INKS, add_ink, disk, draw_slide, stroke
from scripts.quality.edges import find_black, find_coverslip_edges, find_dark_edges, light_of

SHAPE = (331, 463)
PIXEL_UM = 16.0
TISSUE = disk(SHAPE, (160, 250), (90, 120))
NOTHING = np.zeros(SHAPE, dtype=bool)


def slide() -> np.ndarray:
    return draw_slide(SHAPE, TISSUE)


def test_black_background_is_found_and_dark_tissue_is_not() -> None:
    picture = slide()
    picture[:, :70] = 0
    picture[TISSUE] = picture[TISSUE] // 4
    picture[10:14, 300:304] = 0  # a speck
    black = find_black(light_of(picture), PIXEL_UM)
    expected = NOTHING.copy()
    expected[:, :70] = True
    np.testing.assert_array_equal(black, expected)


def test_slides_without_edges() -> None:
    light = light_of(slide())
    assert not find_black(light, PIXEL_UM).any()
    assert not find_dark_edges(light, PIXEL_UM, NOTHING).any()
    assert not find_coverslip_edges(light, PIXEL_UM, TISSUE).any()


@pytest.mark.parametrize("side", ["top", "right", "frame", "corner"])
def test_dark_edges(side: str) -> None:
    where = {
        "top": np.s_[:12],
        "right": np.s_[:, -15:],
    }
    dark = NOTHING.copy()
    if side in where:
        dark[where[side]] = True
    elif side == "frame":
        dark[:] = True
        dark[9:-9, 9:-9] = False
    else:
        rows, cols = np.indices(SHAPE)
        dark = rows + cols < 40
    picture = slide()
    picture[dark] = (70, 72, 75)
    np.testing.assert_array_equal(find_dark_edges(light_of(picture), PIXEL_UM, NOTHING), dark)


def test_a_black_stroke_that_leaves_the_picture_is_no_edge() -> None:
    picture = add_ink(slide(), stroke(SHAPE, (-10, 60), (200, 90), 24), INKS["black"])
    assert not find_dark_edges(light_of(picture), PIXEL_UM, NOTHING).any()


@pytest.mark.parametrize("slope", [0.0, 0.04, 0.9])
def test_coverslip_edges(slope: float) -> None:
    line = stroke(SHAPE, (20, 10), (20 + int(slope * 340), 350), 2.5)
    picture = slide()
    picture[line] = (190, 191, 195)
    found = find_coverslip_edges(light_of(picture), PIXEL_UM, TISSUE)
    assert found[line & ~TISSUE].mean() > 0.9 or slope == 0.9  # cut by the tissue into short pieces
    assert not found[~line].any()


@pytest.mark.parametrize("look_alike", ["hair", "short", "colored", "blot"])
def test_what_is_no_coverslip_edge(look_alike: str) -> None:
    picture = slide()
    rows, cols = np.indices(SHAPE)
    if look_alike == "hair":
        where = np.abs(rows - 30 - 14 * np.sin(cols / 25)) < 1.5
        where &= cols < 300
    elif look_alike == "blot":
        where = disk(SHAPE, (25, 150), (18, 120))
    else:
        where = stroke(SHAPE, (20, 10), (20, 120 if look_alike == "short" else 350), 2.5)
    picture[where] = (210, 150, 190) if look_alike == "colored" else (190, 191, 195)
    assert not find_coverslip_edges(light_of(picture), PIXEL_UM, TISSUE).any()
