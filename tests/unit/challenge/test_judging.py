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
    assert "FROC score 1.0000 (3 slides, 1 with tumor, 1 lesions" in outcome.line
    Report(layout, num_resamples=0, subset=3).run(False)
    page = (layout.folder("report") / "report.html").read_text()
    assert "Parts of the slides" not in page
    for words in ("Beside published scores", "PFA-ScanNet", "0.902", "A subset of 3 slides", "1 lesions on 3 slides"):
        assert words in page


def test_the_reference_table_says_which_slides_hold_tumor(layout: Layout) -> None:
    outline = np.array([(640.0, 640.0), (640.0, 1920.0), (1920.0, 1920.0), (1920.0, 640.0)])
    write_asap_xml(layout.truth / "test_001.xml", [outline])
    maps = layout.folder("infer")
    maps.mkdir()
    for name in NAMES:
        write_map(maps, name, [(0.9, 40, 40)] if name == "test_001" else [])
    table = layout.root / "reference.csv"
    table.write_text("test_001,Tumor,IDC,Micro\ntest_002,Normal,DCIS,None\ntest_003,Normal,IDC,None\n")
    assert table in Froc(layout).inputs()
    assert "(3 slides, 1 with tumor, 1 lesions" in Froc(layout, num_resamples=0).run(False).line
    settings = json.loads((layout.folder("froc") / "froc.json").read_text())["settings"]
    assert (settings["protocol"], settings["mpp"]) == ("camelyon16", 0.243)
    Report(layout, num_resamples=0).run(False)
    assert "Parts of the slides" in (layout.folder("report") / "report.html").read_text()
    table.write_text("test_001,Tumor,IDC,Micro\ntest_002,Normal,DCIS,None\ntest_003,Tumor,IDC,Micro\n")
    with pytest.raises(InputError, match=r"reference\.csv, row 3: the slide is Tumor, but .* no annotation or mask of"):
        Froc(layout, num_resamples=0).run(False)
