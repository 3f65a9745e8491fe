from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.deadly_slide import DeadlySlides
from helpers.review_cohort import SHAPE, STRIDE, write_cohort
from scripts.errors import InputError
from scripts.quality.classes import Artifact
from scripts.quality.files import encode_artifacts, write_artifacts
from scripts.review.reading import SlideReaders
from scripts.review.run import start_session
from scripts.review.session import Session
from scripts.review.tiles import encode_jpeg
from scripts.scoring.settings import ScoreSettings
from scripts.slides.slide import open_slide


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    peaks = {"test_1": 0.9, "b": 0.7, "c": 0.3, "other": 0.2}
    folder = write_cohort(tmp_path_factory.mktemp("review") / "all", peaks, without_pixels="b")
    (folder / "slides" / "c.tif").write_text("no slide")
    sidecar = folder / "maps" / "other.json"  # another slide's map, of as many map pixels
    sidecar.write_text(sidecar.read_text().replace("[901, 1302]", "[910, 1302]"))
    return folder


@pytest.fixture
def session(folder: Path, tmp_path: Path) -> Iterator[Session]:
    scoring = ScoreSettings(nms_radius_um=200)
    session = start_session(folder / "maps", [folder / "slides"], tmp_path / "verdicts", folder / "truth", scoring)
    yield session
    session.close()


NUMBERS = {"b": 0, "c": 1, "other": 2, "test_1": 3}


def test_tiles_are_those_of_the_slide(session: Session, folder: Path) -> None:
    with open_slide(folder / "slides" / "test_1.tif") as slide:
        expected = encode_jpeg(slide.read_region((256, 512), (256, 256), 1))
        assert session.tile(NUMBERS["test_1"], 1, 1, 2) == encode_jpeg(slide.read_overview(1)[256:512, 512:768])
        assert expected == session.tile(NUMBERS["test_1"], 1, 1, 2)


def test_what_the_page_needs_of_a_slide(session: Session) -> None:
    found = session.describe(NUMBERS["test_1"])
    assert (found["height"], found["width"]) == SHAPE
    assert found["fault"] == ""
    assert found["map"] == {"stride": STRIDE, "tile_side": 512, "shape": (57, 82)}
    first = found["marks"][0]
    assert (first["source"], first["prob"], first["x"], first["y"]) == ("detection", 0.9, 50 * 16 + 8, 20 * 16 + 8)
    outline = next(mark for mark in found["marks"] if mark["rings"])
    (ring,) = outline["rings"]
    assert sorted(map(tuple, ring[:-1])) == sorted((x * 16, y * 16) for x in (50, 74) for y in (20, 40))
    (truth,) = found["truth"]
    assert sorted(map(tuple, truth)) == sorted(map(tuple, ring[:-1]))


def test_detections_in_an_artifact_say_so(tmp_path: Path) -> None:
    folder = write_cohort(tmp_path / "all", {"one": 0.9, "two": 0.9})
    classes = np.zeros((57, 82), np.uint8)
    classes[20:40, 50:74] = Artifact.PEN
    write_artifacts(folder / "maps" / "one_artifacts.png", encode_artifacts(classes))
    write_artifacts(folder / "maps" / "two_artifacts.png", encode_artifacts(classes[1:]))
    session = start_session(folder / "maps", [folder / "slides"], tmp_path / "out", None, ScoreSettings(200))
    try:
        names = [mark["name"] for mark in session.describe(0)["marks"] if mark["source"] == "detection"]
        assert (names[0], names[-1]) == ("Detection 1, in pen", f"Detection {len(names)}")
        with pytest.raises(InputError, match=r"two_artifacts\.png: expected an artifact mask of shape"):
            session.describe(1)
    finally:
        session.close()


@pytest.mark.parametrize(("name", "reason"), [("b", "not among --slides"), ("c", "c.tif"), ("other", "910 x 1302")])
def test_slides_without_pixels_say_why(session: Session, name: str, reason: str) -> None:
    found = session.describe(NUMBERS[name])
    assert reason in found["fault"]
    assert found["map"]["shape"] == (57, 82)
    for ask in (lambda: session.tile(NUMBERS[name], 1, 0, 0), lambda: session.thumbnail(NUMBERS[name])):
        with pytest.raises(InputError, match=reason):
            ask()
    assert session.map_tile(NUMBERS[name], 0, 0, 0, 0.1).startswith(b"\x89PNG")


