"""Hard negatives: which false positives of a map become which rows."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.annotation_forms import write, write_ncrf
from helpers.detected_points import detections_of
from helpers.made_maps import MAP_SHAPE, MPP, SHAPE, STRIDE, write_map, write_truth
from scripts.cli.main import main
from scripts.errors import InputError
from scripts.labels.loclabel import read_loclabels
from scripts.labels.mining import by_rank, false_positives, mine_hard_negatives
from scripts.labels.regions import Regions
from scripts.scoring.evaluation import score_folder
from scripts.scoring.settings import ScoreSettings

LESION = (slice(40, 80), slice(180, 230))  # map rows and columns, off the diagonal
POINTS = [(0.9, 60, 200), (0.95, 150, 20), (0.7, 60, 240), (0.6, 10, 270), (0.5, 100, 100), (0.8, 84, 130)]


@pytest.fixture
def case(tmp_path):
    """A slide with a lesion and two normal ones, one of them without detections."""
    for name in ("maps", "truth"):
        (tmp_path / name).mkdir()
    write_map(tmp_path / "maps", "t", POINTS)
    write_map(tmp_path / "maps", "Normal_1", [(0.99, 3, 4), (0.97, 90, 150)])
    write_map(tmp_path / "maps", "normal_2")
    write_truth(tmp_path / "truth", "t", LESION)
    return tmp_path


def mine(case, output="out.csv", **settings):
    return mine_hard_negatives(case / "maps", case / "truth", case / output, **settings)


def located(row, col, stride=STRIDE):
    return row * stride + stride // 2, col * stride + stride // 2


def found(path):
    return [(item["name"], item["center"]) for item in read_loclabels(path)]


def test_false_positives_become_rows_strongest_of_each_slide_first(case):
    summary = mine(case)
    assert found(case / "out.csv") == [
        ("Normal_1", located(3, 4)),
        ("t", located(150, 20)),
        ("Normal_1", located(90, 150)),
        ("t", located(84, 130)),
        ("t", located(60, 240)),
        ("t", located(10, 270)),
    ]
    assert str(summary) == (
        "6 hard negatives of 2 slides, from 6 false positives in 3 maps; 0 known before, 0 with tumor beside it"
    )


def test_labels_are_those_of_the_truth(case):
    mine(case)
    mask = np.zeros(MAP_SHAPE, bool)
    mask[LESION] = True
    num_tumor = 0
    for item in read_loclabels(case / "out.csv"):
        for row, col in np.ndindex(3, 3):
            cell = 256  # 0.25 µm is within a tenth of the model's resolution
            at = (item["center"][0] + (row - 1) * cell) // STRIDE, (item["center"][1] + (col - 1) * cell) // STRIDE
            is_on = 0 <= at[0] < MAP_SHAPE[0] and 0 <= at[1] < MAP_SHAPE[1]
            expected = item["name"] == "t" and is_on and mask[at]
            assert item["label"][0, row, col] == expected
            num_tumor += expected
    assert num_tumor == 0  # 10 map pixels off the lesion, cells are 8 apart


@pytest.mark.parametrize(("col", "labels"), [(234, [[0, 0, 0], [1, 0, 0], [1, 0, 0]]), (239, [[0] * 3] * 3)])
def test_cells_beside_a_false_positive_may_be_tumor(case, col, labels):
    write_map(case / "maps", "t", [(0.9, 40, col)])  # level with the upper side of the lesion
    mine(case)
    (row,) = [item for item in read_loclabels(case / "out.csv") if item["name"] == "t"]
    assert row["label"][0].tolist() == labels


@pytest.mark.parametrize("settings", [{}, {"threshold": 0.65}, {"nms_radius_um": 60.0}])
@pytest.mark.parametrize("form", ["mask", "outlines"])
def test_as_many_as_froc_counts(case, settings, form):
    rng = np.random.default_rng(5)
    points = [(float(rng.uniform(0.4, 1)), int(rng.integers(188)), int(rng.integers(283))) for _ in range(300)]
    write_map(case / "maps", "t", points)
    if form == "outlines":
        (case / "truth" / "t.png").unlink()
        hole = [[6000, 1800], [6500, 1800], [6500, 2200], [6000, 2200]]
        write_ncrf(case / "truth", "t", [[[5760, 1280], [7360, 1280], [7360, 2560], [5000, 2560]]], [hole])
    report = score_folder(
        case / "maps", case / "truth", case / "scores", settings=ScoreSettings(**settings, num_resamples=0)
    )
    summary = mine(case, **settings)
    expected = {row["slide"].split(".")[0]: row["num_false_positives"] for row in report["slides"]}
    rows = [name for name, _ in found(case / "out.csv")]
    assert {name: rows.count(name) for name in expected} == expected
    assert expected["t"] > 20
    assert summary.num_rows == summary.num_found == sum(expected.values())


def test_limit_takes_the_strongest_of_each_slide(case):
    mine(case, limit_per_slide=2)
    assert found(case / "out.csv")[1::2] == [("t", located(150, 20)), ("t", located(84, 130))]
    assert len(found(case / "out.csv")) == 4


def test_appended_without_duplicates_and_again_without_effect(case):
    row, col = located(150, 20)
    lines = f"a,1,2,0,0,0,0,0,0,0,0,1\nT,{col}.0,{row},0,0,0,0,0,0,0,0,0"
    existing = write(case / "training.csv", lines)
    summary = mine(case, append=existing, limit_per_slide=1)
    assert (summary.num_rows, summary.num_known, summary.num_found) == (2, 1, 6)
    assert (case / "out.csv").read_text().startswith(lines + "\n")
    # what is known does not use up the limit
    assert found(case / "out.csv")[2:] == [("Normal_1", located(3, 4)), ("t", located(84, 130))]
    assert mine(case, "training.csv", append=existing).num_rows == 5
    once = existing.read_bytes()
    assert mine(case, "training.csv", append=existing).num_rows == 0
    assert existing.read_bytes() == once
    assert len(found(existing)) == len(set(found(existing))) == 7


def test_a_sliver_of_tumor_that_no_pixel_shows_is_no_negative(case):
    (case / "truth" / "t.png").unlink()
    row, col = located(84, 130)
    sliver = [[col - 5, row - 300], [col + 1, row - 300], [col + 1, row + 300], [col - 5, row + 300]]
    write_ncrf(case / "truth", "t", [[[5760, 1280], [7360, 1280], [7360, 2560], [5000, 2560]], sliver])
    mine(case)
    assert ("t", (row, col)) not in found(case / "out.csv")
    assert ("t", located(150, 20)) in found(case / "out.csv")


def test_cells_are_wide_at_the_resolution_of_the_model(case):
    write_map(case / "maps", "t", [(0.9, 40, 242)], changes={"mpp": 0.1215})
    mine(case)
    (row,) = [item for item in read_loclabels(case / "out.csv") if item["name"] == "t"]
    assert row["label"][0].tolist() == [[0, 0, 0], [1, 0, 0], [1, 0, 0]]  # 512 px away, 16 map pixels


@given(st.lists(st.integers(0, 6), max_size=5))
def test_ranks_alternate_between_slides(counts):
    slides = [
        Regions(str(index), np.array([(rank, index) for rank in range(count)]).reshape(-1, 2), np.zeros((count, 3, 3)))
        for index, count in enumerate(counts)
    ]
    order = [(*region.centers[0].tolist(), region.name) for region in by_rank(slides)]
    assert order == sorted((rank, index, str(index)) for index, count in enumerate(counts) for rank in range(count))


def test_an_incomplete_last_pixel_is_judged_by_the_one_before():
    lesions = np.zeros((3, 4), np.int32)
    lesions[2, 3] = 1
    detections = detections_of((0.9, 130, 170), (0.8, 130, 40))
    assert false_positives(detections, lesions, 40).col.tolist() == [40]


def test_nothing_to_mine(case):
    with pytest.raises(InputError, match=r"no false positive above 0\.999 in 3 maps"):
        mine(case, threshold=0.999)
    assert not (case / "out.csv").exists()


def test_a_map_without_truth_is_refused_unless_listed(case):
    write_map(case / "maps", "x", [(0.9, 20, 30)])
    with pytest.raises(InputError, match="no truth for 1 of 4 maps: x;"):
        mine(case)
    assert not (case / "out.csv").exists()
    mine(case, normal="x")
    assert ("x", located(20, 30)) in found(case / "out.csv")


def test_maps_that_failed_are_warned_of(case, caplog):
    (case / "maps" / "run.json").write_text(json.dumps({"slides_failed": [{"slide": "gone.tif", "reason": "?"}]}))
    mine(case)
    assert "gone.tif" in caplog.text


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("threshold", "1", "threshold: expected a number in [0, 1), found 1.0; mend it"),
        ("nms_radius_um", "0", "nms_radius_um: expected a positive number of µm, found 0.0; mend it"),
        ("limit_per_slide", "0", "limit_per_slide: expected a positive whole number of rows, found 0; mend it"),
    ],
)
def test_settings_out_of_range(case, flag, value, message):
    with pytest.raises(SystemExit) as caught:
        main(["mine", *arguments(case), f"--{flag}", value])
    assert caught.value.code == f"error: {message}"


def arguments(case):
    return ["--maps", str(case / "maps"), "--truth", str(case / "truth"), "--output", str(case / "out" / "a.csv")]


def test_command_line(case, capsys):
    main(["mine", *arguments(case), "--limit_per_slide", "1", "--threshold", "0.7", "--nms_radius_um", "100"])
    assert capsys.readouterr().out.startswith("2 hard negatives of 2 slides, from 4 false positives in 3 maps")
    assert found(case / "out" / "a.csv") == [("Normal_1", located(3, 4)), ("t", located(150, 20))]
    assert MPP == 0.25
    assert SHAPE == (6_000, 9_050)
