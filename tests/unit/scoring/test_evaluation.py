"""The froc step: a small cohort scored by hand, what is written, and what is refused."""

from __future__ import annotations

import csv
import json
import logging

import numpy as np
import pytest
from PIL import Image

from helpers.made_maps import MAP_SHAPE, MPP, SHAPE, write_map, write_truth
from scripts.errors import InputError
from scripts.scoring.evaluation import score_folder
from scripts.scoring.settings import NMS_RADIUS_UM, ScoreSettings

LESION_A = (slice(20, 70), slice(200, 230))
LESION_B = (slice(130, 150), slice(30, 110))
ISOLATED = (slice(100, 102), slice(250, 252))
QUICK = ScoreSettings(num_resamples=0)


@pytest.fixture
def cohort(tmp_path):
    """Two tumor slides and one normal: three lesions, one of them missed, one isolated, two false alarms."""
    maps, truth = tmp_path / "maps", tmp_path / "truth"
    maps.mkdir()
    truth.mkdir()
    write_map(maps, "Tumor_001", [(0.9, 40, 215), (0.8, 140, 90), (0.7, 10, 10), (0.95, 100, 250)])
    write_map(maps, "tumor_002", [(0.3, 5, 7)])
    write_map(maps, "Normal_001", [(0.85, 77, 200)])
    write_truth(truth, "tumor_001", LESION_A, LESION_B, ISOLATED)
    write_truth(truth, "tumor_002_mask", LESION_B)
    (maps / "run.json").write_text(json.dumps({"slides_failed": []}))
    return maps, truth, tmp_path / "output"


def test_score_folder_by_hand(cohort, caplog):
    report = score_folder(*cohort, settings=QUICK)
    # Thresholds 0.9: (0, 1/3); 0.85: (1/3, 1/3); 0.8: (1/3, 2/3); 0.7: (2/3, 2/3).
    expected = [1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3]
    assert report["sensitivity"] == pytest.approx(expected)
    assert report["froc_score"] == pytest.approx(sum(expected) / 6)
    counts = ("num_slides", "num_tumor_slides", "num_lesions", "num_isolated_tumor_cells")
    assert [report[key] for key in counts] == [3, 2, 3, 1]
    assert report["false_positives_per_slide"] == [0.25, 0.5, 1, 2, 4, 8]
    assert report["warnings"] == []
    assert report["truth_without_map"] == []
    rows = {row["slide"]: row for row in report["slides"]}
    assert rows["Tumor_001.tif"]["num_false_positives"] == 1
    assert rows["Tumor_001.tif"]["lesion_confidences"] == pytest.approx([0.9, 0.8])
    assert rows["Tumor_001.tif"]["truth"] == "tumor_001.png"
    assert rows["tumor_002.tif"]["num_lesions_hit"] == 0
    assert rows["Normal_001.tif"] | {"truth": None, "is_tumor": False} == rows["Normal_001.tif"]
    assert not caplog.records


def test_slide_scores_of_a_table_count_for_slides_and_not_for_lesions(cohort):
    maps, truth, output = cohort
    table = output.parent / "nodes.csv"
    table.write_text("slide,class,score\ntumor_001.tif,micro,0.2\nTumor_002,itc,0.9\nnormal_001.tif,negative,0.6\n")
    plain = score_folder(maps, truth, output, settings=QUICK)
    report = score_folder(maps, truth, output, settings=QUICK, slide_scores=table)
    assert (plain["slide_level"]["auc"], report["slide_level"]["auc"]) == (0.5, 0.5)
    assert {row["slide"]: row["score"] for row in report["slides"]} == {
        **{"Normal_001.tif": 0.6, "Tumor_001.tif": 0.2, "tumor_002.tif": 0.9}
    }
    assert report["slide_level"]["roc"] != plain["slide_level"]["roc"]
    assert report["slide_level"]["num_true_positives"] == 1
    assert report["curve"] == plain["curve"]
    assert report["settings"]["slide_scores"] == str(table)
    table.write_text("tumor_001.tif,0.2\nnormal_001.tif,0.6\n")
    with pytest.raises(InputError, match="1 of 3 slides has no score: tumor_002"):
        score_folder(maps, truth, output, settings=QUICK, slide_scores=table)


