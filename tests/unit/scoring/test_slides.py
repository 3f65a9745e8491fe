"""One slide: its lesions at the stride of either rules and by either protocol, and its rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage
from skimage import draw, measure

from helpers.annotation_forms import write_ncrf
from helpers.detected_points import detections_of
from helpers.real_annotations import extract_real_annotations, needs_real
from scripts.errors import InputError
from scripts.maps.detection_files import DetectionFile
from scripts.scoring.cases import Case, Found
from scripts.scoring.settings import ScoreSettings
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
    assert read_case_truth(case, ScoreSettings()).stride == 32
    assert read_case_truth(case, ScoreSettings(rules="monai")).stride == 64
    assert read_case_truth(case._replace(truth=None), ScoreSettings()) is None
    assert find_lesions(None, case.mpp) is None


def test_rows_by_hand(case):
    lesions = find_lesions(read_case_truth(case, ScoreSettings()), case.mpp)
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
        "counts_lesions": True,
        "histological_type": None,
        "metastasis": None,
        "center": None,
        "correction": None,
        "patient": None,
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


PHYSICAL, CHALLENGE = ScoreSettings(), ScoreSettings(protocol="camelyon16")


def _num_lesions(case, settings):
    (case,) = settings.on_scale([case])
    lesions = find_lesions(read_case_truth(case, settings), case.mpp)
    return 0 if lesions is None else len(lesions.sizes.area) - len(lesions.isolated(case.mpp))


def _literal_num_lesions(outlines, shape):
    """The challenge's count: draw at level 0, keep each 32nd row and column, and take all slides for 0.243 um."""
    finest = np.zeros(shape, dtype=bool)
    for outline in outlines:
        rows, cols = draw.polygon(outline[:, 1] - 0.5, outline[:, 0] - 0.5, shape)
        finest[rows, cols] = True
    level_5 = finest[::32, ::32]
    grown = ndimage.distance_transform_edt(~level_5) < 75 / (0.243 * 2**5 * 2)
    labels = measure.label(ndimage.binary_fill_holes(grown), connectivity=2)
    return sum(region.axis_major_length >= 275 / (0.243 * 2**5) for region in measure.regionprops(labels))


def test_the_protocol_counts_the_lesions_of_the_challenge(tmp_path):
    shape, found = (900, 3_300), []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        left, outlines = 80.0, []
        for width, gap in rng.uniform((560, 295), (800, 325), (3, 2)):  # some 75 um apart, and about 275 um long
            box = np.array([(left, 300), (left + width, 300), (left + width, 420), (left, 420)])
            outlines.append(box + rng.uniform(-4, 4, (4, 2)))
            left += width + gap
        path = write_ncrf(tmp_path, f"t{seed}", [outline.tolist() for outline in outlines])
        case = Case(INFO, path, shape, 64, 0.2265)
        literal = _literal_num_lesions(outlines, shape)
        assert _num_lesions(case, CHALLENGE) == literal, seed
        found.append((literal, _num_lesions(case, PHYSICAL), _num_lesions(case._replace(mpp=0.243), PHYSICAL)))
    challenge, physical, centers = (list(counts) for counts in zip(*found, strict=True))
    assert challenge not in (physical, centers)  # the scale and the place of the samples both matter


@needs_real
def test_lesions_of_camelyon16s_test_slides(tmp_path):
    """NCRF's users report sensitivities in parts of 226, and of 219 without test_021 (its issues 53 and 54)."""
    physical, challenge = {}, {}
    for path in extract_real_annotations(tmp_path, of_test_slides=True):
        content = json.loads(path.read_text())
        vertices = np.concatenate([polygon["vertices"] for polygon in content["positive"]])
        width, height = np.ceil(vertices.max(axis=0)).astype(int) + 1_000
        case = Case(INFO, path, (int(height), int(width)), 64, 0.243)
        physical[path.stem], challenge[path.stem] = (_num_lesions(case, item) for item in (PHYSICAL, CHALLENGE))
    assert len(challenge) == 48
    assert (sum(physical.values()), sum(challenge.values())) == (228, 226)
    assert challenge["test_021"] == 226 - 219
    differing = {name: (count, challenge[name]) for name, count in physical.items() if count != challenge[name]}
    assert differing == {"test_002": (5, 4), "test_026": (11, 10), "test_030": (6, 7), "test_051": (11, 10)}


def test_masks_at_another_stride_are_not_the_challenges(case):
    mask = np.zeros((SHAPE[0] // 64, SHAPE[1] // 64), dtype=np.uint8)
    np.save(case.truth.with_suffix(".npy"), mask)
    flat = case._replace(truth=case.truth.with_suffix(".npy"))
    assert read_case_truth(flat, CHALLENGE).stride == 64  # nothing is lost of a mask without tumor
    mask[20:30, 20:30] = 1
    np.save(flat.truth, mask)
    assert read_case_truth(flat, PHYSICAL).stride == 64
    with pytest.raises(InputError, match=r"t\.npy: protocol camelyon16 scores on masks at stride 32, found stride 64;"):
        read_case_truth(flat, CHALLENGE)
    assert CHALLENGE.truth_warnings([case, flat])[0].endswith("so that lesions may differ: t.npy")
    assert CHALLENGE.truth_warnings([case]) == PHYSICAL.truth_warnings([flat]) == []
