from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from scripts.maps.detections import Detections
from scripts.maps.files import MapInfo
from scripts.masks.truth import Truth
from scripts.report.lesions import lesions_of_map, lesions_of_truth, longest_extent
from scripts.scoring.slides import find_lesions

STRIDE, MPP = 50, 0.5
INFO = MapInfo(Path("a.npy"), "a.tif", (3001, 4503), STRIDE, MPP)
NONE = Detections(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


@pytest.mark.parametrize("seed", range(8))
def test_longest_extent_is_that_of_all_corners(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random((rng.integers(1, 9), rng.integers(1, 14))) > 0.6
    image[rng.integers(image.shape[0]), rng.integers(image.shape[1])] = True
    pixels = np.argwhere(image)
    corners = np.concatenate([pixels + step for step in ((0, 0), (0, 1), (1, 0), (1, 1))])
    assert longest_extent(image) == pytest.approx(pdist(corners).max())


def test_lesions_of_a_map_in_mm(tmp_path: Path) -> None:
    prob_map = np.zeros((61, 91), dtype=np.float32)
    prob_map[10:13, 20:24] = 0.8  # 3 x 4 pixels, the corners 5 apart
    prob_map[40, 50] = prob_map[41, 51] = 0.9  # touch diagonally
    prob_map[50, 80] = 0.5  # not above
    detections = Detections(np.array([0.8]), np.array([11 * STRIDE + 25]), np.array([22 * STRIDE + 25]))
    first, second = lesions_of_map(prob_map, INFO, detections, 0.5)
    assert (first.number, first.confidence, second.number, second.confidence) == (1, pytest.approx(0.8), 2, 0)
    assert first.extent_um == pytest.approx(5 * STRIDE * MPP)
    assert first.area_mm2 == pytest.approx(12 * (STRIDE * MPP / 1000) ** 2)
    assert (first.row, first.col) == (int(11.5 * STRIDE), 22 * STRIDE)
    assert (first.left, first.bottom) == pytest.approx((22 * STRIDE / 4503, 13 * STRIDE / 3001))
    assert second.extent_um == pytest.approx(np.hypot(2, 2) * STRIDE * MPP)
    assert lesions_of_map(np.zeros_like(prob_map), INFO, NONE, 0.5) == []


def test_lesions_of_the_truth_are_measured_as_drawn() -> None:
    """Two pieces that the growth by 75 µm joins are one lesion, whose area is that of the pieces."""
    mask = np.zeros((61, 91), dtype=np.bool_)
    mask[5, 5] = True
    mask[30:40, 30:42] = mask[30:40, 43:45] = True
    truth = Truth(Path("a.png"), mask, STRIDE)
    single, joined = lesions_of_truth(truth, find_lesions(truth, MPP), INFO)
    assert (single.number, joined.number, joined.confidence) == (1, 2, None)
    assert single.area_mm2 == pytest.approx((STRIDE * MPP / 1000) ** 2)
    assert joined.area_mm2 == pytest.approx(140 * (STRIDE * MPP / 1000) ** 2)
    assert joined.extent_um == pytest.approx(np.hypot(10, 15) * STRIDE * MPP)
    assert lesions_of_truth(None, None, INFO) == []
