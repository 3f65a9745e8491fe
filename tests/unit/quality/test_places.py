"""Squares that cover tissue, and where a place in them is read."""

from pathlib import Path

import numpy as np
import pytest

from helpers.drawn_artifacts import disk
from scripts.quality.places import choose_places, in_one_cell
from scripts.slides.pyramid import write_pyramid
from scripts.slides.slide import open_slide

SHAPE = (131, 203)


@pytest.mark.parametrize("at_most", [1, 7, 24])
def test_places_cover_tissue(at_most: int) -> None:
    tissue = disk(SHAPE, (60, 90), (50, 70)) | disk(SHAPE, (30, 180), (20, 15))
    places = choose_places(tissue, at_most)
    assert 1 <= len(places) <= at_most
    covered = np.zeros(SHAPE, dtype=int)
    for place in places:
        covered[place.rows, place.cols] += 1
        assert tissue[place.center]
        assert place.rows.start <= place.center[0] < place.rows.stop
        assert place.cols.start <= place.center[1] < place.cols.stop
    assert covered.max() == 1
    assert covered[tissue].mean() > 0.9


def test_little_tissue_and_none() -> None:
    tissue = np.zeros(SHAPE, dtype=bool)
    assert choose_places(tissue, 24) == []
    tissue[-1, -1] = True
    (place,) = choose_places(tissue, 24)
    assert place.center == (SHAPE[0] - 1, SHAPE[1] - 1)


def test_places_lie_within_one_compressed_tile(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", np.full((1501, 2307, 3), 180, dtype=np.uint8), 0.243, (1, 2), tile_size=256)
    with open_slide(tmp_path / "a.tif") as slide:
        for point in ((700, 1290), (0, 0), (1500, 2306), (511, 513)):
            location = in_one_cell(slide, point, 128, 2.0)
            tops = [start // 512 for start in location]
            assert [(start + 256 - 1) // 512 for start in location] == tops
            assert all(0 <= start <= side - 256 for start, side in zip(location, slide.shape, strict=True))
