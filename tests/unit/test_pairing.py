"""Which truth belongs to which map, and what is warned of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.made_maps import write_truth
from scripts.errors import InputError
from scripts.maps import MapInfo
from scripts.pairing import missing_warnings, name_warnings, pair_truth
from scripts.truth import TruthFolder


def infos_of(*names):
    return [MapInfo(Path(f"{name}.npy"), f"{name}.tif", (6_000, 9_050), 32, 0.25) for name in names]


@pytest.fixture
def folder(tmp_path):
    write_truth(tmp_path, "tumor_001")
    write_truth(tmp_path, "tumor_002_mask")
    return TruthFolder(tmp_path)


def test_pair_truth_by_name(folder):
    found = pair_truth(infos_of("Tumor_002", "Normal_001", "tumor_001"), folder)
    assert [path and path.name for path in found] == ["tumor_002_mask.png", None, "tumor_001.png"]


@pytest.mark.parametrize("normal", ["test_003,Test_004.tif", ("test_003", " test_004 "), "test_004, ,test_003"])
def test_pair_truth_of_slides_listed_as_normal(folder, normal):
    assert pair_truth(infos_of("test_003", "test_004"), folder, normal) == [None, None]


@pytest.mark.parametrize("normal", [17, (17,), "17"])
def test_pair_truth_takes_numbers_for_names(folder, normal):
    assert pair_truth(infos_of("17"), folder, normal) == [None]


def test_pair_truth_without_truth_is_an_error_with_the_way_out(folder):
    with pytest.raises(InputError, match=r"no truth for 2 of 3 maps: abnormal_3, test_004; .*--normal"):
        pair_truth(infos_of("abnormal_3", "test_004", "tumor_001"), folder)


@pytest.mark.parametrize(
    ("normal", "message"),
    [
        ("normal_009", "normal: 1 names are of no map: normal_009"),
        ("TUMOR_001.TIF", "normal: expected slides without truth, found truth in .* for tumor_001; "),
    ],
)
def test_pair_truth_refuses_lists(folder, normal, message):
    with pytest.raises(InputError, match=message):
        pair_truth(infos_of("tumor_001", "Normal_001"), folder, normal)


def test_missing_warnings_of_truth_without_map(tmp_path):
    names = [f"tumor_1{index}" for index in range(6)]
    assert missing_warnings(tmp_path, infos_of("tumor_001"), []) == []
    assert missing_warnings(tmp_path, infos_of("tumor_001"), names) == [
        "6 slides have truth but no map and are not scored: tumor_10, tumor_11, tumor_12, tumor_13, tumor_14 and 1 more"
    ]


@pytest.mark.parametrize("record", [[], {}, {"slides_failed": []}, {"slides_failed": ["odd"]}])
def test_missing_warnings_of_no_failures(tmp_path, record):
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert missing_warnings(tmp_path, infos_of("tumor_001"), []) == []


def test_missing_warnings_of_slides_that_failed(tmp_path):
    failures = [{"slide": "/slides/Normal_002.tif", "reason": "broken"}, {"slide": "/slides/tumor_002.tif"}]
    (tmp_path / "run.json").write_text(json.dumps({"slides_failed": failures}))
    assert missing_warnings(tmp_path, infos_of("tumor_002"), []) == [
        "1 slides failed in inference and are not scored: Normal_002.tif",
        "1 slides failed in the latest inference, their maps are of an earlier run: tumor_002.tif",
    ]


def test_name_warnings():
    agreeing = zip(infos_of("Normal_001", "tumor_001"), (False, True), strict=True)
    assert name_warnings(list(agreeing)) == []
    odd = zip(infos_of("Normal_001", "tumor_002", "Normal_003"), (True, False, True), strict=True)
    assert name_warnings(list(odd)) == [
        "2 slides are named normal, but their truth marks tumor, which counts: Normal_001.tif, Normal_003.tif",
        "1 slides have truth that marks no tumor, and count as normal: tumor_002.tif",
    ]
