"""What is scored: scales of detections, and what a map gives."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from helpers.detected_points import detections_of
from helpers.made_maps import MPP, SHAPE, write_map, write_truth
from scripts.errors import InputError
from scripts.folders.slide_table import SlideTable
from scripts.maps.detection_files import DetectionFile
from scripts.maps.files import read_map, read_map_infos
from scripts.scoring.cases import (
    check_inside,
    detect,
    detection_cases,
    given_detections,
    map_case,
    scale_differences,
    table_differences,
)
from scripts.slides.pyramid import write_pyramid

LESION = (slice(20, 70), slice(200, 230))


def file_of(tmp_path, name="t"):
    path = tmp_path / f"{name}.csv"
    path.write_text("0.9,100,200\n")
    return DetectionFile(path, name)


def truth_of(tmp_path, **sidecar):
    write_truth(tmp_path, "t", LESION)
    (tmp_path / "t.json").write_text(json.dumps({"shape": list(SHAPE), "stride": 32, "mpp": MPP} | sidecar))
    return tmp_path / "t.png"


def test_shape_and_scale_from_the_truths_sidecar(tmp_path):
    (case,) = detection_cases([file_of(tmp_path)], [truth_of(tmp_path)], [], None)
    assert case.slide_shape == SHAPE
    assert case.mpp == MPP
    assert case.stride == 31  # 7.776 µm


def test_mpp_given_goes_first(tmp_path):
    (case,) = detection_cases([file_of(tmp_path)], [truth_of(tmp_path)], [], 0.486)
    assert (case.mpp, case.stride) == (0.486, 16)


def test_shape_of_a_pyramid_is_that_of_its_finest_level(tmp_path):
    with tifffile.TiffWriter(tmp_path / "t.tif") as tiff:
        tiff.write(np.zeros((700, 900), dtype=np.uint8), subifds=1)
        tiff.write(np.zeros((350, 450), dtype=np.uint8), subfiletype=1)
    (case,) = detection_cases([file_of(tmp_path)], [tmp_path / "t.tif"], [], 0.243)
    assert case.slide_shape == (700, 900)
    with pytest.raises(InputError, match=r"t\.tif: says nothing of its slide's resolution; .*--mpp"):
        detection_cases([file_of(tmp_path)], [tmp_path / "t.tif"], [], None)


def test_shape_and_scale_from_the_slide(tmp_path):
    write_pyramid(tmp_path / "T.tif", np.full((300, 500, 3), 200, dtype=np.uint8), 0.5)
    write_truth(tmp_path, "t", LESION)
    (case,) = detection_cases([file_of(tmp_path)], [tmp_path / "t.png"], [tmp_path / "T.tif"], None)
    assert (case.slide_shape, case.info.slide) == ((300, 500), "T.tif")
    assert case.mpp == pytest.approx(0.5, rel=1e-4)


def test_truth_that_says_nothing_needs_the_slides(tmp_path):
    write_truth(tmp_path, "t", LESION)
    with pytest.raises(InputError, match=r"t\.png: says nothing of its slide's shape.*--slides"):
        detection_cases([file_of(tmp_path)], [tmp_path / "t.png"], [], 0.243)
    with pytest.raises(InputError, match="mpp: expected a positive number"):
        detection_cases([file_of(tmp_path)], [None], [], 0.0)


def test_normal_slides_need_neither(tmp_path):
    (case,) = detection_cases([file_of(tmp_path)], [None], [], None)
    check_inside(case, detections_of((0.9, 10_000_000, 3)))


def test_detections_beyond_the_slide_are_refused(tmp_path):
    (case,) = detection_cases([file_of(tmp_path)], [truth_of(tmp_path)], [], None)
    check_inside(case, detections_of((0.9, SHAPE[0] - 1, SHAPE[1] - 1)))
    with pytest.raises(InputError, match=r"t\.csv: .* 9050 x 6000 \(width x height\), found 9050,17;"):
        check_inside(case, detections_of((0.9, 5, 5), (0.8, 17, SHAPE[1])))


def test_detect_takes_a_radius_in_um_or_in_pixels(tmp_path):
    write_map(tmp_path, "t", [(0.9, 50, 50), (0.8, 50, 60), (0.7, 50, 75)])
    (info,) = read_map_infos(tmp_path)  # 8 µm per pixel
    prob_map = read_map(info)
    assert detect(prob_map, info, 83, 0.5).detections.prob.tolist() == [0.9, 0.8, 0.7]
    assert detect(prob_map, info, 85, 0.5).detections.prob.tolist() == [0.9, 0.7]
    assert detect(prob_map, info, 11, 0.5, is_um=False).detections.prob.tolist() == [0.9, 0.7]
    assert detect(prob_map, info, 0.1, 0.75).detections.prob.tolist() == [0.9, 0.8]
    assert detect(prob_map, info, 83, 0.95).score == 0.9


def test_score_of_files_is_the_highest_confidence(tmp_path):
    assert given_detections(file_of(tmp_path)).score == 0.9
    (tmp_path / "t.csv").write_text("")
    assert given_detections(DetectionFile(tmp_path / "t.csv", "t")).score == 0


def test_truth_of_another_scale_is_warned_of(tmp_path):
    (tmp_path / "maps").mkdir()
    write_map(tmp_path / "maps", "t")
    (info,) = read_map_infos(tmp_path / "maps")
    assert scale_differences([map_case(info, truth_of(tmp_path))]) == []
    assert scale_differences([map_case(info, None)]) == []
    expected = ["slides whose truth states another mpp than is scored with: t (0.5)"]
    assert scale_differences([map_case(info, truth_of(tmp_path, mpp=0.5))]) == expected


def test_a_table_whose_mpp_differs_from_the_maps_is_warned_of(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.tif").touch()
        write_map(tmp_path, name)
    (tmp_path / "slides.csv").write_text("path,mpp\na.tif,0.5\nb.tif,0.2501\n")
    infos = read_map_infos(tmp_path)
    (warning,) = table_differences(infos, SlideTable(tmp_path / "slides.csv"))
    assert warning.endswith("which counts; run infer again with the table: a (0.5, map 0.25)")
    assert table_differences(infos, SlideTable()) == []
