from __future__ import annotations

import faulthandler
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.annotations.writers import write_asap_xml
from scripts.challenge import checking
from scripts.challenge.acquisition import Download
from scripts.challenge.challenge import Challenge
from scripts.challenge.layout import Layout
from scripts.challenge.verification import Verify
from scripts.errors import InputError
from scripts.slides.pyramid import write_pyramid
from scripts.slides.slide import open_slide

OUTLINE = np.array([(20.0, 30.0), (20.0, 90.0), (70.0, 90.0)])


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Training slides of two kinds, test slides with tumor, with an exclusion alone, and without annotation."""
    root = tmp_path / "root"
    for name in ("tumor_001", "tumor_002", "normal_001", "test_001", "test_002", "test_003", "other"):
        (root / "images").mkdir(parents=True, exist_ok=True)
        write_pyramid(root / "images" / f"{name}.tif", np.full((131, 203, 3), (200, 120, 180), dtype=np.uint8), 0.243)
    (root / "annotations").mkdir()
    for name in ("tumor_001", "test_001"):
        write_asap_xml(root / "annotations" / f"{name}.xml", [OUTLINE])
    write_asap_xml(root / "annotations" / "test_002.xml", [], [OUTLINE])
    return Layout(str(root), str(tmp_path / "output"))


def test_slides_are_told_apart_and_bad_ones_set_aside(layout: Layout) -> None:
    path = layout.root / "images" / "test_003.tif"
    os.truncate(path, path.stat().st_size - 9)
    outcome = Verify(layout).run(False)
    assert set(outcome.set_aside) == {"test_003.tif", "tumor_002.tif"}
    assert "truncated" in outcome.set_aside["test_003.tif"]
    assert "no annotation of tumor_002" in outcome.set_aside["tumor_002.tif"]
    assert [(member.name, member.is_tumor) for member in layout.members("test")] == [
        ("test_001", True),
        ("test_002", False),
    ]
    assert [member.name for member in layout.members("training")] == ["normal_001", "tumor_001"]
    assert "4 slides (1 training, tumor, 1 training, normal, 1 test, tumor, 1 test, normal)" in outcome.line
    assert "1 file is by name no slide of the challenge" in outcome.line
    assert sorted(path.name for path in layout.truth.iterdir()) == ["test_001.xml", "test_002.xml"]


def test_a_slide_that_ends_the_process_that_decodes_it_is_set_aside(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_or_die(path: Path, backend: str) -> Any:
        if path.stem == "test_003":
            faulthandler.disable()
            os.kill(os.getpid(), signal.SIGSEGV)
        return open_slide(path, backend)

    monkeypatch.setattr(checking, "open_slide", open_or_die)
    outcome = Verify(layout).run(False)
    assert "ended by SIGSEGV" in outcome.set_aside["test_003.tif"]
    assert [member.name for member in layout.members("test")] == ["test_001", "test_002"]


def test_with_weights_only_test_slides_are_looked_at(layout: Layout) -> None:
    layout.given_weights = "shipped"
    assert not Verify(layout).run(False).set_aside
    assert layout.members("training") == []


def test_a_subset_is_looked_at_alone(layout: Layout) -> None:
    layout.given_weights = "shipped"
    assert "2 slides (1 test, tumor, 1 test, normal), a subset of 1 of each kind" in Verify(layout, 1).run(False).line


def test_without_a_usable_test_slide_the_run_ends(layout: Layout) -> None:
    for path in (layout.root / "images").glob("test_*"):
        path.write_bytes(b"II*\0nothing")
    with pytest.raises(InputError, match=r"expected usable test slides, found none; first: .*test_001\.tif"):
        Verify(layout).run(False)


def test_a_missing_root_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"root .*missing: no such folder; give the data set's, or --download true"):
        Verify(Layout(str(tmp_path / "missing"), str(tmp_path))).inputs()


def write_table(layout: Layout, *rows: str) -> Path:
    path = layout.root / "reference.csv"
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


ROWS = ("test_001,Tumor,IDC,Micro", "test_002,Normal,DCIS,None", "test_003,Normal,DCIS,None")


def test_the_reference_table_tells_the_classes(layout: Layout) -> None:
    write_table(layout, *ROWS)
    outcome = Verify(layout).run(False)
    assert [member.is_tumor for member in layout.members("test")] == [True, False, False]
    assert "classes of test slides by" in outcome.line


def test_a_slide_of_the_table_that_is_missing_is_set_aside_with_its_row(layout: Layout) -> None:
    write_table(layout, *ROWS, "test_004,Normal,DCIS,None")
    assert (
        Verify(layout)
        .run(False)
        .set_aside["test_004"]
        .endswith(f"reference.csv, row 4: the slide test_004 is not in {layout.root}; add it, or remove the row")
    )
    assert "test_004" not in Verify(layout, 1).run(False).set_aside, "a subset needs no others"


def test_a_tumor_slide_without_annotation_is_set_aside_with_its_row(layout: Layout) -> None:
    write_table(layout, *ROWS[:2], "test_003,Tumor,None,Micro")
    outcome = Verify(layout).run(False)
    assert "row 3: the slide test_003 is Tumor, but" in outcome.set_aside["test_003"]
    assert "test_003" not in {member.name for member in layout.members("test")}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ("test_001,Normal,DCIS,None", *ROWS[1:]),
            r"row 1: the slide is Normal, but its truth .*test_001\.xml marks tum",
        ),
        ((ROWS[0], "test_002,Tumor,None,Micro", ROWS[2]), r"row 2: the slide is Tumor, but its truth .*marks none"),
    ],
)
def test_a_table_that_contradicts_an_annotation_ends_the_run_with_its_row(
    layout: Layout, rows: tuple[str, ...], message: str
) -> None:
    write_table(layout, *rows)
    with pytest.raises(InputError, match=message):
        Verify(layout).run(False)


def test_a_table_with_unknown_columns_ends_the_run(layout: Layout) -> None:
    write_table(layout, "slide,class,colour", "test_001,Tumor,red")
    with pytest.raises(InputError, match=r"reference\.csv, row 1: unknown column 'colour'"):
        Verify(layout).run(False)


def test_a_table_is_found_named_or_refused(layout: Layout) -> None:
    assert Verify(layout).tables() == []
    path = write_table(layout, *ROWS)
    assert Verify(layout).tables() == [path]
    (layout.root / "evaluation").mkdir()
    (layout.root / "evaluation" / "reference.csv").touch()
    with pytest.raises(InputError, match="expected one reference table; name it with --reference"):
        Verify(layout).tables()
    assert Verify(layout, reference=str(path)).tables() == [path]
    with pytest.raises(InputError, match="no such file; give the challenge's table"):
        Verify(layout, reference="missing.csv").tables()


def test_a_second_table_adds_what_the_first_does_not_say(layout: Layout, tmp_path: Path) -> None:
    first = write_table(layout, *ROWS)
    second = tmp_path / "centers.csv"
    second.write_text("slide,center\ntest_001,Radboud\ntest_004,Utrecht\n")
    stage = Verify(layout, reference=[str(first), str(second)])
    assert {first, second} <= set(stage.inputs())
    outcome = stage.run(False)
    assert f"classes of test slides by {first} and {second}" in outcome.line
    assert [member.is_tumor for member in layout.members("test")] == [True, False, False]
    assert "centers.csv, row 3: the slide test_004 is not in" in outcome.set_aside["test_004"]


def test_corrected_labels_remove_slides_and_stand_over_the_table(layout: Layout) -> None:
    write_table(layout, "test_001,Normal,IDC,None", *ROWS[1:])
    layout.corrections = layout.root / "corrections.csv"
    layout.corrections.write_text(
        "slide,action,reason\ntest_001,tumor,seen again\ntest_003,remove,damaged glass\ntumor_002,normal,no tumor\n"
    )
    stage = Verify(layout)
    assert layout.corrections in stage.inputs()
    assert not stage.run(False).set_aside
    assert [(member.name, member.is_tumor) for member in layout.members("test")] == [
        ("test_001", True),
        ("test_002", False),
    ]
    assert {member.name: member.is_tumor for member in layout.members("training")}["tumor_002"] is False


@pytest.mark.parametrize("plan", [False, True])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"subset": 0}, "subset: expected a whole number of slides of each kind, found 0; mend it"),
        ({"subset": "abc"}, "subset: expected a whole number of slides of each kind, found 'abc'; mend it"),
        ({"backend": "foo"}, "backend must be one of auto, cucim, openslide, but got 'foo'"),
    ],
    ids=["no slide", "text", "backend"],
)
def test_wrong_settings_are_refused_before_a_slide_is_copied(
    layout: Layout, settings: dict[str, Any], message: str, plan: bool
) -> None:
    """Not told of each slide, nor as a warning beside a plan."""
    with pytest.raises(InputError, match=f"^{message}"):
        Challenge(layout, [Download(layout, True, "s3://none"), Verify(layout, **settings)], plan).run()


def test_a_wrong_file_of_corrections_is_refused_before_a_slide_is_copied(layout: Layout, tmp_path: Path) -> None:
    layout.corrections = str(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        Verify(layout).check()


def test_a_root_without_slides_says_how_to_get_them(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    layout = Layout(str(tmp_path / "root"), str(tmp_path / "output"))
    with pytest.raises(InputError, match=r"root: no slides found; copy the data set there, or give --download true"):
        Challenge(layout, [Verify(layout)], plan=True).run()


@pytest.mark.parametrize("name", ["test_001", "tumor_001"])
def test_a_slide_whose_annotation_is_damaged_is_set_aside(layout: Layout, name: str) -> None:
    path = layout.root / "annotations" / f"{name}.xml"
    path.write_text(path.read_text()[:-20])
    found = Verify(layout).run(False).set_aside
    (reason,) = [reason for slide, reason in found.items() if slide.startswith(name)]
    assert str(path) in reason
    assert name not in {member.name for part in ("training", "test") for member in layout.members(part)}
    assert len(layout.members("test")) == (2 if name == "test_001" else 3)
