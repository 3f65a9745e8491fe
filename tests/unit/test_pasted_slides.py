"""Slides pasted of pieces: what is glass, what is tissue, what is tumor, and the cells of the table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _benchmarks_importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def made_piece(name, shape, color):
    from tissue_pieces import Piece

    image = np.full((*shape, 3), color, dtype=np.uint8)
    image[: shape[0] // 4] //= 2  # the upper quarter is darker, and tumor
    tumor = np.zeros(shape, dtype=bool)
    tumor[: shape[0] // 4] = True
    return Piece(name, "tiles", name, image, tumor, 0.243)


def test_pieces_lie_on_glass_with_soft_borders(monkeypatch):
    import pasted_slides
    from scipy.ndimage import label

    monkeypatch.setattr(pasted_slides, "MARGIN", 200)
    monkeypatch.setattr(pasted_slides, "GAP", 150)
    pieces = [made_piece("a", (500, 620), (180, 90, 150)), made_piece("b", (560, 500), (90, 60, 130))]
    placed = pasted_slides.paste(pieces, seed=3)
    assert placed.tumor.shape == placed.image.shape[:2]
    again = pasted_slides.paste(pieces, seed=3)
    assert np.array_equal(placed.image, again.image)

    difference = np.abs(placed.image.astype(int) - pasted_slides.GLASS).max(axis=-1)
    tissue, num_pieces = label(difference > 40)
    assert num_pieces == 2
    glass = placed.image[difference < 10]
    assert np.abs(glass.mean(axis=0) - pasted_slides.GLASS).max() < 0.5
    assert 1 < glass.std(axis=0).max() < 2
    for number, piece in enumerate(pieces, start=1):
        inside = tissue == number
        assert 0.8 * piece.tumor.size < inside.sum() < piece.tumor.size
        dark = inside & (np.abs(placed.image.astype(int) - piece.image[0, 0]).max(axis=-1) < 5)
        assert 0.6 * (placed.tumor & inside).sum() < dark.sum()
        assert not (dark & ~placed.tumor).any()
    assert not (placed.tumor & (tissue == 0)).any()
    fading = (difference > 10) & (difference < 40)
    assert fading.sum() > 5 * (500 + 560)  # of some 4,000 px of border


def test_border_is_transparent_at_the_edge_and_uneven():
    from pasted_slides import BORDER, soft_border

    found = soft_border((501, 703), np.random.default_rng(0))
    assert found.shape == (501, 703)
    assert found[0].max() == found[:, -1].max() == 0
    assert (found[2 * BORDER : -2 * BORDER, 2 * BORDER : -2 * BORDER] == 1).all()
    crossing = (found > 0.5).argmax(axis=0)[2 * BORDER : -2 * BORDER]
    assert np.ptp(crossing) > BORDER / 4
    assert np.abs(np.diff(crossing)).max() < BORDER / 4


def test_a_row_says_what_was_found_slide_by_slide(tmp_path):
    from pasted_slides import SLIDES, Way, row

    (tmp_path / "froc.json").write_text(json.dumps({"froc_score": 0.75, "num_lesions": 4}))
    lines = ["slide,num_lesions_hit,num_false_positives,score"]
    lines += [f"{name}.tif,{index % 2},{index},0.{index}5" for index, name in reversed(list(enumerate(SLIDES)))]
    (tmp_path / "slides.csv").write_text("\n".join(lines) + "\n")
    found = row(Way("40x", 64, ()), tmp_path)
    assert found == ["40x", "0.750", "2 of 4", "0 / 1 / 2 / 3 / 4", "0.05 / 0.15 / 0.25 / 0.35 / 0.45"]
