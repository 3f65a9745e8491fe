"""Masks of the scanned part lie where this lies; tumor off the tissue is doubted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scripts.geometry import map_shape
from scripts.masks.placement import Ground, doubt, place, placed_shape

SLIDE, BOUNDS = (1001, 1507), (333, 450, 933, 1250)
PART = (600, 800)


@pytest.mark.parametrize("stride", [7, 16, 64])
def test_each_pixel_is_that_of_the_part_at_its_level0_point(stride):
    rng = np.random.default_rng(0)
    mask = rng.random(map_shape(PART, stride)) < 0.5
    placed = place(Path("a.png"), mask, stride, BOUNDS, SLIDE)
    assert placed.shape == map_shape(SLIDE, stride)
    for row, col in np.ndindex(*placed.shape):
        y, x = int((row + 0.5) * stride) - BOUNDS[0], int((col + 0.5) * stride) - BOUNDS[1]
        r, c = y // stride, x // stride
        is_on = 0 <= r < mask.shape[0] and 0 <= c < mask.shape[1]
        assert placed[row, col] == (bool(mask[r, c]) if is_on else False)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([map_shape(SLIDE, 16)], SLIDE),
        ([map_shape(PART, 16)], PART),
        ([PART, (150, 200)], PART),
        ([(17, 500)], SLIDE),
    ],
)
def test_the_slide_goes_before_the_part(tmp_path, shapes, expected):
    assert placed_shape(tmp_path / "a.png", shapes, SLIDE, BOUNDS) == expected
    assert placed_shape(tmp_path / "a.png", shapes, SLIDE, None) == SLIDE


def test_the_sidecar_says_what_a_mask_shows(tmp_path):
    for shape in (SLIDE, PART):
        (tmp_path / "a.json").write_text(f'{{"shape": {list(shape)}, "stride": 16}}')
        assert placed_shape(tmp_path / "a.png", [(1, 1)], SLIDE, BOUNDS) == shape


def test_tumor_that_lies_on_tissue_or_is_nowhere_is_not_doubted():
    tissue = np.zeros((40, 50), dtype=bool)
    tissue[10:20, 10:30] = True
    ground = Ground(tissue, 16, (64, 64), (0, 0))
    assert doubt(Path("a.xml"), tissue, 16, ground) is None
    assert doubt(Path("a.xml"), np.zeros_like(tissue), 16, ground) is None
    assert doubt(Path("a.xml"), ~tissue, 16, ground._replace(tissue=np.zeros_like(tissue))) is None
    said = doubt(Path("a.xml"), ~tissue, 16, ground)
    assert said == "a.xml: 0% of its tumor lies on tissue; check that it belongs to this slide, in level-0 pixels"


@pytest.mark.parametrize(("origin", "choice"), [((0, 0), "bounds"), ((160, 320), "slide")])
def test_the_other_frame_is_offered_where_tumor_lies_on_tissue_there(origin, choice):
    tissue, tumor = np.zeros((40, 50), dtype=bool), np.zeros((40, 50), dtype=bool)
    tissue[10:20, 10:30] = True
    tumor[12:18, 22:28] = True
    moved = np.roll(tumor, (-10, -20) if choice == "bounds" else (10, 20), axis=(0, 1))
    ground = Ground(tissue, 16, (160, 320), origin)
    said = doubt(Path("a.geojson"), moved, 16, ground)
    assert said is not None
    assert "0% of its tumor lies on tissue, and 100% would" in said
    assert said.endswith(f"--geojson_origin {choice}")
    assert "--geojson_origin" not in (doubt(Path("a.xml"), moved, 16, ground) or "")
