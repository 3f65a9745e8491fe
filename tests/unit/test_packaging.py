"""pyproject.toml and Makefile agree with the code; test_consistency.py compares versions and pins."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from scripts.release.consistency import requirements

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "bundle"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
PACKAGES = sorted(path.parent.name for path in (BUNDLE / "scripts").glob("*/__init__.py"))

IMPORT_NAMES = {
    "scikit-learn": "sklearn",
    "cucim-cu13": "cucim",
    "openslide-python": "openslide",
    "pillow": "PIL",
    "pytorch-ignite": "ignite",
    "scikit-image": "skimage",
}
"""Distributions whose import name is another."""

USED_WITHOUT_IMPORT = {
    "imagecodecs": "tifffile's JPEG codec",
    "nvidia-nvjpeg2k-cu13": "a plugin of nvImageCodec, which cuCIM loads",
    "nvidia-nvtiff-cu13": "a plugin of nvImageCodec, which cuCIM loads",
    "openslide-bin": "the OpenSlide library itself",
    "alembic": "makes the tables of MLflow's local store",
    "mlflow-skinny": "behind MONAI's MLFlowHandler",
    "onnx": "behind MONAI's onnx_export",
    "onnxscript": "behind PyTorch's export to ONNX",
    "sqlalchemy": "MLflow's local store",
    "tensorboard": "behind torch.utils.tensorboard, which MONAI's TensorBoard handlers import",
    "torchvision": "the backbone of MONAI's TorchVisionFCModel",
    "aiohttp": "behind fsspec's https://",
    "s3fs": "behind fsspec's s3://",
    "furo": "the look of the site of make docs",
    "linkify-it-py": "finds addresses in the pages of that site",
    "myst-parser": "reads the pages of that site",
    "sphinx": "makes that site",
}


def _imported_names() -> set[str]:
    """Top-level packages that the bundle's modules import, wherever in the file, and that its configs name."""
    names: set[str] = set()
    for path in (BUNDLE / "scripts").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.split(".")[0])
    for path in (BUNDLE / "configs").glob("*.json"):
        if path.name != "metadata.json":
            text = path.read_text(encoding="utf-8")
            names.update(re.findall(r'"_target_": "(\w+)\.', text))  # a name without a dot is MONAI's
            names.update(re.findall(r"\$\s*(?:import|from) (\w+)", text))
    return names - {"scripts"}


DEPENDENCIES = requirements(PROJECT["dependencies"], "3.10")
OPTIONAL = PROJECT["optional-dependencies"]
EXTRAS = requirements([text for name, texts in OPTIONAL.items() if name != "test" for text in texts], "3.10")

NOT_IN_AN_EXTRA = {"torch_tensorrt": "it depends on the machine's GPU and CUDA, and was not tested here"}


# --- dependencies: versions and pins are compared in test_consistency.py ----------------------------------------


def test_every_dependency_is_used() -> None:
    imported = _imported_names()
    unused = {
        name
        for name in {**DEPENDENCIES, **EXTRAS}
        if name not in USED_WITHOUT_IMPORT and IMPORT_NAMES.get(name, name.replace("-", "_")) not in imported
    }
    assert not unused, f"in pyproject.toml, but nothing imports them: {sorted(unused)}"


def test_every_import_is_declared() -> None:
    declared = {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in {**DEPENDENCIES, **EXTRAS}}
    undeclared = _imported_names() - declared - set(sys.stdlib_module_names) - {"__future__", *NOT_IN_AN_EXTRA}
    assert not undeclared, f"imported, but not in pyproject.toml: {sorted(undeclared)}"


def test_the_tests_need_every_extra() -> None:
    names = ",".join(sorted(OPTIONAL.keys() - {"test"}))
    assert f"pathology-tumor-detection[{names}]" in OPTIONAL["test"]


def test_python_versions_agree() -> None:
    assert PROJECT["requires-python"] == ">=3.10,<3.14"
    assert "(3, 10) <= v[:2] <= (3, 13)" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert PYPROJECT["tool"]["ruff"]["target-version"] == "py310"


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml", "Makefile", ".ci/run"])
def test_set_up_names_no_registry(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"https?://|index-url|find-links|file:", text)


# --- files ------------------------------------------------------------------------------------------------------


def test_every_package_is_packaged() -> None:
    name = "pathology_tumor_detection"
    wanted = [name, f"{name}.scripts", *(f"{name}.scripts.{package}" for package in PACKAGES)]
    assert PYPROJECT["tool"]["setuptools"]["packages"] == wanted


