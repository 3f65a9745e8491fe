"""The script for QuPath: Groovy runs it, with stand-ins for QuPath's objects, and our readers take what it writes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.verdict_marks import found_marks
from scripts import bundle_root
from scripts.annotations.verdict_files import VerdictFile
from scripts.annotations.verdicts import CLASSES, read_verdicts

pytestmark = pytest.mark.integration

SCRIPT = Path(bundle_root()) / "templates" / "qupath" / "verdicts.groovy"
STAND_INS = Path(__file__).parents[1] / "helpers" / "qupath"


def test_classes_and_colors_are_those_of_the_package() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    colors = {name: tuple(map(int, rgb)) for name, *rgb in re.findall(r'"([\w ]+)": \[(\d+), (\d+), (\d+)\]', text)}
    assert colors == dict(CLASSES.values())
    verdicts = dict(re.findall(r'"([A-Z][\w ]+)": "(\w+)"', text))
    assert verdicts == {name: verdict for verdict, (name, _) in CLASSES.items() if verdict is not None}


def test_groovy_runs_the_script(tmp_path: Path) -> None:
    """Loaded, judged and saved, while a review wrote other verdicts: what `drive.groovy` does."""
    groovy, java = shutil.which("groovy"), shutil.which("java")
    if groovy is None or java is None:
        pytest.skip("the command groovy is not installed; Debian's package groovy has it")
    path = tmp_path / "a.geojson"
    VerdictFile(path, "A").begin(found_marks())
    command = [groovy, "-cp", str(STAND_INS), str(STAND_INS / "drive.groovy"), str(SCRIPT), str(tmp_path)]
    environment = os.environ | {"JAVA_HOME": str(Path(java).resolve().parents[1])}
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.splitlines()[-3:] == [
        "a.geojson: 5 objects saved",
        f"none.tif: no file in {tmp_path}, left as it is",
        "1 file: save is done",
    ]
    marks = {mark.id: mark for mark in read_verdicts(path)}
    assert set(marks) == {"d1", "d3", "l1", "later", "new"}, "one was deleted, one drawn, and one came in the meantime"
    assert (marks["d1"].verdict, marks["d1"].reviewer) == ("tumor", "meantime"), "what QuPath did not change stays"
    assert (marks["d3"].verdict, marks["d3"].probability, marks["d3"].source) == ("not_tumor", 0.7, "detection")
    assert marks["d3"].when is not None
    assert marks["d3"].when.endswith("Z")
    assert marks["l1"].geometry["coordinates"][0][1] == [450, 20]
    assert (marks["l1"].verdict, marks["l1"].source) == (None, "outline")
    assert (marks["new"].verdict, marks["new"].source, marks["new"].weights_sha256) == ("tumor", "drawn", None)

    merged = VerdictFile(path, "B")  # a review goes on with it
    assert {mark.id: mark.verdict for mark in merged.marks} == {mark.id: mark.verdict for mark in marks.values()}
    assert [mark.name for mark in tmp_path.iterdir() if mark.suffix == ".tmp"] == []
