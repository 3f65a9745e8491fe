"""Training pictures cut from contiguous tissue: their places, their labels, and that held-out pieces are left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        import contiguous_patches

        yield contiguous_patches
        sys.modules.pop("contiguous_patches", None)


def test_a_picture_is_tumor_if_its_central_part_holds_any(benchmark: ModuleType) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (300, 420, 3), dtype=np.uint8)
    mask = np.zeros((300, 420), bool)
    mask[200, 301] = True
    found = list(benchmark.cut(pixels, mask, size=96, step=32, label_size=32))
    assert len(found) == 7 * 11
    for place, picture, label in found:
        row, col = map(int, place.split("_"))
        assert np.array_equal(picture, pixels[row : row + 96, col : col + 96])
        assert label == (row + 32 <= 200 < row + 64 and col + 32 <= 301 < col + 64)
    assert sum(label for _, _, label in found) == 1


def test_no_held_out_piece_is_cut(benchmark: ModuleType, shared_data: Path) -> None:
    import tissue_pieces

    held_out = {"centre_1", "centre_4", *(piece.name for piece in tissue_pieces.read_pieces(shared_data, ["masks"]))}
    names = [piece.name for piece in benchmark.read_training_pieces(shared_data)]
    assert len(names) == len(set(names)) == 3 + 24
    assert not held_out & set(names)


def test_a_reduced_piece_holds_means_of_blocks(benchmark: ModuleType) -> None:
    image = np.random.default_rng(1).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    piece = benchmark.Piece("a", "tiles", "a", image, np.zeros((40, 56), bool), 0.243)
    found = benchmark.reduced(piece)
    means = image.reshape(10, 4, 14, 4, 3).mean(axis=(1, 3))
    assert found.tumor.shape == (10, 14)
    assert found.mpp == pytest.approx(0.972)
    assert np.abs(found.image - means).max() <= 1  # rounded along each axis
