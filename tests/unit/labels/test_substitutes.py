"""Label files without damaged slides keep their length and their share of tumor."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.errors import InputError
from scripts.labels.substitutes import Substitutes


def row(name: str, is_tumor: int, x: int = 500) -> str:
    return f"{name},{x},500,{','.join([str(is_tumor)] * 9)}"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    rows = [row("Tumor_001", 1), row("tumor_001", 0), row("tumor_002", 1), row("normal_001", 0), row("normal_002", 0)]
    (tmp_path / "training.csv").write_text("".join(f"{line}\n" for line in rows))
    return tmp_path / "training.csv"


def slides(folder: Path) -> list[Path]:
    return [folder / f"{name}.tif" for name in ("tumor_001", "tumor_002", "normal_001", "normal_002")]


def test_regions_of_others_take_the_place_of_the_damaged_slides(labels: Path, tmp_path: Path) -> None:
    found = Substitutes(tmp_path / "run", False)
    assert found.file(labels) == labels
    error = InputError(f"{tmp_path}/tumor_001.tif: the tiles cannot be decoded")
    assert found.take_out(error, slides(tmp_path)) == str(error)
    assert found.file(labels).read_text().splitlines() == [
        *(row("tumor_002", 1), row("normal_001", 0), row("normal_002", 0)),
        *(row("tumor_002", 1), row("normal_001", 0)),
    ]
    assert Substitutes(tmp_path / "run", True).reasons == {"tumor_001.tif": str(error)}
    assert Substitutes(tmp_path / "run", False).reasons == {}


def test_what_names_no_slide_or_one_too_many_is_not_taken_out(tmp_path: Path) -> None:
    found = Substitutes(tmp_path, False)
    assert found.take_out(RuntimeError("out of memory"), slides(tmp_path)) is None
    assert found.take_out(InputError(f"{tmp_path}/tumor_001.tiff: damaged"), slides(tmp_path)) is None
    assert found.take_out(InputError(f"{tmp_path}/tumor_001.tif: damaged"), slides(tmp_path)) is not None
    assert found.take_out(InputError(f"{tmp_path}/tumor_001.tif: damaged"), slides(tmp_path)) is None
    assert found.take_out(InputError(f"{tmp_path}/tumor_002.tif: damaged"), slides(tmp_path)) is None


def test_without_any_other_slide_there_is_nothing_to_take(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(row("tumor_001", 1) + "\n")
    found = Substitutes(tmp_path, False)
    found.take_out(InputError(f"{tmp_path}/tumor_001.tif: damaged"), slides(tmp_path))
    with pytest.raises(InputError, match=r"a\.csv: no region is left without tumor_001\.tif"):
        found.file(tmp_path / "a.csv")


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "set_aside.json").write_text("[]")
    with pytest.raises(InputError, match=r"set_aside\.json: expected an object of reasons"):
        Substitutes(tmp_path, True)
