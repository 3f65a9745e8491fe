"""Whether version, changelog, pins, metadata, card, weights and configs of a checkout agree, as the model zoo asks."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from ..errors import InputError
from ..files import read_json
from .files import file_problems, purpose_problems

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = "pathology_tumor_detection"
LAST_PUBLISHED = "0.6.2"
"""The latest version of the other bundle that the model zoo has under this name."""

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
ZOO_PYTHON = "3.10"
"""The Python on which the model zoo's CI installs the pins of ``metadata.json``."""

_REQUIRED = (
    *("schema", "version", "changelog", "monai_version", "pytorch_version", "numpy_version"),
    *("required_packages_version", "task", "description", "authors", "copyright", "network_data_format"),
)
_REQUIRED_OF_TENSORS = ("type", "format", "num_channels", "spatial_shape", "dtype", "value_range")
_CARD_HEADINGS = (
    *("Model Overview", "Data", "Preprocessing", "Performance", "MONAI Bundle Commands", "References", "License"),
)


class Checkout(NamedTuple):
    """The texts of a checkout that say the same things in different places."""

    root: Path
    pyproject: dict[str, Any]
    constraints: str
    changelog: str
    metadata: dict[str, Any]
    card: str


def read_checkout(root: str | Path) -> Checkout:
    """Read a checkout.

    Args:
        root: folder that holds ``pyproject.toml`` and ``bundle``.

    Raises:
        InputError: if files are missing, as they are from an installed wheel, or not readable.
    """
    root = Path(root)
    wanted = ("pyproject.toml", "constraints.txt", "CHANGELOG.md", "LICENSE", "docs/README.md", "docs/data_license.txt")
    missing = [name for name in wanted if not (root / name).is_file()]
    if missing:
        raise InputError(
            f"{root}: no checkout of the repository, {', '.join(missing)} missing; run package from a checkout "
            "(pip install --editable), an installed wheel holds only the bundle"
        )
    try:
        pyproject = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{root / 'pyproject.toml'}: not TOML ({error}); mend it") from error
    return Checkout(
        root,
        pyproject,
        (root / "constraints.txt").read_text(encoding="utf-8"),
        (root / "CHANGELOG.md").read_text(encoding="utf-8"),
        read_json(root / "bundle" / "configs" / "metadata.json"),
        (root / "docs" / "README.md").read_text(encoding="utf-8"),
    )


def find_problems(checkout: Checkout, files: dict[str, Path]) -> list[str]:
    """Say what does not agree, a line each.

    Args:
        checkout: the texts.
        files: what is published: name inside the bundle, and where the file is.
    """
    missing = [f"metadata.json: {key!r} is missing" for key in _REQUIRED if key not in checkout.metadata]
    if missing:  # the other checks read these keys
        return missing
    problems = [*version_problems(checkout), *pin_problems(checkout), *metadata_problems(checkout.metadata)]
    problems += [*card_problems(checkout, files), *file_problems(files), *purpose_problems(files)]
    return problems


def version_problems(checkout: Checkout) -> list[str]:
    """Whether the version is one, new, and explained in both changelogs."""
    version, project = str(checkout.metadata["version"]), str(checkout.pyproject["project"]["version"])
    released = re.findall(r"^## \[(\d[^\]]*)\]", checkout.changelog, re.MULTILINE)
    logged = list(checkout.metadata["changelog"])
    problems = []
    if project != version:
        problems.append(f"version: {project} in pyproject.toml, {version} in metadata.json")
    if released[:1] != [version]:
        problems.append(f"version: {version} in metadata.json, {', '.join(released[:1]) or 'none'} on top of CHANGELOG")
    if logged != released:
        problems.append(f"changelog: versions {logged} in metadata.json, {released} in CHANGELOG.md")
    if version not in logged:
        problems.append(f"changelog: metadata.json has no entry for its version {version}")
    try:
        is_new = Version(version) > Version(LAST_PUBLISHED)
    except InvalidVersion:
        is_new = False
    if not is_new:
        problems.append(f"version: {version} is not above {LAST_PUBLISHED}, which the model zoo has under this name")
    return problems


def pins(constraints: str, python: str) -> dict[str, str]:
    """Pinned versions for a Python version, by canonical name.

    Args:
        constraints: text of ``constraints.txt``.
        python: such as ``3.10``.

    Raises:
        InputError: if a line pins no exact version, or a package is pinned twice.
    """
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    found: dict[str, str] = {}
    for line in constraints.splitlines():
        if not line or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate(environment):
            continue
        specifiers, name = list(requirement.specifier), canonicalize_name(requirement.name)
        if len(specifiers) != 1 or specifiers[0].operator != "==":
            raise InputError(f"constraints.txt: expected one exact version, but got {line!r}")
        if name in found:
            raise InputError(f"constraints.txt: {name} is pinned twice for Python {python}; keep one")
        found[name] = specifiers[0].version
    return found


