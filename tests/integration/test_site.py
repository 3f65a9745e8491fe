"""The site of ``make docs``: built by that command without a warning, complete, and without anything from elsewhere."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from docutils import nodes
from sphinx import addnodes

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "bundle" / "scripts"

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The HTML pages, made by the Makefile's own command in another folder."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (command,) = re.findall(r"^docs: .*\n\t\$\(BIN\)/python (.*)$", makefile, re.MULTILINE)
    folder = tmp_path_factory.mktemp("site")
    arguments = shlex.split(command.replace("docs/_build", str(folder)))
    process = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    return folder / "html"


def test_each_public_function_and_class_has_a_place(site: Path) -> None:
    places = {
        name for page in (site / "generated").glob("*.html") for name in re.findall(r'id="([\w.]+)"', _text(page))
    }
    missing = []
    for path in SCRIPTS.rglob("*.py"):
        module = ".".join(("scripts", *path.relative_to(SCRIPTS).with_suffix("").parts)).removesuffix(".__init__")
        for node in ast.parse(_text(path)).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                name = f"{module}.{node.name}"
                missing += [name] if name not in places else []
    assert not missing


def test_names_in_docstrings_are_links(site: Path) -> None:
    page = _text(site / "generated" / "scoring.html")
    assert 'href="#scripts.scoring.froc.froc_curve"' in page, "froc.froc_curve, in scoring.bootstrap"
    assert 'href="maps.html#scripts.maps.files.read_map_infos"' in page, "maps.files.read_map_infos"
    assert "scripts.scoring.froc._mask_indices" not in page, "a private function"


def test_links_beyond_docs_lead_to_pages_and_files(site: Path) -> None:
    assert 'href="generated/start.html"' in _text(site / "index.html"), "../README.md"
    (license_file,) = site.glob("_downloads/*/LICENSE")
    assert license_file.read_bytes() == (ROOT / "LICENSE").read_bytes()
    for page in site.rglob("*.html"):
        for link in re.findall(r'(?:href|src)="([^"#?]+)', _text(page)):
            assert re.match(r"\w+:", link) or (page.parent / link).exists(), f"{page.name}: {link}"


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loads = re.compile(r'<(?!a\s)\w+[^>]+(?:src|href)="(?:\w+:)?//[^"]*"|(?:url\(|@import\s)["\']?(?:\w+:)?//[^)]*')
    for page in [*site.rglob("*.html"), *site.rglob("*.css")]:
        assert not loads.findall(_text(page)), page.name


def test_the_search_knows_the_pages(site: Path) -> None:
    index = _text(site / "searchindex.js")
    for name in ("evaluation", "generated/scoring", "generated/changelog", "match_detections"):
        assert f'"{name}"' in index


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("froc.froc_curve", True),
        ("scoring.froc.froc_curve", True),
        ("froc.no_such_function", False),
        ("scripts.scoring.no_such_module", False),
        ("froc._mask_indices", True),
        ("grid_sample", True),
        ("torch.nn.SyncBatchNorm", True),
    ],
)
def test_a_stale_name_in_a_docstring_is_a_warning(target: str, found: bool) -> None:
    content = nodes.literal()
    link = addnodes.pending_xref(refdomain="py", reftarget=target, **{"py:module": "scripts.scoring.evaluation"})
    environment: Any = SimpleNamespace(domains={"py": SimpleNamespace(data={"objects": {}})}, all_docs={})
    resolved = _site_pages().resolve(SimpleNamespace(), environment, link, content)
    assert resolved is (content if found else None)


def _site_pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_pages", ROOT / "docs" / "site_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
