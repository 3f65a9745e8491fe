"""Features of drawn maps: what they say of a disk, and that they do not depend on the stride."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scripts.maps.files import MapInfo
from scripts.staging.features import NAMES, map_features
from scripts.staging.nodes import find_node_lesions

SHAPE = (163, 121)


def _features(prob_map: np.ndarray, stride: int = 64, mpp: float = 0.25) -> dict[str, float]:  # type: ignore[type-arg]
    info = MapInfo(Path("a.npy"), "a.tif", (SHAPE[0] * stride, SHAPE[1] * stride), stride, mpp)
    found = map_features(find_node_lesions(prob_map, info), prob_map, info)
    assert found.shape == (len(NAMES),)
    assert np.isfinite(found).all()
    return dict(zip(NAMES, found.tolist(), strict=True))


def _ellipse(rows_px: float, cols_px: float, center: tuple[float, float] = (80, 60)) -> np.ndarray:  # type: ignore[type-arg]
    rows, cols = np.indices(SHAPE)
    inside = ((rows - center[0]) / rows_px) ** 2 + ((cols - center[1]) / cols_px) ** 2 <= 1
    return np.where(inside, 0.8, 0.1).astype(np.float32)


def test_features_describe_the_largest_lesions() -> None:
    prob_map = np.maximum(_ellipse(30, 15), _ellipse(6, 6, (140, 100)))
    found = _features(prob_map)
    area = np.pi * 30 * 15 * 256
    assert found["num_lesions"] == found["num_regions_over_0.7"] == 2
    assert found["lesion_1_extent_um"] == pytest.approx(60 * 16, rel=0.05)
    assert found["lesion_1_area_um2"] == pytest.approx(area, rel=0.02)
    assert found["lesion_1_minor_um"] == pytest.approx(30 * 16, rel=0.05)
    assert found["lesion_1_eccentricity"] == pytest.approx(np.sqrt(0.75), rel=0.02)
    assert found["lesion_1_solidity"] == pytest.approx(1, abs=0.06)
    assert found["lesion_2_extent_um"] == pytest.approx(12 * 16, rel=0.15)
    assert found["lesion_1_max_probability"] == found["max_probability"] == pytest.approx(0.8)
    assert found["area_um2_over_0.9"] == 0
    assert found["tumor_share"] == pytest.approx((prob_map > 0.5).mean())


@pytest.mark.filterwarnings("error")
def test_an_empty_map_and_a_line_have_features() -> None:
    assert set(_features(np.zeros(SHAPE, np.float32)).values()) == {0.0}
    line = np.zeros(SHAPE, np.float32)
    line[50, 20:60] = 0.9
    assert _features(line)["lesion_1_solidity"] == 1


def test_features_of_a_map_twice_as_coarse_are_alike() -> None:
    fine, coarse = _ellipse(40, 20), _ellipse(20, 10)
    first, second = _features(fine, 32), _features(coarse, 64)
    for name in ("lesion_1_extent_um", "lesion_1_area_um2", "lesion_1_minor_um", "lesion_1_eccentricity"):
        assert first[name] == pytest.approx(second[name], rel=0.05), name
