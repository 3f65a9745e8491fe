"""Findings as marks to judge."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scripts.annotations.annotations import read_annotation
from scripts.annotations.geojson import check_geometry
from scripts.annotations.verdicts import render
from scripts.exports.finding_writers import write_geojson
from scripts.geometry import map_shape
from scripts.maps.files import MapInfo
from scripts.maps.findings import Findings, FindingSettings, find_lesions
from scripts.maps.verdict_marks import finding_marks
from scripts.masks.groundtruth import tumor_mask

STRIDE, SHAPE = 16, (600, 821)


@pytest.fixture
def prob_map() -> np.ndarray:
    found = np.zeros(map_shape(SHAPE, STRIDE), dtype=np.float32)
    found[3:9, 5:21] = 0.7
    found[4, 7], found[7, 19] = 0.95, 0.8  # two detections in one lesion,
    found[9:12, 21:25] = 0.6  # of two parts that touch at a corner
    found[25:28, 40:46] = 0.9
    return found


@pytest.fixture
def findings(prob_map: np.ndarray) -> Findings:
    info = MapInfo(Path("a b.npy"), "a b.tif", SHAPE, STRIDE, 0.5, bounds_origin=(32, 48))
    return find_lesions(prob_map, info, FindingSettings(0.5, 64.0, 0.0))


def test_marks_are_what_an_export_has(findings, tmp_path):
    """The same numbers, places and probabilities, in the level-0 frame; each part of a lesion has its own outline."""
    marks = finding_marks(findings, "cd" * 32)
    write_geojson(tmp_path / "a b.geojson", findings._replace(info=findings.info._replace(bounds_origin=(0, 0))))
    exported = json.loads((tmp_path / "a b.geojson").read_text(encoding="utf-8"))["features"]
    points = [item for item in exported if item["geometry"]["type"] == "Point"]
    assert [(mark.name, mark.geometry["coordinates"], mark.probability) for mark in marks if mark.is_detection] == [
        (item["properties"]["name"], item["geometry"]["coordinates"], item["properties"]["measurements"]["Confidence"])
        for item in points
    ]
    outlines = [mark for mark in marks if not mark.is_detection]
    assert [mark.name for mark in outlines] == ["Lesion 1", "Lesion 1", "Lesion 2"]
    assert len({mark.id for mark in marks}) == len(marks)
    numbers = {identity: int(mark.name.split()[1]) for mark in outlines for identity in [mark.lesion]}
    assert [numbers.get(mark.lesion, 0) for mark in marks if mark.is_detection] == findings.lesion_numbers.tolist()
    for mark in marks:
        check_geometry(mark.geometry, mark.name)
        assert (mark.verdict, mark.label, mark.weights_sha256) == (None, "Unreviewed", "cd" * 32)


def test_confirmed_outlines_give_the_map_above_the_threshold_back(findings, prob_map, tmp_path):
    path = tmp_path / "a b.geojson"
    path.write_bytes(render([mark.judged("tumor", "2026", "A") for mark in finding_marks(findings)], (32, 48)))
    drawn = tumor_mask(read_annotation(path, (32, 48)), SHAPE, STRIDE)
    np.testing.assert_array_equal(drawn != 0, prob_map > 0.5)


def test_ids_are_those_of_the_same_run_and_weights(findings):
    ids = [mark.id for mark in finding_marks(findings, "cd" * 32)]
    assert ids == [mark.id for mark in finding_marks(findings, "cd" * 32)]
    assert set(ids).isdisjoint(mark.id for mark in finding_marks(findings, "ef" * 32))
    other = findings._replace(info=findings.info._replace(path=Path("b.npy")))
    assert set(ids).isdisjoint(mark.id for mark in finding_marks(other, "cd" * 32))
