from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.made_maps import write_map
from scripts.annotations.writers import write_asap_xml
from scripts.challenge.cohort import make_member, members_content
from scripts.challenge.judging import Foreground, Froc, Infer, Report
from scripts.challenge.layout import COHORT, Layout
from scripts.errors import FilesFailedError, InputError
from scripts.files import write_json

NAMES = ("test_001", "test_002", "test_003")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(str(tmp_path / "root"), str(tmp_path / "output"), "shipped")
    layout.root.mkdir()
    for name in NAMES:
        (layout.root / f"{name}.tif").touch()
    members = [make_member(f"{name}.tif", ["test_001"]) for name in NAMES]
    layout.truth.mkdir(parents=True)
    write_json(layout.folder("verify") / COHORT, members_content([member for member in members if member], {}))
    return layout


def test_foreground_goes_on_after_the_slides_that_are_done(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def write(slides: list[Path], output: Path, *arguments: object) -> None:
        asked.append([path.stem for path in slides])

    monkeypatch.setattr("scripts.challenge.judging.write_foregrounds", write)
    stage = Foreground(layout)
    stage.folder.mkdir()
    (stage.folder / "test_002_overlay.jpg").touch()
    stage.run(True)
    stage.run(False)
    assert asked == [["test_001", "test_003"], list(NAMES)]


def test_foreground_takes_only_settings_that_there_are(layout: Layout) -> None:
    assert Foreground(layout, foreground={"min_value": 0.2}).settings()["min_value"] == 0.2
    with pytest.raises(InputError, match=r"foreground: expected saturation, .*found 'min_brightness'"):
        Foreground(layout, foreground={"min_brightness": 0.2}).check()


@pytest.mark.parametrize("stage", [Foreground, Infer])
@pytest.mark.parametrize("failing", [1, 3])
def test_bad_slides_are_set_aside_unless_all_are(
    layout: Layout, stage: type[Foreground] | type[Infer], failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = {str(layout.root / f"{name}.tif"): "its tile is damaged" for name in NAMES[:failing]}

    def fail(*arguments: object) -> None:
        try:
            raise FilesFailedError("some slides failed", reasons)
        except InputError as error:
            raise RuntimeError("Failed to evaluate $@probability_maps.finish()") from error

    def fail_plainly(*arguments: object) -> None:
        raise FilesFailedError("some slides failed", reasons)

    monkeypatch.setattr("scripts.challenge.judging.run_bundle", fail)
    monkeypatch.setattr("scripts.challenge.judging.write_foregrounds", fail_plainly)
    masks = layout.folder("foreground")
    masks.mkdir()
    for name in NAMES:
        (masks / f"{name}.png").touch()
    if failing == 3:
        with pytest.raises((InputError, RuntimeError)):
            stage(layout).run(False)
        return
    assert stage(layout).run(False).set_aside == {"test_001.tif": "its tile is damaged"}


def test_inference_takes_the_slides_that_have_a_mask(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("scripts.challenge.judging.run_bundle", lambda run, config, ids, overlays: given.update(ids))
    masks = layout.folder("foreground")
    masks.mkdir()
    (masks / "test_002.png").touch()
    Infer(layout, 32, inference={"tta": True}).run(False)
    assert given["slides"] == [str(layout.root / "test_002.tif")]
    assert (given["stride"], given["tta"], given["foreground_dir"]) == (32, True, str(masks))
    assert given["weights"].endswith("model.pt")


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
