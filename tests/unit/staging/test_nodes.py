"""Classes of drawn maps: disks of known diameter, nests that lie near each other, speckle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from scripts.errors import InputError
from scripts.maps.files import MapInfo
from scripts.staging.nodes import NodeSettings, find_node_lesions, node_class, node_row

SHAPE = (301, 223)


def _info(stride: int = 64, mpp: float = 0.25) -> MapInfo:
    return MapInfo(Path("a.npy"), "a.tif", (SHAPE[0] * stride, SHAPE[1] * stride), stride, mpp)


def _disk(center: tuple[float, float], diameter_px: float, prob: float = 0.9) -> npt.NDArray[np.float32]:
    rows, cols = np.indices(SHAPE)
    inside = np.hypot(rows - center[0], cols - center[1]) <= diameter_px / 2
    return np.where(inside, prob, 0.01).astype(np.float32)


def _class(prob_map: npt.NDArray[np.float32], info: MapInfo, settings: NodeSettings | None = None) -> str:
    lesions = find_node_lesions(prob_map, info, settings)
    return node_class(lesions.extent_um[0] if lesions.regions else None, settings)


@pytest.mark.parametrize(
    ("diameter_um", "expected"),
    [(100, "itc"), (170, "itc"), (235, "micro"), (1000, "micro"), (1930, "micro"), (2080, "macro"), (3000, "macro")],
)
@pytest.mark.parametrize(("stride", "mpp"), [(64, 0.25), (32, 0.5), (80, 0.243)])
def test_node_class_of_one_disk(diameter_um: float, expected: str, stride: int, mpp: float) -> None:
    prob_map = _disk((140, 100), diameter_um / (stride * mpp))
    lesions = find_node_lesions(prob_map, _info(stride, mpp))
    assert lesions.extent_um.tolist() == pytest.approx([diameter_um], abs=35)
    assert _class(prob_map, _info(stride, mpp)) == expected


def test_an_empty_map_and_a_map_below_the_threshold_are_negative() -> None:
    assert _class(np.zeros(SHAPE, np.float32), _info()) == "negative"
    assert _class(_disk((140, 100), 50, prob=0.5), _info()) == "negative"
    assert _class(_disk((140, 100), 50, prob=0.51), _info()) == "micro"
    assert _class(_disk((140, 100), 50, prob=0.51), _info(), NodeSettings(threshold=0.6)) == "negative"


def test_nests_within_75_um_are_one_lesion_and_others_are_not() -> None:
    near = np.maximum(_disk((100, 100), 8), _disk((100, 111), 8))  # 128 µm each, a gap of 48 µm
    far = np.maximum(_disk((100, 100), 8), _disk((100, 118), 8))  # a gap of 160 µm
    assert (_class(near, _info()), _class(far, _info())) == ("micro", "itc")
    assert [len(find_node_lesions(prob_map, _info()).regions) for prob_map in (near, far)] == [1, 2]


def test_speckle_is_no_evidence_and_does_not_join() -> None:
    prob_map = np.zeros(SHAPE, np.float32)
    prob_map[50:250:3, 50:200:3] = 0.99  # single pixels of 256 µm² everywhere
    assert _class(prob_map, _info()) == "negative"
    assert _class(prob_map, _info(), NodeSettings(min_area_um2=200)) == "macro"


def test_the_longest_lesion_comes_first_and_its_row_describes_it() -> None:
    prob_map = np.maximum(_disk((60, 50), 10, 0.8), _disk((200, 150), 20, 0.7))
    lesions = find_node_lesions(prob_map, _info())
    assert lesions.extent_um[0] > lesions.extent_um[1]
    row = node_row(lesions, prob_map, _info())
    assert (row["num_lesions"], row["x"], row["y"]) == (2, int(150.5 * 64), int(200.5 * 64))
    assert (row["score"], row["max_probability"]) == pytest.approx((0.8, 0.7))
    assert row["num_pixels"] == int((prob_map[150:250] > 0.5).sum())
    assert row["area_um2"] == row["num_pixels"] * 256
    assert row["mean_probability"] == pytest.approx(0.7)
    empty = node_row(find_node_lesions(prob_map * 0, _info()), prob_map * 0, _info())
    assert (empty["num_lesions"], empty["size_um"], empty["score"]) == (0, None, 0.0)


def test_the_classes_thresholds_are_settings() -> None:
    settings = NodeSettings(micro_um=50, macro_um=500)
    found = [node_class(size, settings) for size in (None, 0, 50, 50.1, 500, 500.1)]
    assert found == ["negative", "itc", "itc", "micro", "micro", "macro"]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (NodeSettings(threshold=1), "threshold"),
        (NodeSettings(min_area_um2=float("nan")), "min_area_um2"),
        (NodeSettings(micro_um=3000), "micro_um"),
    ],
)
def test_check_names_what_is_out_of_range(settings: NodeSettings, name: str) -> None:
    with pytest.raises(InputError, match=rf"^{name}"):
        settings.check()
