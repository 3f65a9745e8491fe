"""One slide: its lesions at the stride of either rules, and its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from helpers.detected_points import detections_of
from scripts.errors import InputError
from scripts.maps.detection_files import DetectionFile
from scripts.scoring.cases import Case, Found
from scripts.scoring.slides import find_lesions, read_case_truth, score_slide

SHAPE = (6016, 9088)
INFO = DetectionFile(Path("t.csv"), "t.svs")


@pytest.fixture
def case(tmp_path):
    """A pyramid of masks: tumor of 800 x 480 level-0 pixels of 0.243 µm, and a speck."""
    mask = np.zeros((SHAPE[0] // 16, SHAPE[1] // 16), dtype=np.uint8)
    mask[100:150, 300:330] = 1
    mask[300:302, 40:42] = 1
    levels = [mask, mask[::2, ::2], mask[::4, ::4]]
    with tifffile.TiffWriter(tmp_path / "t.tif") as tiff:
        for index, level in enumerate(levels):
            tiff.write(level, tile=(256, 256), subfiletype=int(index > 0))
    return Case(INFO, tmp_path / "t.tif", SHAPE, 64, 0.243)


def test_truth_is_read_at_the_challenges_stride_or_at_the_maps(case):
    assert read_case_truth(case, False, None).stride == 32
    assert read_case_truth(case, True, None).stride == 64
    assert read_case_truth(case._replace(truth=None), False, None) is None
    assert find_lesions(None, case.mpp) is None


def test_rows_by_hand(case):
    lesions = find_lesions(read_case_truth(case, False, None), case.mpp)
    detections = detections_of((0.9, 1700, 4900), (0.8, 4810, 650), (0.7, 20, 30), (0.6, 1800, 5000))
    slide = score_slide(case, Found(detections, 0.95), lesions)
    assert slide.row == {
        "slide": "t.svs",
        "is_tumor": True,
        "score": 0.95,
        "truth": "t.tif",
        "truth_stride": 32,
        "num_lesions": 1,
        "num_lesions_hit": 1,
        "num_isolated_tumor_cells": 1,
        "num_detections": 4,
        "num_false_positives": 1,
        "max_confidence": pytest.approx(0.9),
        "lesion_confidences": [pytest.approx(0.9)],
    }
    assert lesions.isolated(case.mpp) == [2]
    assert [row["stratum"] for row in slide.lesions] == ["micrometastasis", "isolated tumor cells"]
    assert [row["confidence"] for row in slide.lesions] == pytest.approx([0.9, 0.8])
    assert slide.is_tumor


def test_a_slide_without_tumor_has_false_positives_only(case):
    slide = score_slide(case._replace(truth=None), Found(detections_of((0.9, 5, 5)), 0.9), None)
    assert (slide.row["num_false_positives"], slide.row["truth"], slide.lesions) == (1, None, [])
    assert not slide.is_tumor


def test_detections_beyond_the_slide_are_refused(case):
    with pytest.raises(InputError, match="inside the slide of 9088 x 6016"):
        score_slide(case, Found(detections_of((0.9, 6016, 5)), 0.9), None)
