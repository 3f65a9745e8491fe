"""Packaging for the zoo: what is in the folder and the zip, and that equal contents make equal bytes."""

from __future__ import annotations

import os
import re
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from scripts.errors import InputError
from scripts.release.consistency import NAME
from scripts.release.release import bundle_files, package_bundle, write_zip

ROOT = Path(__file__).parents[3]
BUNDLE_FOLDERS = ("configs", "scripts", "models")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what packaging reads."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "constraints.txt", "CHANGELOG.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    ignore = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=ignore)
    shutil.copytree(ROOT / "bundle", folder / "bundle", ignore=ignore)
    return folder


@pytest.fixture(scope="module")
def packaged(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("zoo")
    line = package_bundle(output, checkout)
    assert re.fullmatch(rf"{NAME} [\d.]+: \d+ files in .*, SHA-256 [0-9a-f]{{64}}", line)
    return output


def test_folder_and_zip_hold_the_same_and_nothing_else(packaged: Path) -> None:
    assert {path.name for path in packaged.iterdir()} == {NAME, f"{NAME}.zip"}
    in_folder = {
        path.relative_to(packaged).as_posix(): path.read_bytes() for path in packaged.rglob("*.*") if path.is_file()
    }
    in_folder[f"{NAME}/LICENSE"] = (packaged / NAME / "LICENSE").read_bytes()
    del in_folder[f"{NAME}.zip"]
    with zipfile.ZipFile(packaged / f"{NAME}.zip") as archive:
        assert archive.namelist() == sorted(archive.namelist())
        assert {name: archive.read(name) for name in archive.namelist()} == in_folder
    names = {name.removeprefix(f"{NAME}/") for name in in_folder}
    assert {"LICENSE", "docs/README.md", "docs/data_license.txt", "models/model.pt", "scripts/slides/slide.py"} <= names
    assert "docs/publishing.md" not in names, "pages that the card does not lead to are not the model's"
    assert "large_files.yml" not in names, "nothing is so large"


def test_the_bundle_is_that_of_the_checkout(packaged: Path) -> None:
    for folder in BUNDLE_FOLDERS:
        for path in (ROOT / "bundle" / folder).rglob("*"):
            if path.is_file() and not path.name.startswith(".") and path.parent.name != "__pycache__":
                name = path.relative_to(ROOT / "bundle")
                assert (packaged / NAME / name).read_bytes() == path.read_bytes()
    assert (packaged / NAME / "docs" / "README.md").read_bytes() == (ROOT / "docs" / "README.md").read_bytes()
    assert (packaged / NAME / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_links_of_all_pages_lead_to_files_of_the_bundle(packaged: Path) -> None:
    pages = list((packaged / NAME / "docs").rglob("*.md"))
    assert len(pages) > 3
    for page in pages:
        for link in re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            assert "://" in link or (page.parent / link).is_file(), f"{page}: {link}"


def test_the_zip_is_the_same_byte_for_byte(checkout: Path, packaged: Path, tmp_path: Path) -> None:
    other = tmp_path / "another checkout"
    shutil.copytree(checkout, other)
    for number, path in enumerate(sorted(other.rglob("*"), reverse=True)):
        if path.is_file():
            os.utime(path, (1e9 + number, 1e9 + number))
            path.chmod(0o600)
    package_bundle(tmp_path / "zoo", other)
    assert (tmp_path / "zoo" / f"{NAME}.zip").read_bytes() == (packaged / f"{NAME}.zip").read_bytes()
    assert stat.S_IMODE((tmp_path / "zoo" / NAME / "LICENSE").stat().st_mode) == 0o644


def test_the_zip_states_modes_and_times(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    write_zip(tmp_path / "a.zip", {"scripts/b.sh": tmp_path / "a", "LICENSE": tmp_path / "a"})
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        found = {entry.filename: oct(entry.external_attr >> 16) for entry in archive.infolist()}
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert found == {f"{NAME}/LICENSE": "0o100644", f"{NAME}/scripts/b.sh": "0o100755"}


def test_packaging_again_replaces_the_bundle_but_nothing_strange(checkout: Path, tmp_path: Path) -> None:
    package_bundle(tmp_path, checkout)
    (tmp_path / NAME / "LICENSE").write_text("changed")
    package_bundle(tmp_path, checkout)
    assert "Apache" in (tmp_path / NAME / "LICENSE").read_text(encoding="utf-8")
    (tmp_path / NAME / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"mine.txt: no file of the bundle; remove it or choose another --output"):
        package_bundle(tmp_path, checkout)
    assert (tmp_path / NAME / "mine.txt").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {NAME, f"{NAME}.zip"}


def test_packaging_without_a_checkout_says_what_is_missing(packaged: Path, tmp_path: Path) -> None:
    installed = tmp_path / "site-packages"
    shutil.copytree(packaged / NAME, installed / NAME)
    with pytest.raises(InputError, match=r"no checkout of the repository, pyproject.toml, constraints.txt, CHANGELOG"):
        package_bundle(tmp_path / "zoo", installed)
    assert not (tmp_path / "zoo").exists()


@pytest.mark.parametrize("name", ["models/model.ts", "configs/a.yaml", "scripts/more/a.py"])
def test_files_that_do_not_belong_are_refused(checkout: Path, tmp_path: Path, name: str) -> None:
    path = checkout / "bundle" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    try:
        with pytest.raises(InputError, match=f"{path.name}: no file of the bundle"):
            bundle_files(checkout)
    finally:
        path.unlink()


def test_a_card_that_links_out_of_docs_is_refused(checkout: Path) -> None:
    card = checkout / "docs" / "README.md"
    text = card.read_text(encoding="utf-8")
    try:
        card.write_text(text + "[all](../CHANGELOG.md)\n", encoding="utf-8")
        with pytest.raises(InputError, match=r"the link to ../CHANGELOG.md leads out of docs"):
            bundle_files(checkout)
    finally:
        card.write_text(text, encoding="utf-8")