def requirements(texts: list[str], python: str) -> dict[str, Requirement]:
    """Requirements that hold on a Python version under Linux, by canonical name."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    found = map(Requirement, texts)
    return {
        canonicalize_name(item.name): item for item in found if item.marker is None or item.marker.evaluate(environment)
    }


def pin_problems(checkout: Checkout) -> list[str]:
    """Whether every dependency is pinned within its range, and metadata.json repeats the zoo's pins."""
    project = checkout.pyproject["project"]
    extras = [text for group in project.get("optional-dependencies", {}).values() for text in group]
    problems = []
    for python in PYTHONS:
        pinned = pins(checkout.constraints, python)
        for name, requirement in requirements([*project["dependencies"], *extras], python).items():
            if name == project["name"]:  # its own extras, of which the tests need some
                continue
            if name not in pinned:
                problems.append(f"constraints.txt: does not pin {name} for Python {python}")
            elif not requirement.specifier.contains(pinned[name]):
                problems.append(f"constraints.txt: {name} {pinned[name]} is outside {requirement} of pyproject.toml")
    pinned = pins(checkout.constraints, ZOO_PYTHON)
    needed = set(requirements(project["dependencies"], ZOO_PYTHON))
    wanted = {name: pinned[name] for name in needed & pinned.keys()}
    metadata = checkout.metadata
    stated = {"monai": metadata["monai_version"], "torch": metadata["pytorch_version"]}
    stated |= {"numpy": metadata["numpy_version"], **metadata["required_packages_version"]}
    for name in sorted(stated.keys() | wanted.keys()):
        if stated.get(name) != wanted.get(name):
            problems.append(
                f"pins: {name} is {stated.get(name, 'missing')} in metadata.json, {wanted.get(name, 'not needed')} in "
                f"constraints.txt for Python {ZOO_PYTHON}"
            )
    return problems


def metadata_problems(metadata: dict[str, Any]) -> list[str]:
    """Whether metadata.json has the form that the zoo asks for."""
    problems = []
    if "optional_packages_version" in metadata:
        problems.append("metadata.json: optional_packages_version is the old name of required_packages_version")
    name = str(metadata.get("name", "")).lower().replace(" ", "_")
    if name != NAME or not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name) or "_v" in name:
        problems.append(f"metadata.json: name {metadata.get('name')!r} must be the bundle's, {NAME}, in words")
    formats = metadata["network_data_format"]
    for side, tensor in (("inputs", "image"), ("outputs", "pred")):
        if tensor not in formats.get(side, {}):
            problems.append(f"metadata.json: network_data_format has no {side} {tensor}")
    for side, tensors in formats.items():
        for tensor, found in tensors.items():
            missing = [key for key in _REQUIRED_OF_TENSORS if key not in found]
            if missing:
                problems.append(f"metadata.json: {side} {tensor} lacks {', '.join(missing)}")
    return problems


def card_problems(checkout: Checkout, files: dict[str, Path]) -> list[str]:
    """Whether the model card has the zoo's form, and states what metadata.json and the files are."""
    card, formats = checkout.card, checkout.metadata["network_data_format"]
    headings = [text for text in re.findall(r"^#+ (.+)$", card, re.MULTILINE) if text in _CARD_HEADINGS]
    problems = []
    if headings != list(_CARD_HEADINGS):
        problems.append(f"card: expected the headings {', '.join(_CARD_HEADINGS)}, but got {', '.join(headings)}")
    for side, tensor in (("inputs", "image"), ("outputs", "pred")):
        found = formats.get(side, {}).get(tensor, {})
        shape = ", ".join(map(str, ("N", found.get("num_channels"), *found.get("spatial_shape", ()))))
        stated = f"`{tensor}`: ({shape}) {found.get('dtype')}"
        if stated not in card:
            problems.append(f"card: does not state {stated!r}, as metadata.json does")
    for name in sorted(set(re.findall(r"(?<![\w/.])((?:configs|models)/\w+\.\w+)", card)) - files.keys()):
        problems.append(f"card: names {name}, which is not in the bundle")
    for name in files:
        if name.startswith("models/") and name not in card:
            problems.append(f"card: does not name {name}")
    return problems
