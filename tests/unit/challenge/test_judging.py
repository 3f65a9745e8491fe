from __future__ import annotations

import json

import numpy as np
import pytest

from helpers.made_maps import write_map
from scripts.annotations.writers import write_asap_xml
from scripts.challenge.judging import Froc, Report
from scripts.challenge.layout import Layout
from scripts.errors import InputError
from unit.challenge.conftest import NAMES


def test_maps_are_scored_as_the_challenge_does_and_shown_beside_published_scores(layout: Layout) -> None:
    """One lesion that is found, one normal slide with an exclusion, one without annotation, one map of an older run."""
    outline = np.array([(640.0, 640.0), (640.0, 1920.0), (1920.0, 1920.0), (1920.0, 640.0)])
    write_asap_xml(layout.truth / "test_001.xml", [outline])
    write_asap_xml(layout.truth / "test_002.xml", [], [outline])
    maps = layout.folder("infer")
    maps.mkdir()
    for name in (*NAMES, "test_009"):
        write_map(maps, name, [(0.9, 40, 40)] if name == "test_001" else [])
    outcome = Froc(layout, num_resamples=0).run(False)
    assert "FROC score 1.0000 (3 slides, 1 with tumor, 1 lesion" in outcome.line
    Report(layout, num_resamples=0, subset=3).run(False)
    page = (layout.folder("report") / "report.html").read_text()
    assert "Parts of the slides" not in page
    for words in ("Beside published scores", "PFA-ScanNet", "0.902", "A subset of 3 slides", "1 lesion on 3 slides"):
        assert words in page


def write_found_lesion(layout: Layout) -> None:
    """An outline in the first slide, and maps of all: the first has its peak in the outline, the others have none."""
    outline = np.array([(640.0, 640.0), (640.0, 1920.0), (1920.0, 1920.0), (1920.0, 640.0)])
    write_asap_xml(layout.truth / "test_001.xml", [outline])
    maps = layout.folder("infer")
    maps.mkdir()
    for name in NAMES:
        write_map(maps, name, [(0.9, 40, 40)] if name == "test_001" else [])


def test_the_reference_table_says_which_slides_hold_tumor(layout: Layout) -> None:
    write_found_lesion(layout)
    table = layout.root / "reference.csv"
    table.write_text("test_001,Tumor,IDC,Micro\ntest_002,Normal,DCIS,None\ntest_003,Normal,IDC,None\n")
    assert table in Froc(layout).inputs()
    assert "(3 slides, 1 with tumor, 1 lesion" in Froc(layout, num_resamples=0).run(False).line
    settings = json.loads((layout.folder("froc") / "froc.json").read_text())["settings"]
    assert (settings["protocol"], settings["mpp"]) == ("camelyon16", 0.243)
    Report(layout, num_resamples=0).run(False)
    assert "Parts of the slides" in (layout.folder("report") / "report.html").read_text()
    table.write_text("test_001,Tumor,IDC,Micro\ntest_002,Normal,DCIS,None\ntest_003,Tumor,IDC,Micro\n")
    with pytest.raises(InputError, match=r"reference\.csv, row 3: the slide is Tumor, but .* no annotation or mask of"):
        Froc(layout, num_resamples=0).run(False)


def test_the_centers_of_a_second_table_have_scores_of_their_own(layout: Layout) -> None:
    """Names of test slides say no center, so a table has to."""
    write_found_lesion(layout)
    table, centers = layout.root / "reference.csv", layout.root / "centers.csv"
    table.write_text("test_001,Tumor,IDC,Micro\ntest_002,Normal,DCIS,None\ntest_003,Normal,IDC,None\n")
    assert "Radboud" not in Froc(layout, num_resamples=0).run(False).line
    centers.write_text("slide,center\ntest_001,Radboud\ntest_002,Radboud\ntest_003,Utrecht\n")
    tables = [str(table), str(centers)]
    line = Froc(layout, num_resamples=0, reference=tables).run(False).line
    assert "Radboud (2 slides, 1 with tumor): FROC score 1.0000, AUC 1.0000" in line
    assert "Utrecht (1 slide, 0 with tumor): -" in line
    Report(layout, num_resamples=0, reference=tables).run(False)
    page = (layout.folder("report") / "report.html").read_text()
    for word in ("Parts of the slides", "Radboud", "Utrecht"):
        assert word in page


def test_without_a_lesion_the_slides_are_scored_and_shown(layout: Layout) -> None:
    """The only tumor is a few isolated cells."""
    cells = np.array([(1000.0, 1000.0), (1000.0, 1200.0), (1200.0, 1200.0), (1200.0, 1000.0)])  # 49 µm
    write_asap_xml(layout.truth / "test_001.xml", [cells])
    maps = layout.folder("infer")
    maps.mkdir()
    for name in NAMES:
        write_map(maps, name, [(0.9, 40, 40)] if name == "test_001" else [])
    line = "No test slide has a lesion above isolated tumor cells, so there is no FROC score; slide AUC 1.0000."
    assert Froc(layout, num_resamples=0).run(False).line == line
    Report(layout, num_resamples=0).run(False)
    page = (layout.folder("report") / "report.html").read_text()
    assert line in page
    assert "Beside published scores" not in page


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        ("test_01", "exclude: expected names of test slides such as test_001, found 'test_01'"),
        ("tumor_001", "found 'tumor_001'"),
        ("test_001,test_004", "exclude: 'test_004' is no slide in"),
    ],
)
def test_names_to_leave_out_are_checked_before_anything_is_computed(layout: Layout, exclude: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Froc(layout, exclude=exclude).check()
    Froc(layout, exclude="Test_001, camelyon16").check()


def test_a_slide_to_leave_out_that_was_set_aside_is_no_error(layout: Layout) -> None:
    outline = np.array([(640.0, 640.0), (640.0, 1920.0), (1920.0, 1920.0), (1920.0, 640.0)])
    write_asap_xml(layout.truth / "test_001.xml", [outline])
    maps = layout.folder("infer")
    maps.mkdir()
    for name in NAMES[:2]:
        write_map(maps, name, [(0.9, 40, 40)] if name == "test_001" else [])
    assert "(2 slides, 1 with tumor" in Froc(layout, num_resamples=0, exclude="test_003").run(False).line
