"""Verdicts as rows to train on: rejected detections are normal, confirmed and drawn ones are tumor."""

from __future__ import annotations

import json

import pytest

from helpers.made_maps import MPP, STRIDE, write_map
from helpers.verdict_marks import as_qupath_writes
from scripts.annotations.verdict_files import VerdictFile
from scripts.cli.main import main
from scripts.errors import InputError
from scripts.labels.judged import mine_verdicts
from scripts.labels.loclabel import read_loclabels
from scripts.labels.mining import mine_hard_negatives
from scripts.maps.files import read_map, read_map_infos
from scripts.maps.findings import FindingSettings, find_lesions
from scripts.maps.verdict_marks import finding_marks

POINTS = [(0.95, 60, 200), (0.9, 150, 20), (0.85, 100, 100), (0.8, 30, 30), (0.7, 170, 250)]
ORIGIN = (320, 64)
DRAWN = {"type": "Polygon", "coordinates": [[[5000, 1500], [5600, 1500], [5600, 1900], [5000, 1900]]]}


def _center(number: int) -> tuple[int, int]:
    _, row, col = POINTS[number - 1]
    return row * STRIDE + STRIDE // 2, col * STRIDE + STRIDE // 2


@pytest.fixture
def case(tmp_path):
    """Slide a is judged, its third detection unsure and its fifth not judged; slide b too; nobody looked at c."""
    (tmp_path / "maps").mkdir()
    (tmp_path / "verdicts").mkdir()
    for name, points in (("a", POINTS), ("b", [(0.6, 80, 90)]), ("c", [(0.9, 20, 20)])):
        write_map(tmp_path / "maps", name, points, changes={"bounds_origin": list(ORIGIN)})
    files = {}
    for info in read_map_infos(tmp_path / "maps")[:2]:
        files[info.name] = VerdictFile(tmp_path / "verdicts" / f"{info.name}.geojson", "A", ORIGIN)
        files[info.name].begin(finding_marks(find_lesions(read_map(info), info, FindingSettings(0.5, 187.0, 0.0))))
    by_name = {mark.name: mark.id for mark in files["a"].marks if mark.is_detection}
    for number, verdict in ((1, "tumor"), (2, "not_tumor"), (3, "unsure"), (4, "not_tumor")):
        files["a"].judge(by_name[f"Detection {number}"], verdict)
    files["a"].add(DRAWN)
    files["b"].judge(files["b"].marks[0].id, "not_tumor")
    return tmp_path


def _rows(path):
    return [(item["name"], item["center"], int(item["label"][0, 1, 1])) for item in read_loclabels(path)]


@pytest.mark.parametrize("by", ["review", "QuPath"])
def test_rejected_ones_come_first_then_tumor(case, by):
    if by == "QuPath":  # which drops all but places, names and classes
        for path in (case / "verdicts").glob("*.geojson"):
            path.write_text(json.dumps(as_qupath_writes(json.loads(path.read_text(encoding="utf-8")))))
    summary = mine_verdicts(case / "maps", case / "verdicts", case / "out.csv")
    rows = _rows(case / "out.csv")
    rejected, of_tumor = rows[:3], rows[3:]
    assert sorted(rejected) == sorted(
        [("a", _center(2), 0), ("a", _center(4), 0), ("b", (80 * 32 + 16, 90 * 32 + 16), 0)]
    )
    assert {rejected[0][0], rejected[1][0]} == {"a", "b"}, "the strongest of each slide come first"
    assert ("a", _center(1), 1) in of_tumor
    assert any(1500 <= row < 1900 and 5000 <= col < 5600 for _, (row, col), _ in of_tumor), "what was drawn"
    assert {label for _, _, label in of_tumor} == {1}
    num_tumor = 2 if by == "review" else 3  # who does not know the sources takes the confirmed outline for drawn
    assert str(summary) == (
        f"3 hard negatives and {num_tumor} regions of tumor of 2 slides; "
        "2 detections are not judged or unsure, 0 known before"
    )


def test_cells_around_are_labelled_by_the_outlines(case):
    mine_verdicts(case / "maps", case / "verdicts", case / "out.csv")
    (item,) = [item for item in read_loclabels(case / "out.csv") if item["center"][0] in range(1500, 1900)]
    row, col = item["center"]
    cell = 256 * 0.243 / MPP if abs(MPP / 0.243 - 1) > 0.1 else 256
    for i in range(3):
        for j in range(3):
            inside = 1500 <= row + (i - 1) * cell < 1900 and 5000 <= col + (j - 1) * cell < 5600
            assert item["label"][0, i, j] == inside


def test_known_places_and_a_limit(case):
    mine_verdicts(case / "maps", case / "verdicts", case / "one.csv", limit_per_slide=1)
    assert [center for name, center, label in _rows(case / "one.csv") if label == 0 and name == "a"] == [_center(2)]
    summary = mine_verdicts(case / "maps", case / "verdicts", case / "two.csv", append=case / "one.csv")
    assert (summary.num_negatives, summary.num_tumor, summary.num_known) == (1, 1, 3)
    assert sorted(_rows(case / "two.csv")) == sorted(_all(case))


def _all(case):
    mine_verdicts(case / "maps", case / "verdicts", case / "all.csv")
    return _rows(case / "all.csv")


def test_a_rejected_place_in_an_outline_of_tumor_is_in_doubt(case, caplog):
    file = VerdictFile(case / "verdicts" / "a.geojson", "A", ORIGIN)
    row, col = _center(2)
    ring = [[col - 90, row - 90], [col + 90, row - 90], [col, row + 90]]
    file.add({"type": "Polygon", "coordinates": [ring]})
    mine_verdicts(case / "maps", case / "verdicts", case / "out.csv")
    assert ("a", _center(2), 0) not in _rows(case / "out.csv")
    assert "a.geojson: rejected detections in outlines of tumor: 1, first 'Detection 2'; left out" in caplog.text


def test_the_folder_as_truth_passes_over_what_is_not_decided(case):
    """``--truth`` mines what lies outside of tumor; of the undecided nobody knows where that is."""
    for name in ("c", "b"):
        (case / "maps" / f"{name}.npy").unlink()
    mine_hard_negatives(case / "maps", case / "verdicts", case / "out.csv", nms_radius_um=187.0)
    assert _rows(case / "out.csv") == [("a", _center(2), 0), ("a", _center(4), 0)]


def test_nothing_judged_is_told(case):
    for path in (case / "verdicts").glob("a.*"):
        path.unlink()
    (case / "maps" / "b.npy").unlink()
    with pytest.raises(InputError, match=r"verdicts: no detection of the 2 maps in .* was confirmed or rejected there"):
        mine_verdicts(case / "maps", case / "verdicts", case / "out.csv")
    assert not (case / "out.csv").exists()


@pytest.mark.parametrize("given", [[], ["--truth", "t", "--verdicts", "v"]])
def test_the_command_takes_one_of_truth_and_verdicts(case, given):
    with pytest.raises(
        SystemExit, match="error: mine needs one of --truth, a folder of truth, and --verdicts, the folder"
    ):
        main(["mine", "--maps", str(case / "maps"), "--output", str(case / "o.csv"), *given])


def test_the_command_takes_a_folder_of_verdicts(case, capsys):
    folders = ["--maps", str(case / "maps"), "--verdicts", str(case / "verdicts")]
    main(["mine", *folders, "--output", str(case / "o.csv"), "--limit_per_slide", "1"])
    assert capsys.readouterr().out.startswith("2 hard negatives and 1 region of tumor of 2 slides; 2 detections")