def test_score_folder_writes_report_picture_and_detections(cohort):
    report = score_folder(*cohort, settings=QUICK)
    output = cohort[2]
    assert json.loads((output / "froc.json").read_text()) == report
    with Image.open(output / "froc.png") as picture:
        assert picture.size == (960, 720)
    with (output / "detections" / "Tumor_001.csv").open() as file:
        lines = [(float(confidence), int(x), int(y)) for confidence, x, y in csv.reader(file)]
    assert [(x, y) for _, x, y in lines] == [(8016, 3216), (6896, 1296), (2896, 4496), (336, 336)]
    assert [confidence for confidence, _, _ in lines] == [0.95, 0.9, 0.8, 0.7]
    assert (output / "detections" / "tumor_002.csv").read_text() == ""
    assert sorted(path.name for path in output.rglob("*") if path.is_file()) == sorted(
        ["froc.json", "froc.png", "roc.png", "lesions.csv", "slides.csv"]
        + [f"{name}.csv" for name in ("Tumor_001", "tumor_002", "Normal_001")]
    )


def test_nms_radius_is_in_um(cohort):
    maps, _, output = cohort
    # 64 px of 0.243 µm: 12 map pixels at stride 64.
    assert round(NMS_RADIUS_UM / (64 * 0.243)) == 12
    write_map(maps, "Normal_001", [(0.9, 50, 50), (0.8, 50, 60), (0.7, 50, 75)])
    for radius_um, count in ((85, 2), (83, 3), (300, 1), (0.1, 3)):  # 8 µm per map pixel
        score_folder(*cohort, settings=QUICK._replace(nms_radius_um=radius_um))
        assert len((output / "detections" / "Normal_001.csv").read_text().splitlines()) == count


def test_threshold_is_strict(cohort):
    report = score_folder(*cohort, settings=QUICK._replace(threshold=np.float32(0.9)))
    assert {row["slide"]: row["num_detections"] for row in report["slides"]}["Tumor_001.tif"] == 1


def test_maps_of_another_stride_than_the_truth(cohort):
    maps, truth, output = cohort
    write_map(maps, "Tumor_001", [(0.9, 80, 430), (0.8, 281, 181)], stride=16)
    report = score_folder(maps, truth, output, settings=QUICK)
    assert report["slides"][1]["lesion_confidences"] == pytest.approx([0.9, 0.8])
    assert report["slides"][1]["truth_stride"] == 32


def test_annotations_are_truth_too(cohort):
    maps, truth, output = cohort
    (truth / "tumor_002_mask.png").unlink()
    vertices = [[960, 4160], [3520, 4160], [3520, 4800], [960, 4800]]
    annotation = {"positive": [{"name": "B", "vertices": vertices}], "negative": []}
    (truth / "tumor_002.json").write_text(json.dumps(annotation))
    write_map(maps, "tumor_002", [(0.6, 140, 60)])
    report = score_folder(maps, truth, output, settings=QUICK)
    assert report["slides"][2]["lesion_confidences"] == pytest.approx([0.6])
    assert report["slides"][2]["truth_stride"] == 31  # 7.776 µm


def test_slides_listed_as_normal(cohort):
    write_map(cohort[0], "test_003")
    with pytest.raises(InputError, match="no truth for 1 of 4 maps"):
        score_folder(*cohort, settings=QUICK)
    assert score_folder(*cohort, normal="test_003", settings=QUICK)["num_slides"] == 4


def test_truth_without_map_is_warned_of(cohort, caplog):
    for index in range(6):
        write_truth(cohort[1], f"tumor_1{index}", LESION_A)
    with caplog.at_level(logging.WARNING):
        report = score_folder(*cohort, settings=QUICK)
    expected = "slides with truth but no map, not scored: tumor_10, tumor_11, tumor_12, tumor_13, tumor_14 and 1 more"
    assert report["warnings"] == [expected] == [record.message for record in caplog.records]
    assert report["truth_without_map"] == [f"tumor_1{index}" for index in range(6)]


