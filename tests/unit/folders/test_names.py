from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.touched import touch
from scripts.errors import InputError
from scripts.folders.names import check_result_name, compose, name_key, named_file, slide_file_name, slide_name

COMPOSED, DECOMPOSED = "M\u00fcller_1", "Mu\u0308ller_1"


@pytest.mark.parametrize(
    ("path", "name", "file_name"),
    [
        ("slides/tumor_001.tif", "tumor_001", "tumor_001.tif"),
        ("S07.1234.A1.svs", "S07.1234.A1", "S07.1234.A1.svs"),
        ("s3://bucket/a/tumor_001.tif", "tumor_001", "tumor_001.tif"),
        (f"slides/{DECOMPOSED}.tif", COMPOSED, f"{COMPOSED}.tif"),
    ],
)
def test_name_of_a_path(path: str, name: str, file_name: str) -> None:
    assert (slide_name(path), slide_file_name(path)) == (name, file_name)
    assert slide_name(Path(path)) == name


@pytest.mark.parametrize("spelling", [COMPOSED, DECOMPOSED, COMPOSED.upper(), DECOMPOSED.upper()])
def test_spellings_of_one_name(spelling: str) -> None:
    assert name_key(spelling) == name_key(COMPOSED)
    assert name_key(spelling) != name_key("Muller_1")


def test_key_of_a_letter_whose_small_form_is_decomposed() -> None:
    assert name_key("\u0130") == compose(name_key("\u0130"))  # Turkish I with a dot


@pytest.mark.parametrize("stored", [COMPOSED, DECOMPOSED])
def test_named_file_is_found_in_both_forms(tmp_path: Path, stored: str) -> None:
    (path,) = touch(tmp_path, f"{stored}.png")
    assert named_file(tmp_path, COMPOSED, ".png") == path


def test_named_file_that_is_missing_is_composed(tmp_path: Path) -> None:
    assert named_file(tmp_path, COMPOSED, ".png") == tmp_path / f"{COMPOSED}.png"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("run.tif", "results are named by the slide, and run.json is not a slide's there; rename it"),
        ("Run.svs", "and Run.json is not a slide's there"),
        (f"{'ü' * 101}.tif", "which has 202 bytes, more than 200"),
        (".hidden.tif", "which is hidden"),
        ("a\udcff.tif", "whose name is not UTF-8"),
    ],
)
def test_names_that_results_cannot_have(name: str, reason: str) -> None:
    with pytest.raises(InputError, match=re.escape(reason)) as refused:
        check_result_name(f"slides/{name}", ("run",))
    str(refused.value).encode()  # it can be printed


@pytest.mark.parametrize("name", ["run.tif", "run_1.tif", "a" * 200, "b a&%.tif", "001.tif"])
def test_names_that_results_can_have(name: str) -> None:
    check_result_name(name, ("run",) if name != "run.tif" else ())


def test_a_dicom_slide_is_named_by_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run.1"
    folder.mkdir()
    check_result_name(folder, ("run",))
    with pytest.raises(InputError, match="is not a slide's there"):
        check_result_name(folder, ("run.1",))


def test_a_name_whose_decomposed_form_the_disk_does_not_take(tmp_path):
    name = "ü" * 90
    assert named_file(tmp_path, name, ".png") == tmp_path / f"{name}.png"
    touch(tmp_path, f"{name}.png")
    assert named_file(tmp_path, name, ".png").is_file()


def test_a_text_that_no_disk_takes_has_a_name_too():
    """A cell of a table, which then names no slide; the table is told of, not the disk."""
    assert slide_name("9" * 400) == "9" * 400
