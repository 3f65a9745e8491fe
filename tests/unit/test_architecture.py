"""The house: packages on floors, what their docstrings and docs/architecture.md say of them, and cheap imports."""

from __future__ import annotations

import ast
import importlib
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "bundle" / "scripts"
PACKAGES = sorted(path.parent.name for path in SCRIPTS.glob("*/__init__.py"))
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
DRAWING = runpy.run_path(str(ROOT / "docs" / "draw_floors.py"))


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the code in a folder, by this project's contract."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    command += ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    environment = {"PYTHONPATH": str(folder), "PATH": "", "TERM": "dumb"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(SCRIPTS, folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize(
    ("module", "statement", "is_kept"),
    [
        ("slides/slide.py", "from ..network.network import AutocastInferer", True),
        ("slides/slide.py", "from ..masks.foreground import foreground_mask", False),
        ("geometry.py", "from .slides.slide import open_slide", False),
        ("masks/truth.py", "def f() -> None:\n    from ..maps.files import read_map", False),
    ],
    ids=["down", "up", "up from the ground", "sideways, inside a function"],
)
def test_import_linter_keeps_the_floors(copy: Path, module: str, statement: str, is_kept: bool) -> None:
    path = copy / "scripts" / module
    before = path.read_text(encoding="utf-8")
    path.write_text(f"{before}\n{statement}\n", encoding="utf-8")
    try:
        found = _lint(copy)
    finally:
        path.write_text(before, encoding="utf-8")
    assert (found.returncode == 0) is is_kept, found.stdout + found.stderr
    assert ("KEPT" if is_kept else "BROKEN") in found.stdout


def test_rooms_are_small_and_the_ground_floor_has_five_modules() -> None:
    ground = {path.stem for path in SCRIPTS.glob("*.py")} - {"__init__"}
    assert ground == {"errors", "files", "geometry", "ranks", "workflow"}
    for package in PACKAGES:
        modules = {path.stem for path in (SCRIPTS / package).glob("*.py")} - {"__init__"}
        assert 2 <= len(modules) <= 21, package
        nouns = {package, package.removesuffix("s")}
        repeating = {module for module in modules - nouns if nouns & set(module.split("_"))}
        assert not repeating, f"{package} says its name again in {repeating}"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_comes_in_and_goes_out_and_imports_nothing(package: str) -> None:
    tree = ast.parse((SCRIPTS / package / "__init__.py").read_text(encoding="utf-8"))
    assert len(tree.body) == 1, "a docstring alone"
    text = ast.get_docstring(tree) or ""
    assert all(words in text for words in ("Comes in:", "Goes out:", "Floor:"))


def test_importing_a_package_is_cheap() -> None:
    code = f"import sys; [__import__('scripts.' + name) for name in {PACKAGES}]; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "bundle", capture_output=True, text=True, check=True
    )
    heavy = {"torch", "monai", "numpy", "matplotlib", "openslide", "cucim", "ray"}
    assert not heavy & set(found.stdout.split())


def test_tests_mirror_the_packages() -> None:
    unit = Path(__file__).parent
    for path in unit.glob("*/test_*.py"):
        module = SCRIPTS / path.parent.name / f"{path.stem.removeprefix('test_')}.py"
        assert module.is_file(), f"{path.relative_to(unit)} tests no module of that name"


def test_the_picture_is_drawn_from_the_contract() -> None:
    assert (ROOT / "docs" / "images" / "floors.svg").read_text(encoding="utf-8") == DRAWING["draw"](
        DRAWING["read_floors"]()
    ), "run: python docs/draw_floors.py"
    assert {name for floor in DRAWING["read_floors"]() for name in floor} >= set(PACKAGES)
    assert "](images/floors.svg)" in PAGE


def test_every_function_that_the_page_names_exists() -> None:
    names = re.findall(r"`((?:" + "|".join(PACKAGES) + r")\.\w+(?:\.\w+)*)`", PAGE)
    assert len(names) > 50
    for name in (name for name in names if not name.endswith(".json")):
        package, module, *attributes = name.split(".")
        found: Any = importlib.import_module(f"scripts.{package}.{module}")
        for attribute in attributes:
            found = getattr(found, attribute)


def test_each_test_runs_in_one_part_of_the_suite() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    # apart from the run of make that may have started this test
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    command = ["make", "--dry-run", "--no-print-directory", "test"]
    printed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    named = [ROOT / word for line in printed.splitlines() if " pytest " in line for word in line.split()]
    named = [path for path in named if path.is_relative_to(ROOT / "tests")]
    found = [test for path in named for test in (path.rglob("test_*.py") if path.is_dir() else [path])]
    own = (ROOT / "tests" / kind for kind in ("unit", "integration"))  # those in tests/zoo are run by the zoo
    assert sorted(found) == sorted(path for folder in own for path in folder.rglob("test_*.py"))
