"""Artifacts under the pixels of a map."""

from pathlib import Path

import numpy as np
import pytest

from helpers.made_maps import MAP_SHAPE, MPP, SHAPE, STRIDE, write_map
from scripts.errors import InputError
from scripts.maps.artifacts import labels_at, main_artifact, read_map_artifacts
from scripts.maps.files import MapInfo, read_map_infos
from scripts.maps.findings import FindingSettings, find_lesions
from scripts.quality.classes import Artifact
from scripts.quality.files import encode_artifacts, write_artifacts

CLASSES = np.zeros(MAP_SHAPE, dtype=np.uint8)
CLASSES[20:60, 30:90] = Artifact.PEN
CLASSES[100:, :] = Artifact.BLUR


def info_of(folder: Path) -> MapInfo:
    write_map(folder, "a")
    (info,) = read_map_infos(folder)
    return info


def test_artifact_mask_beside_a_map(tmp_path: Path) -> None:
    info = info_of(tmp_path)
    assert read_map_artifacts(info) is None
    write_artifacts(tmp_path / "a_artifacts.png", encode_artifacts(CLASSES))
    found = read_map_artifacts(info)
    assert found is not None
    np.testing.assert_array_equal(found, CLASSES)
    write_artifacts(tmp_path / "a_artifacts.png", encode_artifacts(CLASSES[:-1]))
    with pytest.raises(InputError, match=r"a_artifacts\.png: expected an artifact mask of shape"):
        read_map_artifacts(info)


def test_labels() -> None:
    rows, cols = np.array([30, 0, 150]), np.array([40, 0, 7])
    assert labels_at(CLASSES, rows, cols) == ("pen", "", "blur")
    assert labels_at(None, rows, cols) == ("", "", "")


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [([], ("", 0.0)), ([0, 0], ("", 0.0)), ([0, 2, 1, 1], ("pen", 0.75)), ([3], ("dark_edge", 1.0))],
)
def test_main_artifact(pixels: list[int], expected: tuple[str, float]) -> None:
    assert main_artifact(np.array(pixels, dtype=np.uint8)) == expected


def test_findings_say_what_they_lie_in() -> None:
    info = MapInfo(Path("a.npy"), "a.tif", SHAPE, STRIDE, MPP)
    prob_map = np.zeros(MAP_SHAPE, dtype=np.float32)
    prob_map[25:35, 20:40] = 0.9  # half in pen
    prob_map[30, 35] = 0.95
    prob_map[70:80, 200:220] = 0.8
    settings = FindingSettings(0.5, 400.0, 0.0)
    findings = find_lesions(prob_map, info, settings, CLASSES)
    assert [(lesion.artifact, lesion.artifact_share) for lesion in findings.lesions] == [("pen", 0.5), ("", 0.0)]
    assert findings.artifacts[0] == "pen"
    assert set(findings.artifacts[1:]) == {""}
    unknown = find_lesions(prob_map, info, settings)
    assert unknown.artifacts == ("",) * len(findings.artifacts)
    assert [lesion.artifact for lesion in unknown.lesions] == ["", ""]
