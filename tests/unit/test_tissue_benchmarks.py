"""The pieces of real tissue that benchmarks measure on: positions, truth at them, tables. Pieces here are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.geometry import map_shape

ROOT = Path(__file__).parents[2]
SHAPE = (701, 930)


@pytest.fixture(autouse=True)
def _benchmarks_importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def made_piece(kind="tiles", mpp=0.243, name="a", shape=SHAPE):
    from tissue_pieces import Piece

    rng = np.random.default_rng(0)
    tumor = np.zeros(shape, dtype=bool)
    tumor[shape[0] // 3 :, : shape[1] // 2] = True
    return Piece(name, kind, name, rng.integers(0, 255, (*shape, 3), dtype=np.uint8), tumor, mpp)


@pytest.mark.parametrize(("stride", "patch"), [(64, 224), (128, 384), (32, 96), (65, 100)])
def test_positions_have_their_patch_inside_the_piece(stride, patch):
    from tissue_positions import inside

    found = inside(SHAPE, stride, patch)
    assert found.shape == map_shape(SHAPE, stride)
    for row, col in np.ndindex(*found.shape):
        center = [int((at + 0.5) * stride) for at in (row, col)]
        fits = all(at - patch / 2 >= 0 and at + patch / 2 <= side for at, side in zip(center, SHAPE, strict=True))
        assert found[row, col] == fits
    assert found.any()


@pytest.mark.parametrize(("mpp", "stride", "half"), [(0.243, 64, 64), (0.972, 32, 16)])
def test_tumor_share_is_that_of_the_central_square(mpp, stride, half):
    from tissue_positions import tumor_share

    piece = made_piece(mpp=mpp)
    found = tumor_share(piece, stride)
    for row, col in np.ndindex(*found.shape):
        top, left = (int((at + 0.5) * stride) for at in (row, col))
        square = piece.tumor[max(0, top - half) : top + half, max(0, left - half) : left + half]
        assert found[row, col] == pytest.approx(square.mean())
    assert len(np.unique(found)) > 3


def test_a_position_is_tumor_normal_or_neither():
    from tissue_positions import labels, positions, tumor_share

    piece = made_piece()
    found, share = labels(piece, "40x"), tumor_share(piece, 64)
    is_inside = positions(piece, "40x")
    assert np.array_equal(found == 1, is_inside & (share >= 0.5))
    assert np.array_equal(found == 0, is_inside & (share == 0))
    assert (is_inside & np.isnan(found)).any()


def test_both_weights_see_pictures_with_masks_at_the_same_places():
    from tissue_positions import positions, seen, stride_of, tumor_share

    piece = made_piece("masks", mpp=0.972, shape=(256, 320))
    fine = seen(piece, "40x")
    assert (fine.image.shape, fine.mpp) == ((1024, 1280, 3), 0.243)
    assert (stride_of(piece, "10x"), stride_of(fine, "40x")) == (32, 128)
    assert np.allclose(tumor_share(piece, 32), tumor_share(fine, 128))
    coarse_places, fine_places = positions(piece, "10x"), positions(fine, "40x")
    assert coarse_places.sum() == fine_places.sum() == 6 * 8


@pytest.mark.parametrize("scale", ["40x", "10x"])
def test_pictures_with_masks_are_judged_by_their_masks(scale):
    from tissue_positions import labels, seen
    from tissue_tables import Run, tumor_table

    piece = made_piece("masks", mpp=0.972, shape=(256, 320))
    truth = labels(seen(piece, scale), scale)
    values = np.where(np.isnan(truth), 0.5, truth)
    (line,) = tumor_table([piece], [Run(scale, "x.pt", "sliding", {"a": values})]).splitlines()[2:]
    cells = [cell.strip() for cell in line.split("|")[3:-1]]
    assert cells[:2] == ["pictures with masks", "1.000"]
    assert cells[3:] == [str((truth == 1).sum()), "100.0 / 100.0 / 100.0", str((truth == 0).sum()), "0.0 / 0.0 / 0.0"]


def test_tables_say_how_many_are_above_and_how_far_modes_agree():
    from tissue_positions import labels
    from tissue_tables import Run, agreement_table, normal_table, tumor_table

    tile, strip = made_piece(), made_piece("strip", name="strip")
    truth = labels(strip, "40x")
    of_truth = np.where(truth == 1, 0.85, np.where(truth == 0, 0.3, np.where(np.isnan(truth), np.nan, 0.5)))
    low = np.full(truth.shape, np.nan)
    low[2:4, 2:7] = [[0.1, 0.6, 0.1, 0.1, 0.1], [0.95, 0.1, 0.1, 0.1, 0.1]]
    crossed = np.where(low == 0.6, 0.4, low)
    runs = [
        Run("40x", "x.pt", "sliding", {"a": low, "strip": of_truth}),
        Run("40x", "x.pt", "dense", {"a": crossed, "strip": of_truth}),
    ]
    first, second = (line.split("|")[1:] for line in normal_table([tile, strip], runs).splitlines()[2:])
    assert [cell.strip() for cell in first[:4]] == [
        "40x: x.pt",
        "sliding",
        "20.0 / 10.0 / 10.0",
        f"{low[2:4, 2:7].mean():.3f}",
    ]
    assert second[2].strip() == "10.0 / 10.0 / 10.0"
    line = tumor_table([tile, strip], runs).splitlines()[2]
    assert "| 1.000 |" in line
    assert "100.0 / 100.0 / 0.0" in line
    assert "0.0 / 0.0 / 0.0" in line
    rows = agreement_table([tile, strip], runs).splitlines()[2:]
    assert [row.split("|")[-2].strip() for row in rows] == ["10.0 %", "0.0 %"]


@pytest.mark.parametrize("shape", [(300, 417), (900, 120)])
def test_maps_are_drawn_over_the_tissue_that_they_are_of(tmp_path, shape):
    """A high piece is laid on its side: what is red there has the map's colors."""
    from tissue_pictures import draw_maps

    piece = made_piece(shape=shape)._replace(tumor=np.zeros(shape, dtype=bool))
    piece.image[:] = 255
    prob_map = np.full(map_shape(shape, 10), np.nan)
    high = (slice(0, len(prob_map) // 3), slice(prob_map.shape[1] // 2, None))  # above, right
    prob_map[high] = 1.0
    draw_maps(tmp_path / "a" / "map.png", piece, {"one": prob_map}, 10)
    drawn = np.asarray(Image.open(tmp_path / "a" / "map.png").convert("RGB")).astype(int)
    is_yellow = (drawn[..., 0] > 200) & (drawn[..., 2] < 150)
    half = drawn.shape[1] // 2 if shape[0] < 3 * shape[1] else 0
    rows, cols = np.nonzero(is_yellow[:, half : int(0.92 * drawn.shape[1])])
    assert len(rows) > 500
    if half:
        assert rows.mean() < drawn.shape[0] / 2
        assert cols.mean() > 0.4 * (0.92 * drawn.shape[1] - half)
    else:  # on its side: what was above is on the left, what was on the right is above
        assert cols.mean() < drawn.shape[1] / 3
        assert rows.mean() < 0.75 * drawn.shape[0]