def test_truth_that_contradicts_the_name_is_warned_of(cohort):
    maps, truth, output = cohort
    write_truth(truth, "Normal_001", LESION_A)
    write_truth(truth, "tumor_002_mask")
    report = score_folder(maps, truth, output, settings=QUICK)
    assert report["warnings"] == [
        "slides named normal whose truth marks tumor, which counts: Normal_001.tif",
        "slides whose truth marks no tumor, counted as normal: tumor_002.tif",
    ]
    assert report["num_lesions"] == 3


def test_no_lesion_is_an_error_but_detections_are_kept(cohort):
    maps, truth, output = cohort
    write_truth(truth, "tumor_001", ISOLATED)
    write_truth(truth, "tumor_002_mask")
    with pytest.raises(InputError, match="at least one lesion"):
        score_folder(maps, truth, output, settings=QUICK)
    assert (output / "detections" / "Tumor_001.csv").exists()
    assert not (output / "froc.json").exists()


def test_no_detections_score_zero(cohort):
    for name in ("Tumor_001", "Normal_001"):
        write_map(cohort[0], name)
    report = score_folder(*cohort, settings=QUICK)
    assert report["froc_score"] == 0
    assert report["sensitivity"] == [0] * 6


def test_truth_of_another_shape_is_named(cohort):
    Image.fromarray(np.zeros(MAP_SHAPE[::-1], dtype=np.uint8)).save(cohort[1] / "tumor_001.png")
    with pytest.raises(InputError, match=r"tumor_001\.png: a mask of 283 x 188"):
        score_folder(*cohort, settings=QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nms_radius_um": 0}, "nms_radius_um"),
        ({"nms_radius_um": float("nan")}, "nms_radius_um"),
        ({"threshold": 1.0}, "threshold"),
        ({"threshold": -0.1}, "threshold"),
        ({"tumor_value": 0}, "tumor_value"),
        ({"rules": "ncrf"}, "rules: expected camelyon16 or monai"),
        ({"protocol": "ncrf"}, "protocol: expected physical or camelyon16"),
        ({"rules": "monai", "protocol": "camelyon16"}, "protocol camelyon16: expected rules camelyon16"),
        ({"num_resamples": -1}, "num_resamples"),
        ({"slide_threshold": float("nan")}, "slide_threshold"),
    ],
)
def test_bad_options_are_named(cohort, options, message):
    with pytest.raises(InputError, match=message):
        score_folder(*cohort, settings=ScoreSettings(**options))


# --- detections instead of maps -------------------------------------------------------------------------------------


def write_sidecars(truth):
    for path in truth.glob("*.png"):
        content = {"shape": list(SHAPE), "stride": 32, "mpp": MPP}
        path.with_suffix(".json").write_text(json.dumps(content))


def test_detections_score_as_the_maps_that_they_are_of(cohort, tmp_path):
    maps, truth, output = cohort
    write_sidecars(truth)
    settings = QUICK._replace(num_resamples=50, threshold=0.0)
    expected = score_folder(maps, truth, output, settings=settings)
    found = score_folder(None, truth, tmp_path / "second", settings=settings, detections=output)
    without = {"settings": None, "slides": [{**row, "truth_stride": None} for row in expected["slides"]]}
    assert {**found, **without} == {**expected, **without}
    assert found["slides"] == expected["slides"]
    assert found["settings"] == {
        **expected["settings"],
        **{"source": "detections", "nms_radius_um": None, "threshold": None},
    }
    for name in ("Tumor_001", "tumor_002", "Normal_001"):
        files = [folder / "detections" / f"{name}.csv" for folder in (output, tmp_path / "second")]
        assert files[0].read_text() == files[1].read_text()