def test_every_bundle_file_is_packaged() -> None:
    patterns = list(PYPROJECT["tool"]["setuptools"]["package-data"]["pathology_tumor_detection"])
    patterns += ["scripts/*.py", *(f"scripts/{name}/*.py" for name in PACKAGES)]
    files = [path.relative_to(BUNDLE).as_posix() for path in BUNDLE.rglob("*") if path.is_file()]
    hidden = re.compile(r"(^|/)(\.|__pycache__)")
    left_out = [
        name for name in files if not hidden.search(name) and not any(fnmatch(name, pattern) for pattern in patterns)
    ]
    assert not left_out, f"not in the wheel: {left_out}"
    assert not (BUNDLE / "__init__.py").exists(), "the installed package is the bundle; it has no __init__.py"


def test_licenses_are_there() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text, "push_to_hf_hub looks for these words"
    assert "Version 2.0" in text
    assert PROJECT["license"] == "Apache-2.0"
    data_license = (ROOT / "docs" / "data_license.txt").read_text(encoding="utf-8")
    assert "CC0 1.0" in data_license
    assert "Apache License, Version 2.0" in data_license


def test_ci_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "make test"


# --- Makefile, with a stand-in for Python that writes down how it is called ----------------------------------------

FAKE_PYTHON = """#!/bin/sh
echo "$@" >> "{log}"
case "$*" in
  *version_info*) exec "{python}" "$@" ;;
  *ensurepip*) exit {ensurepip} ;;
  "-m venv"*)
    for last in "$@"; do :; done
    mkdir -p "$last/bin"
    for tool in python ruff mypy lint-imports tumor-detection; do cp "$0" "$last/bin/$tool"; done ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that make needs, and a fake Python."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    _write_fake_python(tmp_path, ensurepip=0)
    return tmp_path


def _write_fake_python(folder: Path, ensurepip: int) -> None:
    fake = folder / "fake-python"
    fake.write_text(FAKE_PYTHON.format(log=folder / "calls", python=sys.executable, ensurepip=ensurepip))
    fake.chmod(0o755)


def _make(folder: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run make; return the process and how Python was called."""
    log = folder / "calls"
    log.unlink(missing_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "VENV"))}
    process = subprocess.run(
        ["make", "PYTHON=./fake-python", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return process, log.read_text().splitlines() if log.exists() else []


def _installs(calls: list[str]) -> list[Any]:
    return [call for call in calls if "pip install" in call]


def test_make_installs_once(checkout: Path) -> None:
    process, calls = _make(checkout, "demo")
    assert process.returncode == 0, process.stderr
    (install,) = _installs(calls)
    assert install.endswith("--constraint constraints.txt --editable .")
    assert calls[-1] == "demo --output demo"

    _, calls = _make(checkout, "demo")
    assert calls == ["demo --output demo"]

    _, calls = _make(checkout, "test")
    (install,) = _installs(calls)
    assert install.endswith("--constraint constraints.txt --editable .[test]")
    assert "pytest" in calls[-1]

    for target in ("test", "demo"):
        _, calls = _make(checkout, target)
        assert not _installs(calls)


def test_make_docs_installs_what_the_site_needs_and_stops_at_warnings(checkout: Path) -> None:
    process, calls = _make(checkout, "docs")
    assert process.returncode == 0, process.stderr
    assert [install.split()[-1] for install in _installs(calls)] == [".", ".[docs]"]
    assert {"--fail-on-warning", "--keep-going", "--nitpicky"} <= set(calls[-1].split())

    _, calls = _make(checkout, "docs")
    assert not _installs(calls)


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_make_installs_again_when_the_requirements_change(checkout: Path, name: str) -> None:
    _make(checkout, "demo")
    stamp = checkout / ".venv" / ".installed"
    later = stamp.stat().st_mtime + 10
    os.utime(checkout / name, (later, later))
    _, calls = _make(checkout, "demo")
    assert len(_installs(calls)) == 1
    assert not any(call.startswith("-m venv") for call in calls)


def test_make_names_the_python_it_needs(checkout: Path) -> None:
    fake = checkout / "fake-python"
    old = "import sys; sys.version_info = (3, 8); exec(sys.argv[1])"
    fake.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{old}' \"$2\"\n")
    process, _ = _make(checkout, "demo")
    assert process.returncode != 0
    assert "Python 3.10 to 3.13 is needed, but ./fake-python is 3.8" in process.stderr
    assert not (checkout / ".venv").exists()


def test_make_does_without_ensurepip(checkout: Path) -> None:
    _write_fake_python(checkout, ensurepip=1)
    process, calls = _make(checkout, "demo")
    assert process.returncode == 0, process.stderr
    assert "-m venv --without-pip .venv" in calls
    assert "-m pip --python .venv/bin/python install pip" in calls
