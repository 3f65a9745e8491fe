from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from scripts.cli.lazy_packages import LazyPackages

FILES = {
    "forest/__init__.py": "from .trees import names\n",
    "forest/trees/__init__.py": '''
"""Trees."""

from __future__ import annotations

from math import pi

import forest.trees.oak as whole
from forest.trees.birch import Birch as Silver
from forest.trees.birch import bark

from . import _effects, aspen, lime
from .fir import *
from .larch import larch
from .moss import Moss
from .oak import Acorn, Oak
from .willow import LIMIT

names = ["Oak", "Silver"]
LIMITS = [LIMIT]


def grow():
    return bark(), lime.__name__
''',
    "forest/trees/oak.py": "class Oak: pass\nclass Acorn: pass\n",
    "forest/trees/birch.py": "class Birch: pass\ndef bark(): return 'bark'\n",
    "forest/trees/lime.py": "",
    "forest/trees/fir.py": "CONES = 1\n",
    "forest/trees/larch.py": "def larch(): pass\n",
    "forest/trees/moss.py": "import forest.trees\nclass Moss: pass\nforest.trees.Lichen = Moss\n",
    "forest/trees/willow.py": "LIMIT = 3\n",
    "forest/trees/yew.py": "",
    "forest/trees/aspen.py": "",
    "forest/trees/_effects.py": "",
    "forest/shrubs/__init__.py": "from .hazel import Hazel\nfrom .hazel import _hidden\nHEDGE = 1\n",
    "forest/shrubs/hazel.py": "class Hazel: pass\n_hidden = 2\n",
}


@pytest.fixture
def trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    finder = LazyPackages(["forest"])
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    yield importlib.import_module("forest.trees")
    for name in [name for name in sys.modules if name.partition(".")[0] == "forest"]:
        del sys.modules[name]


def loaded(name: str) -> bool:
    return f"forest.trees.{name}" in sys.modules


def test_a_name_is_imported_when_it_is_asked_for(trees: ModuleType) -> None:
    assert not loaded("moss")
    assert trees.Moss is sys.modules["forest.trees.moss"].Moss
    assert vars(trees)["Moss"] is trees.Moss


def test_a_name_may_be_another_than_in_its_module(trees: ModuleType) -> None:
    assert trees.Silver is importlib.import_module("forest.trees.birch").Birch
    with pytest.raises(AttributeError, match=r"'forest\.trees' has no attribute 'Birch'"):
        _ = trees.Birch


def test_what_the_code_of_the_package_uses_is_there(trees: ModuleType) -> None:
    assert trees.LIMITS == [3]
    assert trees.grow() == ("bark", "forest.trees.lime")
    assert trees.pi > 3
    assert trees.whole is sys.modules["forest.trees.oak"]


def test_all_names_of_a_module_and_private_modules_are_imported_at_once(trees: ModuleType) -> None:
    assert {"CONES", "_effects"} <= vars(trees).keys()


def test_a_module_is_imported_when_it_is_asked_for(trees: ModuleType) -> None:
    assert not loaded("aspen")
    assert trees.aspen is sys.modules["forest.trees.aspen"]


def test_a_name_that_its_module_has_too_is_no_module(trees: ModuleType) -> None:
    assert not loaded("larch")
    importlib.import_module("forest.trees.larch")
    assert trees.larch is sys.modules["forest.trees.larch"].larch
    import forest.trees.larch

    assert callable(forest.trees.larch)


def test_modules_are_found_without_an_import_of_their_own(trees: ModuleType) -> None:
    assert not loaded("yew")
    assert trees.yew is sys.modules["forest.trees.yew"]
    assert not loaded("moss")


def test_a_name_that_a_module_puts_into_its_package_is_found(trees: ModuleType) -> None:
    assert trees.Lichen is trees.Moss


def test_a_name_that_is_nowhere_is_an_attribute_error(trees: ModuleType) -> None:
    for name in ("Cactus", "__wrapped__", "forest.trees"):
        with pytest.raises(AttributeError, match="has no attribute"):
            getattr(trees, name)
    with pytest.raises(ImportError, match="cannot import name 'Cactus'"):
        exec("from forest.trees import Cactus", {})


def test_all_names_can_be_listed_and_imported_at_once(trees: ModuleType) -> None:
    names = {"Acorn", "Oak", "Silver", "bark", "Moss", "LIMIT", "LIMITS", "grow"}
    assert names <= set(dir(trees))
    found: dict[str, object] = {}
    exec("from forest.shrubs import *", found)
    assert {"Hazel", "HEDGE"} <= found.keys()
    assert "_hidden" not in found
    exec("from forest.trees import *", found)
    assert names <= found.keys()


def test_modules_and_other_libraries_stay_as_they_are(trees: ModuleType) -> None:
    finder = LazyPackages(["forest"])
    assert finder.find_spec("woods.trees", None) is None
    assert finder.find_spec("forest.trees.oak", trees.__path__) is None
    assert finder.find_spec("forest.nowhere", trees.__path__) is None
