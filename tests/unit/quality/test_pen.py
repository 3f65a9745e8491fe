"""Pen of many colors on drawn tissue, and on real tissue none."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.drawn_artifacts import INKS, add_ink, disk, draw_slide, stroke
from scripts.quality.pen import find_pen

SHAPE = (331, 463)
PIXEL_UM = 16.0
TISSUE = disk(SHAPE, (160, 250), (110, 150))
PEN_DATA = Path(__file__).parents[4] / "shared" / "data" / "pen"


@pytest.fixture(scope="module")
def slide():  # type: ignore[no-untyped-def]
    return draw_slide(SHAPE, TISSUE)


def test_a_slide_without_pen_has_none(slide) -> None:  # type: ignore[no-untyped-def]
    assert not find_pen(slide, PIXEL_UM).any()


@pytest.mark.parametrize("ink", INKS.values(), ids=INKS)
@pytest.mark.parametrize("place", ["over tissue", "beside tissue"])
def test_pen_is_found_whatever_its_color(slide, ink, place: str) -> None:  # type: ignore[no-untyped-def]
    ends = ((20, 60), (300, 400)) if place == "over tissue" else ((300, 20), (40, 60))
    where = stroke(SHAPE, *ends, width=22)
    found = find_pen(add_ink(slide, where, ink), PIXEL_UM)
    near = stroke(SHAPE, *ends, width=30)
    assert found[where].mean() >= 0.97
    assert found[TISSUE & ~near].mean() <= 0.005


def test_two_pens_are_found_by_what_each_is(slide) -> None:  # type: ignore[no-untyped-def]
    green, black = stroke(SHAPE, (20, 60), (300, 100), 20), stroke(SHAPE, (20, 380), (300, 420), 20)
    picture = add_ink(add_ink(slide, green, INKS["green"]), black, INKS["black"])
    found = find_pen(picture, PIXEL_UM)
    assert found[green].mean() > 0.97
    assert found[black].mean() > 0.97
    assert found[~green & ~black].mean() < 0.05


def test_thin_ink_beside_strong_is_found(slide) -> None:  # type: ignore[no-untyped-def]
    strong, thin = stroke(SHAPE, (20, 60), (160, 60), 20), stroke(SHAPE, (160, 60), (300, 60), 20)
    picture = add_ink(add_ink(slide, strong, INKS["blue"], 0.9), thin, INKS["blue"], 0.25)
    assert not find_pen(add_ink(slide, thin, INKS["blue"], 0.12), PIXEL_UM)[thin].any()
    assert find_pen(picture, PIXEL_UM)[thin].mean() > 0.9


def test_specks_are_no_pen(slide) -> None:  # type: ignore[no-untyped-def]
    speck = disk(SHAPE, (100, 200), (4, 4))  # 0.013 mm²
    assert not find_pen(add_ink(slide, speck, INKS["green"], 1.0), PIXEL_UM).any()


def test_what_is_known_to_be_something_else_is_no_pen(slide) -> None:  # type: ignore[no-untyped-def]
    where = stroke(SHAPE, (20, 60), (300, 100), 20)
    picture = add_ink(slide, where, INKS["black"])
    assert not find_pen(picture, PIXEL_UM, stroke(SHAPE, (10, 55), (310, 105), 30)).any()


def test_a_picture_that_is_all_ink() -> None:
    assert find_pen(np.full((60, 91, 3), (20, 90, 40), dtype=np.uint8), PIXEL_UM).all()


@pytest.mark.skipif(not PEN_DATA.is_dir(), reason="the pen pictures are not in shared/data beside the checkout")
@pytest.mark.parametrize(("color", "least"), [("black", 0.99), ("red", 0.92)])
def test_real_pen(color: str, least: float) -> None:
    picture = np.asarray(Image.open(PEN_DATA / f"pen_{color}.png").convert("RGB"))
    truth = np.asarray(Image.open(PEN_DATA / f"pen_{color}_mask.png").convert("L")) > 0
    assert find_pen(picture, 15.552)[truth].mean() >= least