@pytest.mark.parametrize("number", [-1, 4, 1000])
def test_other_slides_are_refused(session: Session, number: int) -> None:
    for ask in (session.describe, session.thumbnail, session.version):
        with pytest.raises(InputError, match="no slide"):
            ask(number)


def test_thumbnail_is_the_whole_slide(session: Session) -> None:
    with Image.open(io.BytesIO(session.thumbnail(NUMBERS["test_1"]))) as picture:
        found = np.asarray(picture).astype(int)
    assert found.shape == (133, 192, 3)
    assert found[2, 2].min() > 230
    assert found[66, 96].max() < 200


def test_worklist_is_by_suspicion(session: Session) -> None:
    rows = session.worklist()
    assert [row["name"] for row in rows] == ["test_1", "b", "c", "other"]
    assert rows[0]["truth"] == "tumor"
    assert [row["has_pixels"] for row in rows] == [True, False, True, True]


def test_version_changes_with_the_slide(session: Session, folder: Path) -> None:
    before = session.version(NUMBERS["test_1"])
    assert session.version(NUMBERS["test_1"]) == before
    assert session.version(NUMBERS["b"]) != before
    os.utime(folder / "slides" / "test_1.tif", (1, 1))
    assert session.version(NUMBERS["test_1"]) != before


@pytest.mark.parametrize("gone", ["maps/one.npy", "slides/one.tif"])
def test_a_file_that_goes_away_leaves_the_other_slides(tmp_path: Path, gone: str) -> None:
    folder = write_cohort(tmp_path / "all", {"one": 0.9, "two": 0.7})
    session = start_session(folder / "maps", [folder / "slides"], tmp_path / "out", None, ScoreSettings())
    try:
        before = session.version(0)
        (folder / gone).unlink()
        assert [row["name"] for row in session.worklist()] == ["one", "two"]
        assert session.version(0) != before
        assert session.describe(1)["fault"] == ""
        if gone.startswith("slides"):
            assert "one.tif" in session.describe(0)["fault"]
        else:
            with pytest.raises(InputError, match=r"one\.npy"):
                session.describe(0)
    finally:
        session.close()


def test_memory_is_bounded_whatever_the_number_of_slides(tmp_path: Path) -> None:
    names = {f"s{number:02d}": 0.6 for number in range(12)}
    folder = write_cohort(tmp_path / "all", names)
    scoring = ScoreSettings(nms_radius_um=200)
    session = start_session(folder / "maps", [folder / "slides"], tmp_path / "verdicts", None, scoring)
    for number in range(12):
        session.describe(number)
        session.thumbnail(number)
        session.tile(number, 1, 0, 0)
    assert len(session._views) <= 6
    assert len(session._overviews) <= 6
    session.close()
    with pytest.raises(InputError, match="the review has ended"):
        session.tile(0, 1, 0, 0)


def test_a_slide_that_ends_its_reader_is_named_and_the_others_are_shown(tmp_path: Path) -> None:
    folder = write_cohort(tmp_path / "all", {"deadly": 0.9, "whole": 0.7})
    session = start_session(folder / "maps", [folder / "slides"], tmp_path / "out", None, ScoreSettings())
    session.readers.close()
    session.readers = SlideReaders(DeadlySlides("overview"))
    reason = r"deadly\.tif: the process that read it ended by SIGSEGV; .*; it is set aside until"
    try:
        assert session.describe(0)["fault"] == ""
        for row in range(3):
            with pytest.raises(InputError, match=reason):
                session.tile(0, 1, row, 0)
        assert re.search(reason, session.describe(0)["fault"])
        assert session.describe(0)["marks"], "what was found stays"
        assert session.describe(1)["fault"] == ""
        assert session.tile(1, 1, 0, 0).startswith(b"\xff\xd8")
    finally:
        session.close()