def test_detections_of_the_challenge_with_mpp(cohort, tmp_path):
    _, truth, output = cohort
    write_sidecars(truth)
    files = tmp_path / "csv"
    files.mkdir()
    (files / "Tumor_001.csv").write_text("0.7,336.2,336\n0.9,6896.0,1296.0\n")
    (files / "tumor_002.csv").write_text("")
    (files / "Normal_001.csv").write_text("0.8,99999999,5\n")  # without truth its size is not known
    report = score_folder(None, truth, output, settings=QUICK, detections=files, mpp=0.25)
    assert [row["lesion_confidences"] for row in report["slides"]] == [[], [0.9, 0.0], [0.0]]
    assert [row["slide"] for row in report["slides"]] == ["Normal_001", "Tumor_001", "tumor_002"]
    assert report["settings"]["mpp"] == 0.25


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"maps": None}, "give one of them"),
        ({"detections": "detections"}, "give one of them"),
        ({"maps": None, "detections": "maps", "settings": ScoreSettings(rules="monai")}, "give --maps"),
        ({"maps": None, "detections": "maps"}, "no detections found"),
    ],
)
def test_what_is_scored_is_one_of_two(cohort, given, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        score_folder(**{"maps": "maps", "truth": "truth", "output": "output", **given})


# --- loud -----------------------------------------------------------------------------------------------------------


def test_excluded_slides_do_not_count(cohort):
    maps, truth, output = cohort
    write_map(maps, "test_049", [(0.9, 40, 215)])
    write_truth(truth, "test_049", LESION_A)
    report = score_folder(maps, truth, output, settings=QUICK, exclude="camelyon16")
    assert (report["num_slides"], report["num_lesions"]) == (3, 3)
    assert report["excluded"] == ["test_049"]
    assert report["warnings"] == report["truth_without_map"] == []
    assert score_folder(maps, truth, output, settings=QUICK)["num_slides"] == 4


@pytest.mark.parametrize("has_truth", [True, False])
@pytest.mark.parametrize("source", ["maps", "detections"])
def test_test_114_counts_as_a_slide_alone(cohort, tmp_path, has_truth, source):
    maps, truth, output = cohort
    before = score_folder(maps, truth, output, settings=QUICK)
    write_map(maps, "test_114", [(0.99, 40, 215), (0.97, 10, 10)])
    if has_truth:
        write_truth(truth, "test_114", LESION_A)
    write_sidecars(truth)
    if source == "detections":
        score_folder(maps, truth, output, normal="" if has_truth else "test_114", settings=QUICK)
        report = score_folder(None, truth, tmp_path / "second", detections=output, settings=QUICK, exclude="camelyon16")
    else:
        report = score_folder(maps, truth, output, settings=QUICK, exclude="camelyon16")
    assert report["curve"] == before["curve"]
    assert (report["num_slides"], report["num_froc_slides"], report["num_tumor_slides"]) == (4, 3, 3)
    assert (report["excluded"], report["excluded_from_lesions"]) == ([], ["test_114"])
    (row,) = (row for row in report["slides"] if row["slide"].startswith("test_114"))
    assert (row["is_tumor"], row["counts_lesions"], row["num_lesions"], row["num_false_positives"]) == (
        True,
        False,
        0,
        0,
    )
    assert report["slide_level"]["auc"] > before["slide_level"]["auc"]
    assert all(not row["slide"].startswith("test_114") for row in report["lesions"])


def test_the_protocol_has_the_challenges_scale_and_list(cohort, tmp_path):
    maps, truth, output = cohort
    settings = QUICK._replace(protocol="camelyon16")
    # 0.3 um and stride 32: the challenge sees 7.776 um per map pixel, so 24 pixels of radius, and not 19
    for name, points in (("Tumor_001", [(0.9, 40, 215), (0.8, 40, 193)]), ("tumor_002", []), ("Normal_001", [])):
        write_map(maps, name, points, changes={"mpp": 0.3})
    for name in ("test_049", "test_114"):
        write_map(maps, name, changes={"mpp": 0.3})
    report = score_folder(maps, truth, output, settings=settings)
    rows = {row["slide"]: row for row in report["slides"]}
    assert rows["Tumor_001.tif"]["num_detections"] == 1
    assert rows["Tumor_001.tif"]["truth_stride"] == 32
    assert (report["excluded"], report["excluded_from_lesions"]) == (["test_049"], ["test_114"])
    assert (report["settings"]["protocol"], report["settings"]["mpp"]) == ("camelyon16", 0.243)
    assert report["warnings"][0].startswith("protocol camelyon16: masks of one level")
    own = score_folder(maps, truth, output, normal="test_049,test_114", settings=QUICK)
    assert {row["slide"]: row for row in own["slides"]}["Tumor_001.tif"]["num_detections"] == 2
    size_um = [item["lesions"][0]["size_um"] + 75 for item in (report, own)]
    assert size_um[0] / size_um[1] == pytest.approx(0.243 / 0.3, rel=0.05)
    with pytest.raises(InputError, match=r"mpp: protocol camelyon16 takes 0\.243 for all slides, found 0\.25"):
        score_folder(maps, truth, output, settings=settings, mpp=0.25)


def test_a_reference_table_stands_in_for_a_list_of_normal_slides(cohort):
    maps, truth, output = cohort
    write_map(maps, "test_003", [(0.6, 9, 9)])
    table = output.parent / "reference.csv"
    rows = ["tumor_001,Tumor,IDC,Macro", "Tumor_002,Tumor,ILC,Micro", "test_003,Normal,DCIS,None", "b,Normal,IDC,None"]
    table.write_text("\n".join(rows))
    report = score_folder(maps, truth, output, settings=QUICK, reference=[table])
    expected = score_folder(maps, truth, output, settings=QUICK, normal="test_003")
    assert report["curve"] == expected["curve"]
    assert report["warnings"] == [
        "slides that are in no reference table: Normal_001",
        "1 slide of the reference table has no map, not scored: b",
    ]
    found = {row["slide"]: (row["histological_type"], row["metastasis"], row["center"]) for row in report["slides"]}
    assert found["tumor_002.tif"] == ("ILC", "micro", None)
    assert found["test_003.tif"] == ("DCIS", "none", None)
    score_folder(maps, truth, output, settings=QUICK, reference=table)
    with (output / "slides.csv").open() as file:
        assert {row["slide"]: row["histological_type"] for row in csv.DictReader(file)}["Tumor_001.tif"] == "IDC"
    strata = report["slide_strata"]
    assert {name: found["num_slides"] for name, found in strata["histological_type"].items()} == {
        **{"DCIS": 1, "IDC": 1, "ILC": 1}
    }
    assert strata["metastasis"]["macro"]["num_slides"] == 3  # with the two that hold no tumor
    assert strata["center"] == {}


@pytest.mark.parametrize("form", ["mask", "annotation"])
@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "tumor_001,Normal,IDC,None",
            r"reference\.csv, row 1: the slide is Normal, but its truth .*tumor_001\.\w+ marks",
        ),
        (
            "tumor_002,Tumor,IDC,Micro",
            r"reference\.csv, row 1: the slide is Tumor, but its truth .*tumor_002_mask\.\w+ m",
        ),
        (
            "Normal_001,Tumor,IDC,Micro",
            r"reference\.csv, row 1: the slide is Tumor, but .*truth has no annotation or m",
        ),
    ],
    ids=["truth has tumor", "truth has none", "no truth"],
)
def test_a_table_that_contradicts_the_truth_is_refused(cohort, form, row, message):
    maps, truth, output = cohort
    write_truth(truth, "tumor_002_mask")
    if form == "annotation":
        for path, vertices in (
            (truth / "tumor_001", [[960, 4160], [3520, 4160], [3520, 4800]]),
            (truth / "tumor_002_mask", []),
        ):
            path.with_suffix(".png").unlink()
            outlines = [{"name": "A", "vertices": vertices}] if vertices else []
            path.with_suffix(".json").write_text(json.dumps({"positive": outlines, "negative": []}))
    table = output.parent / "reference.csv"
    table.write_text(row)
    with pytest.raises(InputError, match=message):
        score_folder(maps, truth, output, settings=QUICK, reference=table)


