"""Scores by tables of slides and by corrections: what counts, what contradicts, and what is told of it."""

from __future__ import annotations

import csv
import logging
import re
from pathlib import Path

import pytest

from helpers.flat_slide import write_flat_slide
from helpers.made_maps import write_map, write_truth
from helpers.touched import touch
from scripts.errors import InputError
from scripts.report.report import write_report
from scripts.scoring.evaluation import score_folder

NAMES = ("a", "b", "c", "normal_d")
LESION = (slice(50, 70), slice(100, 130))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Maps of four slides, of which ``a`` and ``b`` have a lesion that is found; masks of these two."""
    (tmp_path / "maps").mkdir()
    (tmp_path / "masks").mkdir()
    for name in NAMES:
        write_map(tmp_path / "maps", name, [(0.9, 60, 110)])
        touch(tmp_path, f"slides/{name}.tif")
    for name in "ab":
        write_truth(tmp_path / "masks", name, LESION)
    return tmp_path


def table(place: Path, *lines: str, name: str = "list.csv") -> Path:
    (place / name).write_text("\n".join(lines) + "\n")
    return place / name


def classes(report: dict) -> dict[str, bool]:
    return {row["slide"].removesuffix(".tif"): row["is_tumor"] for row in report["slides"]}


LISTED = (
    "path,label,mask,patient",
    "slides/a.tif,tumor,masks/a.png,P1",
    "slides/b.tif,,masks/b.png,P1",
    "slides/c.tif,Normal,,",
    "slides/normal_d.tif,,,P2",
)


def test_a_table_is_the_truth(place: Path) -> None:
    report = score_folder(place / "maps", None, place / "out", slides=[table(place, *LISTED)])
    assert classes(report) == {"a": True, "b": True, "c": False, "normal_d": False}
    assert (report["num_lesions"], report["corrections"]) == (2, [])
    with open(place / "out" / "slides.csv", newline="") as file:
        assert [(row["patient"], row["correction"]) for row in csv.DictReader(file)] == [
            *(("P1", ""), ("P1", ""), ("", ""), ("P2", ""))
        ]


def test_a_folder_of_truth_counts_before_the_table(place: Path) -> None:
    (place / "truth").mkdir()
    write_truth(place / "truth", "b")  # marks nothing
    report = score_folder(place / "maps", place / "truth", place / "out", slides=[table(place, *LISTED)])
    assert classes(report) == {"a": True, "b": False, "c": False, "normal_d": False}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "slides/a.tif,normal,masks/a.png,",
            r"list.csv, line 2: the slide is Normal, but its truth .*a.png marks tumor",
        ),
        (
            "slides/a.tif,tumor,,",
            r"list.csv, line 2: the slide is Tumor, but .*list.csv has no annotation or mask of a",
        ),
    ],
)
def test_a_label_that_contradicts_the_truth(place: Path, line: str, message: str) -> None:
    listed = table(place, LISTED[0], line, *LISTED[2:])
    with pytest.raises(InputError, match=message):
        score_folder(place / "maps", None, place / "out", slides=[listed])


@pytest.mark.parametrize(
    ("lines", "expected", "told"),
    [
        (["A,remove,blurred"], {"b": True, "c": False, "normal_d": False}, "1 slide removed (a)"),
        (["a.tif,normal,none seen"], {"a": False, "b": True, "c": False, "normal_d": False}, "1 slide counted as n"),
        (["x,remove,"], {"a": True, "b": True, "c": False, "normal_d": False}, "none of its slides is among those"),
    ],
)
def test_corrections_change_the_score(
    place: Path, caplog: pytest.LogCaptureFixture, lines: list[str], expected: dict[str, bool], told: str
) -> None:
    corrections = table(place, "slide,action,reason", *lines, name="corrections.csv")
    with caplog.at_level(logging.WARNING):
        report = score_folder(
            place / "maps", place / "masks", place / "out", "c", slides=[place / "slides"], corrections=corrections
        )
    assert classes(report) == expected
    assert any(told in message for message in caplog.messages)
    assert not [warning for warning in report["warnings"] if "not scored" in warning], "removed on purpose"
    slide, action, reason = lines[0].split(",")
    applied = [] if slide == "x" else [{"slide": "a", "action": action, "reason": reason}]
    assert report["corrections"] == applied
    assert {row["slide"]: row["correction"] for row in report["slides"]}.get("a.tif") == (
        "normal" if action == "normal" else None
    )


def test_a_correction_counts_over_the_label_of_a_table(place: Path) -> None:
    corrections = table(place, "slide,action", "c,tumor", "a,normal", name="corrections.csv")
    listed = table(place, *LISTED)
    with pytest.raises(InputError, match=r"corrections.csv, line 2: the slide is Tumor, but .* has no annotation"):
        score_folder(place / "maps", None, place / "out", slides=[listed], corrections=corrections)
    write_truth(place / "masks", "c", LESION)
    listed = table(place, *LISTED[:3], "slides/c.tif,normal,masks/c.png,", LISTED[4])
    report = score_folder(place / "maps", None, place / "out", slides=[listed], corrections=corrections)
    assert classes(report) == {"a": False, "b": True, "c": True, "normal_d": False}


def test_detections_are_corrected_too(place: Path) -> None:
    (place / "detections").mkdir()
    for name in ("a", "normal_d"):
        (place / "detections" / f"{name}.csv").write_text("0.9,3520,1920\n")
        write_flat_slide(place / "pixels" / f"{name}.tif", (6000, 9050), 0.25)
    corrections = table(place, "slide,action", "normal_d,remove", name="corrections.csv")
    slides = table(place, "path", "pixels/a.tif", "pixels/normal_d.tif")
    report = score_folder(
        *(None, place / "masks", place / "out"),
        detections=place / "detections",
        slides=[slides],
        corrections=corrections,
    )
    assert classes(report) == {"a": True}


def test_the_page_states_corrections(place: Path) -> None:
    corrections = table(place, "slide,action,reason", "a,remove,blurred", name="corrections.csv")
    write_report(place / "maps", place / "out", slides=[table(place, *LISTED)], corrections=corrections)
    page = (place / "out" / "report.html").read_text(encoding="utf-8")
    assert re.search(r"<dt>Corrected label</dt>\s*<dd>a: removed \(blurred\)</dd>", page)
    assert "a.tif" in page, "it is shown, but not scored"
    with pytest.raises(InputError, match="corrections: expected truth, by which slides are scored, found none"):
        write_report(place / "maps", place / "out", corrections=corrections)
