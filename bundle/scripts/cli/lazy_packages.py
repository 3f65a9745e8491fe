"""Packages whose names are imported when they are asked for, not all at once.

Large libraries gather the names of their modules in the ``__init__.py`` of their packages. So one name costs the import
of all modules, and of all that these import. Here such a package takes a name from its module when somebody asks for it
(a module's ``__getattr__``, PEP 562).
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import find_spec
from types import CodeType, ModuleType
from typing import Any


class LazyPackages:
    """Finds packages of some libraries for Python, and makes them lazy. To be put first into ``sys.meta_path``.

    Args:
        libraries: their names.
    """

    def __init__(self, libraries: Sequence[str]) -> None:
        self.libraries = tuple(libraries)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a package as Python would, with a loader of our own; None for anything else."""
        if fullname.partition(".")[0] not in self.libraries:
            return None
        found = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is None or spec.submodule_search_locations is None or type(spec.loader) is not SourceFileLoader:
            return None
        spec.loader = _LazyLoader(fullname, spec.loader.path)
        return spec


class _LazyLoader(SourceFileLoader):
    """Runs a package's code without the imports from its own modules."""

    def exec_module(self, module: ModuleType) -> None:
        code, sources = split_imports(self.get_data(self.path), module.__name__, self.path)
        vars(module)[_SOURCES] = sources
        module.__class__ = _LazyPackage
        exec(code, vars(module))


class _LazyPackage(ModuleType):
    """A package that knows where its names are."""

    def __getattr__(self, name: str) -> Any:
        names, sources = vars(self), vars(self)[_SOURCES]
        if name in sources:
            return self._take(name)
        if name == "__all__":  # what ``import *`` takes where the package does not say it
            return [name for name in {**names, **sources} if not name.startswith("_")]
        if name.isidentifier() and not name.startswith("__"):
            if find_spec(f"{self.__name__}.{name}") is not None:
                return import_module(f"{self.__name__}.{name}")
            for other in sources:  # a module may put further names into its package
                self._take(other)
            if name in names:
                return names[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        """Python sets each module that was imported; a name from a module that is called so, too, goes before it."""
        is_hidden = vars(self)[_SOURCES].get(name, ("", ""))[1] and value is sys.modules.get(f"{self.__name__}.{name}")
        if not is_hidden:
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({**vars(self), **vars(self)[_SOURCES]})

    def _take(self, name: str) -> Any:
        module, its_name = vars(self)[_SOURCES][name]
        found = getattr(import_module(module), its_name) if its_name else import_module(module)
        vars(self)[name] = found
        return found


_SOURCES = "__lazy_sources__"


def split_imports(source: bytes, package: str, path: str) -> tuple[CodeType, dict[str, tuple[str, str]]]:
    """Take the imports of a package's own modules, and of names from them, out of its code.

    An import stays where the code uses one of its names. Modules whose name begins with ``_`` stay, too: they may be
    imported for what they do.

    Args:
        source: the code of its ``__init__.py``.
        package: its name; it is in ``sys.modules``.
        path: its file, for tracebacks.

    Returns:
        The code that is left, and for each name the module that has it and its name there, empty for the module itself.
    """
    tree = ast.parse(source)
    rest = [node for node in tree.body if not isinstance(node, ast.ImportFrom)]
    used = {node.id for part in rest for node in ast.walk(part) if isinstance(node, ast.Name)}
    sources: dict[str, tuple[str, str]] = {}
    kept: list[ast.stmt] = []
    for node in tree.body:
        module = _own_module(node, package) if isinstance(node, ast.ImportFrom) else None
        if not isinstance(node, ast.ImportFrom) or module is None:
            kept.append(node)
        elif module == "":
            lazy = [alias for alias in node.names if _is_lazy_module(alias, package) and alias.name not in used]
            sources |= {alias.name: (f"{package}.{alias.name}", "") for alias in lazy}
            node.names = [alias for alias in node.names if alias not in lazy]
            kept += [node] if node.names else []
        else:
            given = {alias.asname or alias.name: (f"{package}.{module}", alias.name) for alias in node.names}
            if given.keys() & {"*", *used}:
                kept.append(node)
            else:
                sources |= given
    tree.body = kept
    return compile(tree, path, "exec", dont_inherit=True), sources


def _own_module(node: ast.ImportFrom, package: str) -> str | None:
    """The module of the package from which an import takes names, empty for the package; None for others."""
    name = node.module or ""
    if node.level == 1:
        return name
    is_own = node.level == 0 and f"{name}.".startswith(f"{package}.")
    return name[len(package) + 1 :] if is_own else None


def _is_lazy_module(alias: ast.alias, package: str) -> bool:
    is_told = alias.name == "*" or alias.asname is not None or alias.name.startswith("_")
    return not is_told and find_spec(f"{package}.{alias.name}") is not None