def test_odd_maps_and_missing_slides_are_counted(cohort, tmp_path):
    maps, truth, output = cohort
    write_map(maps, "tumor_002", stride=64)
    slides = tmp_path / "slides"
    slides.mkdir()
    for name in ("tumor_001.tif", "Tumor_002.tif", "normal_001.tif", "normal_002.tif"):
        (slides / name).touch()
    assert score_folder(maps, truth, output, settings=QUICK, slides=[slides])["warnings"] == [
        "slides without map or detections, not scored: normal_002.tif",
        "1 map has another scale than 8 µm per pixel: tumor_002 (16)",
        "1 map is 0 everywhere: tumor_002.tif",
    ]


def test_slides_without_tissue_are_not_normal_in_silence(cohort):
    maps, truth, output = cohort
    write_map(maps, "tumor_002", changes={"num_positions": 0, "notes": ["no tissue found"]})
    report = score_folder(maps, truth, output, settings=QUICK)
    assert report["warnings"] == ["no tissue found on 1 of 3 slides, so 0 everywhere in the map: tumor_002.tif"]


def test_nan_in_a_map_is_an_error(cohort):
    prob_map = np.load(cohort[0] / "tumor_002.npy")
    prob_map[3, 4] = np.nan
    np.save(cohort[0] / "tumor_002.npy", prob_map)
    with pytest.raises(InputError, match=r"tumor_002\.npy: expected probabilities in \[0, 1\], found nan"):
        score_folder(*cohort, settings=QUICK)


