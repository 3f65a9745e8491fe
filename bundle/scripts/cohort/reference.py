"""Reference tables: the class of each slide and what else a challenge's organizers publish of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..errors import InputError, counted
from ..files import read_rows
from ..folders.names import SLIDE_SUFFIXES, name_key

_CLASSES = {"normal": False, "tumor": True}
_NUMBERS = {"0": False, "1": True}
_SIZES = ("macro", "micro", "itc", "none")
_HEADERS = {
    "slide": ("slide", "slide_name", "name", "image", "image_name", "file", "file_name", "filename", "case"),
    "class": ("class", "label", "tumor"),
    "histological_type": ("histological_type", "histology", "type", "subtype"),
    "metastasis": ("metastasis", "size"),
    "center": ("center", "centre", "hospital"),
}
_FORM = "columns slide, class (Normal or Tumor), histological type, metastasis (Macro, Micro or None)"

Lines = list[tuple[int, list[str]]]


class Reference(NamedTuple):
    """What reference tables say of a slide.

    Attributes:
        place: file and row, for messages.
        is_tumor: its class; None if no table says so.
        histological_type: of the primary tumor, such as ``IDC``, or None.
        metastasis: ``macro``, ``micro``, ``itc``, ``none``, or None.
        center: where it comes from, or None.
    """

    place: str
    is_tumor: bool | None = None
    histological_type: str | None = None
    metastasis: str | None = None
    center: str | None = None


def read_references(paths: str | Path | Sequence[str | Path]) -> dict[str, Reference]:
    """Read reference tables.

    A table is a CSV file (UTF-8), as CAMELYON16's ``reference.csv``: a row for each slide with its name, ``Normal`` or
    ``Tumor``, the histological type, and ``Macro``, ``Micro`` or ``None``, without a header and in any order. With a
    header it may also have a column ``center``, and leave out any column but the slide.

    Args:
        paths: one table or several, which add to each other.

    Returns:
        By `folders.names.name_key` of the slide's name.

    Raises:
        InputError: names the file and the row of what is damaged, unknown, twice there or contradicts itself.
    """
    found: dict[str, Reference] = {}
    for path in [paths] if isinstance(paths, (str, Path)) else paths:
        of_file = _read_table(Path(path))
        for key, row in of_file.items():
            found[key] = _joined(found[key], row) if key in found else row
    return found


def _joined(first: Reference, second: Reference) -> Reference:
    """What two tables say together."""
    values = {}
    for key, value in second._asdict().items():
        before = getattr(first, key)
        if key != "place" and None not in (before, value) and before != value:
            raise InputError(
                f"{second.place}: {key} differs from {first.place}; mend one of them, or leave one table out"
            )
        values[key] = value if before is None else before
    return Reference(**values | {"place": f"{first.place} and {second.place}"})


def _read_table(path: Path) -> dict[str, Reference]:
    lines = _read_lines(path)
    columns, lines = _find_columns(path, lines)
    found: dict[str, Reference] = {}
    for number, cells in lines:
        place = f"{path}, row {number}"
        values = {role: cells[index] for role, index in columns.items()}
        name = PurePosixPath(values["slide"].replace("\\", "/")).name
        name = name[: -len(suffix)] if (suffix := PurePosixPath(name).suffix).lower() in SLIDE_SUFFIXES else name
        if not name:
            raise InputError(f"{place}: expected the name of a slide, found none; fill it in, or remove the row")
        key = name_key(name)
        if key in found:
            raise InputError(f"{place}: the slide {name!r} is already in {found[key].place}; keep one of the rows")
        metastasis, kind = values.get("metastasis", "").lower() or None, values.get("histological_type") or None
        if metastasis not in (None, *_SIZES):
            raise InputError(f"{place}: metastasis: expected Macro, Micro, ITC or None, found {metastasis!r}; mend it")
        is_tumor = _class_of(place, values["class"]) if "class" in values else None
        if is_tumor is False and metastasis not in (None, "none"):
            raise InputError(f"{place}: contradicts itself: Normal, and a metastasis, {metastasis}; mend the row")
        found[key] = Reference(place, is_tumor, kind, metastasis, values.get("center") or None)
    return found


def _class_of(place: str, word: str) -> bool:
    known = {**_CLASSES, **_NUMBERS}
    if word.lower() not in known:
        raise InputError(f"{place}: class: expected Normal or Tumor, found {word!r}; mend the row")
    return known[word.lower()]


def _read_lines(path: Path) -> Lines:
    """The rows that are not blank, numbered as in the file, all of one length."""
    lines = read_rows(path, f"a CSV file with {_FORM}")
    if not lines:
        raise InputError(f"{path}: holds no slide; expected {_FORM}")
    for number, cells in lines:
        if len(cells) != len(lines[0][1]):
            raise InputError(
                f"{path}, row {number}: expected {counted(len(lines[0][1]), 'cell')} as in the first row, found "
                f"{len(cells)}; "
                "mend the row, and put a cell that holds a comma in quotes"
            )
    return lines


def _find_columns(path: Path, lines: Lines) -> tuple[dict[str, int], Lines]:
    """Which column is what, by what stands in it and, if there is a header, by its name; and the rows of slides."""
    if len(lines[0][1]) == 1:
        raise InputError(f"{path}, row {lines[0][0]}: expected {_FORM}, with commas between them, found one; mend it")
    columns = [[cells[index] for _, cells in lines] for index in range(len(lines[0][1]))]
    names = [re.sub(r"[ -]+", "_", cell.lower()) for cell in lines[0][1]]
    is_named = any(name in words and name not in _CLASSES for name in names for words in _HEADERS.values())
    has_header = is_named or not any(name in _CLASSES for name in names)
    names = names if has_header else [""] * len(names)
    columns = [values[has_header:] for values in columns]
    roles = [_role(name, values) for name, values in zip(names, columns, strict=True)]
    if not has_header:
        roles = _roles_without_header(roles, columns)
    elif unknown := [name for name, role in zip(names, roles, strict=True) if not role]:
        raise InputError(
            f"{path}, row {lines[0][0]}: unknown column {unknown[0]!r}; expected some of {', '.join(_HEADERS)}; "
            "rename or remove it"
        )
    for role in _HEADERS:
        if roles.count(role) > 1 or (role == "slide" and role not in roles):
            found = "several" if role in roles else "none"
            raise InputError(f"{path}: expected one column of the {role}, found {found}; expected {_FORM}")
    if "" in roles or len(roles) < 2 or not columns[0]:
        raise InputError(f"{path}: expected {_FORM}; name other columns in a header: {', '.join(_HEADERS)}")
    return {role: index for index, role in enumerate(roles)}, lines[has_header:]


def _role(name: str, values: list[str]) -> str:
    """What a column is, or "" if its values and its name do not say."""
    if _is_of(values, _CLASSES):
        return "class"
    if _is_of(values, _SIZES):
        return "metastasis"
    return next((role for role, words in _HEADERS.items() if name in words), "")


def _roles_without_header(roles: list[str], columns: list[list[str]]) -> list[str]:
    """Add what the first row shows, though a later one has a wrong word; then the slide, all of whose values differ.

    The one that is left is the histological type.
    """
    for role, words in (("class", _CLASSES), ("metastasis", _SIZES)):
        alike = [i for i, values in enumerate(columns) if not roles[i] and values[0].lower() in words]
        if role not in roles and len(alike) == 1:
            roles[alike[0]] = role
    distinct = [i for i, role in enumerate(roles) if not role and len(set(columns[i])) == len(columns[i])]
    if distinct:
        with_digits = [sum(any(letter.isdigit() for letter in value) for value in columns[i]) for i in distinct]
        roles[distinct[with_digits.index(max(with_digits))]] = "slide"
    left = [index for index, role in enumerate(roles) if not role]
    if len(left) == 1:
        roles[left[0]] = "histological_type"
    return roles


def _is_of(values: list[str], words: Mapping[str, bool] | Sequence[str]) -> bool:
    return any(values) and all(value.lower() in words or not value for value in values)
