from __future__ import annotations

from pathlib import Path

import pytest

from helpers.touched import touch
from scripts.errors import InputError
from scripts.folders.index import NameIndex

COMPOSED, DECOMPOSED = "M\u00fcller_1", "Mu\u0308ller_1"


def test_name_index_prefers_the_exact_name(tmp_path: Path) -> None:
    lower, upper = touch(tmp_path, "x/tumor_001.json", "y/Tumor_001.json")
    touch(tmp_path, "tumor_001.xml", ".cache/tumor_001.json")
    index = NameIndex(tmp_path, (".json",), "annotation")
    assert len(index) == 2
    assert index["tumor_001"] == lower
    assert index["Tumor_001"] == upper
    with pytest.raises(InputError, match=r"2 annotations are named 'TUMOR_001' \(.*; keep one"):
        index["TUMOR_001"]


def test_name_index_takes_another_case(tmp_path: Path) -> None:
    (path,) = touch(tmp_path, "Tumor_001.TIF")
    index = NameIndex(tmp_path, (".tif", ".svs"), "slide")
    assert index["tumor_001"] == index.get("TUMOR_001") == path


def test_name_index_with_one_name_twice(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.tif", "y/a.tif")
    with pytest.raises(InputError, match="2 slides are named 'a'"):
        NameIndex(tmp_path, (".tif",), "slide").get("a")


def test_name_index_without_the_name(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif")
    index = NameIndex(tmp_path, (".tif",), "slide")
    assert index.get("b") is None
    with pytest.raises(InputError, match="no slide named 'b' anywhere below"):
        index["b"]
    with pytest.raises(InputError, match="no such folder; expected a folder of slides"):
        NameIndex(tmp_path / "missing", (".tif",), "slide")


@pytest.mark.parametrize(("stored", "wanted"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
@pytest.mark.parametrize("change", [str, str.upper])
def test_name_index_takes_another_unicode_form(tmp_path: Path, stored: str, wanted: str, change: type[str]) -> None:
    (path,) = touch(tmp_path, f"{stored}.json")
    assert NameIndex(tmp_path, (".json",), "annotation")[change(wanted)] == path


def test_name_index_prefers_the_case_in_another_unicode_form(tmp_path: Path) -> None:
    lower, upper = touch(tmp_path, f"x/{DECOMPOSED.lower()}.json", f"y/{DECOMPOSED}.json")
    index = NameIndex(tmp_path, (".json",), "annotation")
    assert (index[COMPOSED], index[COMPOSED.lower()]) == (upper, lower)


def test_name_index_with_a_name_in_both_unicode_forms(tmp_path: Path) -> None:
    touch(tmp_path, f"x/{COMPOSED}.json", f"y/{DECOMPOSED}.json")
    with pytest.raises(InputError, match="2 annotations are named"):
        NameIndex(tmp_path, (".json",), "annotation").get(COMPOSED)


def test_name_index_follows_links(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.xml", "annotations/b.xml")
    (tmp_path / "annotations" / "batch2").symlink_to("../elsewhere")
    assert NameIndex(tmp_path / "annotations", (".xml",), "annotation").get("a") is not None
