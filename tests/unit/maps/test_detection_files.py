"""Detections as files: what is written comes back, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from helpers.detected_points import detections_of
from helpers.refusals import refusal
from scripts.maps.detection_files import as_written, find_detection_files, read_detections, write_detections


def test_detections_come_back_as_written(tmp_path):
    rng = np.random.default_rng(0)
    probs = np.sort(rng.random(200).astype(np.float32))[::-1]
    found = detections_of(*((prob, int(rng.integers(9999)), int(rng.integers(5))) for prob in probs))
    write_detections(tmp_path / "a.csv", found)
    back, expected = read_detections(tmp_path / "a.csv"), as_written(found)
    for values, others in zip(back, expected, strict=True):
        np.testing.assert_array_equal(values, others)
    assert back.prob.dtype == np.float64
    np.testing.assert_array_equal(back.prob.astype(np.float32), found.prob)


def test_lines_may_be_unsorted_and_have_fractions(tmp_path):
    (tmp_path / "a.csv").write_text("0.5,10.9,20\n\n0.75, 30, 40.2\n0.75,1,2\n0,7,8\n")
    found = read_detections(tmp_path / "a.csv")
    assert found.prob.tolist() == [0.75, 0.75, 0.5, 0.0]
    assert found.col.tolist() == [30, 1, 10, 7]
    assert found.row.tolist() == [40, 2, 20, 8]


def test_an_empty_file_has_no_detections(tmp_path):
    (tmp_path / "a.csv").touch()
    assert read_detections(tmp_path / "a.csv").prob.shape == (0,)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("confidence,x,y", "expected confidence,x,y, found 'confidence,x,y'"),
        ("0.5,1", "expected confidence,x,y, found '0.5,1'"),
        ("0.5,1,2,3", "expected confidence,x,y"),
        ("0.5,1_000,2", "expected confidence,x,y"),
        ("nan,1,2", "expected a confidence of at least 0, found nan"),
        ("-0.5,1,2", "found -0.5"),
        ("0.5,-1,2", "expected x,y in level-0 pixels, found -1,2"),
        ("0.5,1,inf", "expected x,y in level-0 pixels"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, message):
    (tmp_path / "a.csv").write_text(f"0.9,5,5\n{line}\n")
    assert message in refusal(read_detections, tmp_path / "a.csv", line=2)


def test_files_are_found_in_a_folder_and_in_an_output_of_froc(tmp_path):
    (tmp_path / "detections").mkdir()
    for name in ("b.csv", "a.csv", ".c.csv"):
        (tmp_path / "detections" / name).touch()
    assert [(info.name, info.slide) for info in find_detection_files(tmp_path / "detections")] == [
        ("a", "a"),
        ("b", "b"),
    ]
    (tmp_path / "lesions.csv").touch()
    (tmp_path / "froc.json").write_text(json.dumps({"slides": [{"slide": "b.svs"}]}))
    assert [(info.name, info.slide) for info in find_detection_files(tmp_path)] == [("a", "a"), ("b", "b.svs")]


def test_folders_without_files_are_refused(tmp_path):
    assert "no detections found" in refusal(find_detection_files, tmp_path)
    assert "no such folder" in refusal(find_detection_files, tmp_path / "none")