# --- two runs -------------------------------------------------------------------------------------------------------


def test_against_another_run(cohort, tmp_path):
    maps, truth, output = cohort
    write_sidecars(truth)
    other = tmp_path / "other"
    other.mkdir()
    write_map(other, "Tumor_001", [(0.9, 40, 215)])
    write_map(other, "tumor_002", [(0.8, 140, 60)])
    write_map(other, "Normal_001", [(0.6, 77, 200)])
    write_map(other, "Normal_002")
    settings = QUICK._replace(num_resamples=30)
    report = score_folder(maps, truth, output, settings=settings, against=other)
    second = score_folder(other, truth, tmp_path / "second", settings=settings, exclude="Normal_002")
    found = report["comparison"]
    assert found["froc_score"] == second["froc_score"]
    assert found["froc_difference"] == report["froc_score"] - second["froc_score"]
    assert found["auc_difference"] == report["slide_level"]["auc"] - second["slide_level"]["auc"]
    assert report["warnings"] == [f"1 slide of {other} left out, not in this run: normal_002"]
    # an earlier output, whose detections are its own
    again = score_folder(maps, truth, output, settings=settings, against=tmp_path / "second")["comparison"]
    assert {**again, "against": None} == {**found, "against": None}


def test_against_the_output_itself_is_an_error(cohort):
    score_folder(*cohort, settings=QUICK)
    for against in (cohort[2], cohort[2] / "detections"):
        with pytest.raises(InputError, match="expected another folder than the output"):
            score_folder(*cohort, settings=QUICK, against=against)


def test_against_a_run_on_other_slides_is_an_error(cohort, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    write_map(other, "tumor_002")
    with pytest.raises(
        InputError, match="expected a run on the same slides, found none of 2 of 3: normal_001, tumor_001"
    ):
        score_folder(*cohort, settings=QUICK, against=other)
    for name in ("Tumor_001", "Normal_001"):
        write_map(other, name)
    (other / "Tumor_001.json").write_text((other / "Tumor_001.json").read_text().replace("9050", "9049"))
    with pytest.raises(InputError, match=r"Tumor_001\.npy: expected a slide of \(6000, 9050\)"):
        score_folder(*cohort, settings=QUICK, against=other)
