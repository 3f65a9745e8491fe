from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from scripts.annotations.writers import write_asap_xml
from scripts.challenge.acquisition import Download, Verify
from scripts.challenge.layout import Layout
from scripts.errors import FilesFailedError, InputError
from scripts.slides.pyramid import write_pyramid

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
    assert "1 files with other names" in outcome.line
    assert sorted(path.name for path in layout.truth.iterdir()) == ["test_001.xml", "test_002.xml"]


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


def test_a_file_that_cannot_be_copied_is_set_aside(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> str:
        raise FilesFailedError("1 of 9 files could not be downloaded", {"s3://b/images/test_002.tif": "damaged"})

    monkeypatch.setattr("scripts.challenge.acquisition.download_camelyon16", fail)
    outcome = Download(layout, True).run(False)
    assert outcome.set_aside == {"test_002.tif": "damaged"}


def test_slides_are_downloaded_only_where_it_is_asked_for(layout: Layout) -> None:
    assert Download(layout).left_out() == "download is false: the slides are there"
    assert Download(layout, True).left_out() is None
    Download(layout, True).clear()
    assert (layout.root / "images" / "test_001.tif").exists(), "700 GB are not removed by --from"


def test_a_subset_is_chosen_from_what_the_bucket_has(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"images": [f"images/test_{n:03d}.tif" for n in range(1, 9)], "annotations": ["annotations/test_002.xml"]}
    monkeypatch.setattr("scripts.challenge.acquisition.list_names", lambda source, endpoint: names)
    assert Download(layout, True).chosen() == "all"
    first, second = Download(layout, True, subset=1).chosen().split(",")
    assert (first == "test_002") != (second == "test_002")
