"""Which truth belongs to which map, and what is warned of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.made_maps import write_truth
from scripts.cohort.exclusions import leave_out
from scripts.cohort.facts import SlideFacts
from scripts.cohort.pairing import (
    missing_warnings,
    name_warnings,
    pair_truth,
    scale_warnings,
    slide_warnings,
)
from scripts.errors import InputError
from scripts.maps.files import MapInfo
from scripts.masks.truth_folder import TruthFolder


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
        ("normal_009", "normal: 1 name is of no map: normal_009"),
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
        "slides with truth but no map, not scored: tumor_10, tumor_11, tumor_12, tumor_13, tumor_14 and 1 more"
    ]


@pytest.mark.parametrize("record", [[], {}, {"slides_failed": []}, {"slides_failed": ["odd"]}])
def test_missing_warnings_of_no_failures(tmp_path, record):
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert missing_warnings(tmp_path, infos_of("tumor_001"), []) == []


def test_missing_warnings_of_slides_that_failed(tmp_path):
    failures = [{"slide": "/slides/Normal_002.tif", "reason": "broken"}, {"slide": "/slides/tumor_002.tif"}]
    (tmp_path / "run.json").write_text(json.dumps({"slides_failed": failures}))
    assert missing_warnings(tmp_path, infos_of("tumor_002"), []) == [
        "1 slide failed in inference, not scored: Normal_002.tif",
        "1 slide failed in a later inference, with maps of an earlier run: tumor_002.tif",
    ]


def test_name_warnings():
    agreeing = zip(infos_of("Normal_001", "tumor_001"), (False, True), strict=True)
    assert name_warnings(list(agreeing)) == []
    odd = zip(infos_of("Normal_001", "tumor_002", "Normal_003"), (True, False, True), strict=True)
    assert name_warnings(list(odd)) == [
        "slides named normal whose truth marks tumor, which counts: Normal_001.tif, Normal_003.tif",
        "slides whose truth marks no tumor, counted as normal: tumor_002.tif",
    ]


def test_facts_say_who_needs_no_truth(folder):
    infos = infos_of("Test_114", "test_003", "tumor_001")
    facts = [SlideFacts(True, False), SlideFacts(False, place="gt.csv, row 3"), SlideFacts(True, place="gt.csv, row 9")]
    assert [path and path.name for path in pair_truth(infos, folder, facts=facts)] == [None, None, "tumor_001.png"]
    facts[0] = SlideFacts(True, place="gt.csv, row 114")
    with pytest.raises(InputError, match=r"gt\.csv, row 114: the slide is Tumor, but .* has no annotation or mask of"):
        pair_truth(infos, folder, facts=facts)
    with pytest.raises(InputError, match=r"gt\.csv, row 114: the slide is Tumor, but --normal lists Test_114; "):
        pair_truth(infos, folder, "test_114", facts=facts)
    infos = infos_of("Test_114", "tumor_001")
    with pytest.raises(InputError, match="no truth for 1 of 2 maps: Test_114"):
        pair_truth(infos, folder)


def test_scale_warnings_of_maps_unlike_most():
    infos = infos_of("a", "b", "c", "d")
    assert scale_warnings(infos) == []
    assert scale_warnings([infos[0]._replace(mpp=0.23), *infos[1:]]) == []  # as between two scanners
    assert scale_warnings([infos[0]._replace(stride=64, mpp=0.125), *infos[1:]]) == []  # the same on the slide
    odd = [infos[0], infos[1]._replace(stride=64), infos[2], infos[3]._replace(mpp=0.5)]
    assert scale_warnings(odd) == ["2 maps have another scale than 8 µm per pixel: b (16), d (16)"]


def test_slide_warnings_of_slides_without_a_map():
    slides = [Path(f"slides/{name}.svs") for name in ("A", "b", "c", "test_049")]
    assert slide_warnings(infos_of("a", "b", "c"), slides, frozenset({"test_049"})) == []
    expected = ["slides without map or detections, not scored: b.svs, c.svs"]
    assert slide_warnings(infos_of("a"), slides, frozenset({"test_049"})) == expected


COMPOSED, DECOMPOSED = "M\u00fcller_1", "Mu\u0308ller_1"


@pytest.mark.parametrize(("of_map", "elsewhere"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_names_in_another_unicode_form_are_the_same(tmp_path, of_map, elsewhere):
    (tmp_path / "b").mkdir()
    write_truth(tmp_path / "b", "c")
    without = TruthFolder(tmp_path / "b")
    write_truth(tmp_path, elsewhere)
    infos = infos_of(of_map, "other")
    assert pair_truth(infos, TruthFolder(tmp_path), "other")[0] is not None
    assert TruthFolder(tmp_path).names_beyond([of_map, "c"]) == []
    assert pair_truth(infos_of(of_map), without, elsewhere) == [None]
    assert leave_out(infos, elsewhere)[0] == infos[1:]
    assert slide_warnings(infos, [Path(f"{elsewhere.upper()}.svs")], frozenset()) == []
    (tmp_path / "run.json").write_text(json.dumps({"slides_failed": [{"slide": f"/slides/{elsewhere}.tif"}]}))
    assert "with maps of an earlier run" in missing_warnings(tmp_path, infos, [])[0]
