"""A Sphinx extension: pages made when the site is built, and links that lead beyond the folder ``docs``.

- ``generated/``: a page for each package of ``bundle/scripts``, from its docstrings, in order of the floors in
  ``pyproject.toml``; and the Markdown files of the repository's top.
- Names in single backticks inside docstrings become links where they name something documented. A name that begins
  like one of this package and does not exist is a warning.
- Links from a page to a file of the repository that is no page become downloads.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util.nodes import make_refnode
from sphinx.util.typing import stringify_annotation

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
SCRIPTS = ROOT / "bundle" / "scripts"
FOLDER = "generated"

COPIES = {"CONTRIBUTING": "contributing", "CHANGELOG": "changelog"}
"""Markdown files of the repository's top, and the pages of ``generated/`` that show them."""

OUTSIDE = {f"../{name}": f"{FOLDER}/{page}" for name, page in (("README", "start"), *COPIES.items())}
"""Pages of the site that links to Markdown files above ``docs`` lead to."""


# --- generated pages ------------------------------------------------------------------------------------------------


def floors() -> list[list[str]]:
    """Packages and modules of ``bundle/scripts`` by floor, from the top."""
    content = tomllib.loads(_read(ROOT / "pyproject.toml"))
    (contract,) = (c for c in content["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    return [re.findall(r"\w+", layer) for layer in contract["layers"]]


def write_pages(app: Sphinx) -> None:
    """Write ``generated/``; pages that did not change are left as they are, so that they are not read again."""
    packages = [name for floor in floors() for name in floor if (SCRIPTS / name).is_dir()]
    readme = _read(ROOT / "README.md")
    pages = {"first_screen.md": _first_screen(readme), "start.md": _first_steps(readme)}
    pages |= {f"{page}.md": _move_links(_read(ROOT / f"{name}.md"), "../") for name, page in COPIES.items()}
    pages |= {f"{package}.rst": _package_page(package) for package in packages}
    pages |= {"ground.rst": _ground_page(), "index.rst": _index_page(packages)}
    folder = DOCS / FOLDER
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or _read(path) != text:
            path.write_text(text, encoding="utf-8")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _first_screen(readme: str) -> str:
    """The README up to its first section, for the home page to include."""
    return _move_links(_sections(readme)[0], "")


def _first_steps(readme: str) -> str:
    """The rest of the README, without its list of pages, which the home page has."""
    sections = [part for part in _sections(readme)[1:] if not part.startswith("## Where to read on")]
    _, steps = sections[0].split("\n", maxsplit=1)  # without its heading, which says the same
    return _move_links("# First steps\n" + steps + "".join(sections[1:]), "../")


def _sections(text: str) -> list[str]:
    return re.split(r"^(?=## )", text, flags=re.MULTILINE)


def _move_links(text: str, to_docs: str) -> str:
    """Links of a file at the repository's top as they must be elsewhere, given the way from there to ``docs``."""
    return re.sub(r"(\]\()(?!\w+:|#)", rf"\1{to_docs}../", text).replace(f"]({to_docs}../docs/", f"]({to_docs}")


def _modules(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def _package_page(package: str) -> str:
    sections = "".join(
        _heading(f"{package}.{module}", "-") + _automodule(f"scripts.{package}.{module}", members=True)
        for module in _modules(SCRIPTS / package)
    )
    return _heading(package, "=") + _automodule(f"scripts.{package}") + sections


def _ground_page() -> str:
    sections = "".join(_heading(m, "-") + _automodule(f"scripts.{m}", members=True) for m in _modules(SCRIPTS))
    return _heading("Ground floor", "=") + _automodule("scripts", members=True) + sections


def _index_page(packages: list[str]) -> str:
    entries = "".join(f"   {name}\n" for name in [*packages, "ground"])
    summaries = "".join(f"- :doc:`{name}`: {_summary(SCRIPTS / name)}\n" for name in packages)
    return (
        _heading("Functions and components", "=")
        + "These pages list all public functions and classes, from their docstrings. A package imports only from "
        "packages further down in this list. A config names a component as "
        "``scripts.<package>.<module>.<name>``.\n\n"
        f"{summaries}- :doc:`ground`: Modules below all packages.\n\n"
        f".. toctree::\n   :hidden:\n\n{entries}"
    )


def _summary(package: Path) -> str:
    """The first line of its docstring."""
    docstring = ast.get_docstring(ast.parse(_read(package / "__init__.py")))
    return (docstring or "").split("\n\n")[0].replace("\n", " ")


def _heading(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n\n"


def _automodule(name: str, members: bool = False) -> str:
    options = "   :members:\n   :show-inheritance:\n" if members else ""
    return f".. automodule:: {name}\n{options}\n"


# --- docstrings -----------------------------------------------------------------------------------------------------


def skip_member(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the fields of named tuples, which the docstring of their class explains."""
    is_field = (getattr(member, "__doc__", None) or "").startswith("Alias for field number")
    return True if is_field else None


def keep_words(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Let napoleon take no words before a colon for a type, as it does otherwise; our types are annotations."""
    if what in ("attribute", "data", "property"):
        lines[0] = f": {lines[0]}"
    for index, line in enumerate(lines[:-1]):
        if line in ("Returns:", "Yields:"):
            lines[index + 1] = re.sub(r"^( +)", r"\1: ", lines[index + 1])


_NDARRAY = re.compile(r"~numpy\.ndarray\[tuple\[[^\]]*\], ~numpy\.dtype\[(~?[\w.]+(?:\[[^\]]*\])?)\]\]")
_ARRAY_LIKE = stringify_annotation(npt.ArrayLike, "smart")


def shorten_arrays(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Write ``NDArray[float32]`` and ``ArrayLike`` as the code does, not what NumPy makes of them."""

    def shorten(text: str) -> str:
        text = re.sub(r"\bnpt\.", "~numpy.typing.", re.sub(r"\bnp\.", "~numpy.", text))
        text = text.replace(_ARRAY_LIKE, "~numpy.typing.ArrayLike")
        return _NDARRAY.sub(r"~numpy.typing.NDArray[\1]", text)

    return signature and shorten(signature), returns and shorten(returns)


# --- links ----------------------------------------------------------------------------------------------------------


class OneTitle(SphinxTransform):
    """One heading of the top level on a page: what follows another one, as in the model card, comes below the first."""

    default_priority = 5

    def apply(self, **kwargs: Any) -> None:
        """Change one page."""
        sections = [node for node in self.document.children if isinstance(node, nodes.section)]
        for section in sections[1:]:
            self.document.remove(section)
            sections[0].append(section)


class NoObject(SphinxTransform):
    """Leaves out "Bases: object", which says nothing."""

    default_priority = 5

    def apply(self, **kwargs: Any) -> None:
        """Change one page."""
        for paragraph in list(self.document.findall(nodes.paragraph)):
            if paragraph.astext() == "Bases: object":
                paragraph.parent.remove(paragraph)


class Links(SphinxTransform):
    """Lets a link to a Markdown file above ``docs`` lead to its page on the site, or else to the file, as a download.

    MyST itself does this for all other files. A folder has no page, so a link to one becomes text.
    """

    default_priority = 5

    def apply(self, **kwargs: Any) -> None:
        """Change the links of one page."""
        page = self.env.doc2path(self.env.docname)
        for link in list(self.document.findall(addnodes.pending_xref)):
            if link["reftype"] != "myst":
                continue
            if link.get("refdomain") != "doc":
                if Path(page).parent.joinpath(link["reftarget"]).is_dir():
                    link.replace_self(link.children)
                continue
            target = Path(os.path.relpath(DOCS / link["reftarget"], DOCS)).as_posix()  # absolute in some versions
            if target in OUTSIDE:
                link["reftarget"] = OUTSIDE[target]
            elif target.startswith("../"):
                file = os.path.relpath(DOCS / f"{target}.md", Path(page).parent)
                link.replace_self(addnodes.download_reference("", "", *link.children, reftarget=file, refdoc=page))


def resolve(
    app: Sphinx, env: BuildEnvironment, link: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.Node | None:
    """Find what a name means that Sphinx itself did not find; None makes a warning."""
    if link["refdomain"] != "py":
        return None
    target, module = link["reftarget"], link.get("py:module") or "scripts"
    if re.fullmatch(r"docs/[\w/.-]+\.md", target):
        page = target.removeprefix("docs/").removesuffix(".md")
        return make_refnode(app.builder, link["refdoc"], page, None, content) if page in env.all_docs else None
    names = [f"{base}.{target}" for base in _bases(module)]
    objects = env.domains["py"].data["objects"]
    for name in names:
        if name in objects:
            found = objects[name]
            return make_refnode(app.builder, link["refdoc"], found.docname, found.node_id, content, name)
    is_ours = target.startswith("scripts.") or ("." in target and any(_exists(n.rsplit(".", 1)[0]) for n in names))
    return None if is_ours and not any(_exists(name) for name in [target, *names]) else content


def _bases(module: str) -> Iterator[str]:
    """``a.b.c``, ``a.b`` and ``a``."""
    parts = module.split(".")
    for count in range(len(parts), 0, -1):
        yield ".".join(parts[:count])


def _exists(name: str) -> bool:
    """Whether a dotted name leads to a module or to something in one."""
    for base in _bases(name):
        try:
            found: Any = importlib.import_module(base)
        except ImportError:
            continue
        rest = name[len(base) + 1 :]
        for part in rest.split(".") if rest else []:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


# --- looks ----------------------------------------------------------------------------------------------------------


def keep_flags(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Let no line of a command end after the hyphens of a flag; site.css says the rest."""

    def mark(block: re.Match[str]) -> str:
        return re.sub(r"(?<=\s)--[\w#]+", r'<span class="pre">\g<0></span>', block[0])

    if "body" in context:
        context["body"] = re.sub(r"<pre>.*?</pre>", mark, context["body"], flags=re.DOTALL)


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls this."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("autodoc-process-docstring", keep_words, priority=400)
    app.connect("autodoc-process-signature", shorten_arrays)
    app.connect("missing-reference", resolve)
    app.connect("html-page-context", keep_flags)
    for transform in (OneTitle, NoObject, Links):
        app.add_transform(transform)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
