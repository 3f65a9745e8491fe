"""How a run is scored: radii by both rules, and what the report says of them. What is refused: test_evaluation."""

from __future__ import annotations

import pytest

from helpers.made_maps import write_map
from scripts.maps.files import read_map_infos
from scripts.scoring.settings import NMS_RADIUS_UM, ScoreSettings


@pytest.fixture
def info(tmp_path):
    """A map of 8 µm per pixel; its points are 22, 24 and 25 pixels apart."""
    write_map(tmp_path, "t", [(0.9, 50, 50), (0.8, 50, 72), (0.7, 50, 96), (0.6, 50, 121)])
    return read_map_infos(tmp_path)[0]


def test_radius_by_default_is_ncrfs_and_monais_is_24_pixels(info):
    assert pytest.approx(12 * 64 * 0.243) == NMS_RADIUS_UM
    assert ScoreSettings().find(info).detections.prob.tolist() == [0.9, 0.7, 0.6]  # 186.6 µm: 23 pixels
    assert ScoreSettings(rules="monai").find(info).detections.prob.tolist() == [0.9, 0.7, 0.6]
    for rules in ("camelyon16", "monai"):
        found = ScoreSettings(200.0, rules=rules).find(info)  # 25 pixels: the box is half open
        assert found.detections.prob.tolist() == [0.9, 0.7, 0.6]
        assert ScoreSettings(208.0, rules=rules).find(info).detections.prob.tolist() == [0.9, 0.7]
        assert found.score == 0.9


def test_report_says_null_for_what_had_no_part():
    report = ScoreSettings(rules="monai", threshold=0.25).report(True, None)
    assert (report["rules"], report["nms_radius_um"], report["threshold"]) == ("monai", None, 0.25)
    assert ScoreSettings().report(True, None)["nms_radius_um"] == NMS_RADIUS_UM
    report = ScoreSettings(100.0).report(False, 0.25)
    assert (report["source"], report["nms_radius_um"], report["threshold"], report["mpp"]) == (
        *("detections", None),
        *(None, 0.25),
    )
