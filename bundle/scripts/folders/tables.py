"""CSV files with a header and a row for each slide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError, counted
from ..files import read_rows
from .names import name_key


class TableRow(NamedTuple):
    """A row of a table.

    Attributes:
        place: file and line, for messages.
        cells: by column, without spaces around them; "" where the table has no such column.
    """

    place: str
    cells: dict[str, str]


def read_table(path: str | Path, columns: Sequence[str], needed: Sequence[str]) -> list[TableRow]:
    """Read a table: UTF-8, cells separated by commas (RFC 4180), the first line names the columns.

    Args:
        path: the file. Blank lines do not count.
        columns: that it may have, in any order.
        needed: those that it must have, and that no row may leave empty.

    Returns:
        The rows, at least one.

    Raises:
        InputError: if the file is missing, damaged or has no row, its columns are others, or a row is not as expected.
    """
    form = f"a CSV file with the columns {', '.join(columns)}"
    lines = read_rows(path, form)
    if len(lines) < 2:
        raise InputError(f"{path}: holds no slide; expected {form}, and a row for each slide")
    number, header = lines[0]
    unknown = [name for name in header if name not in columns]
    if unknown:
        raise InputError(
            f"{path}, line {number}: unknown columns {', '.join(map(repr, unknown))}; expected some of "
            f"{', '.join(columns)}, separated by commas; rename or remove them"
        )
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise InputError(f"{path}, line {number}: the column {twice[0]} is there twice; keep one")
    if missing := [name for name in needed if name not in header]:
        raise InputError(f"{path}, line {number}: expected the column {missing[0]}, found {', '.join(header)}; add it")
    rows = []
    for number, cells in lines[1:]:
        place = f"{path}, line {number}"
        if len(cells) != len(header):
            raise InputError(
                f"{place}: expected {counted(len(header), 'cell')} as in the header, found {len(cells)}; mend the "
                f"line, and put "
                "a cell that holds a comma in quotes"
            )
        row = TableRow(place, {**dict.fromkeys(columns, ""), **dict(zip(header, cells, strict=True))})
        if empty := [name for name in needed if not row.cells[name]]:
            raise InputError(f"{place}: {empty[0]}: is empty; fill it in, or remove the line")
        rows.append(row)
    return rows


def find_columns(
    path: str | Path, rows: Sequence[tuple[int, list[str]]], *headers: tuple[str, str]
) -> tuple[int, int] | None:
    """Where two columns of a table are that may have a header, which case and spaces do not change.

    Args:
        path: the table, for messages.
        rows: of `files.read_rows`.
        headers: names of both columns; the first that is there counts.

    Returns:
        Their places, or None if the first row is no such header.

    Raises:
        InputError: if there is no row, or one of the columns is there twice.
    """
    if not rows:
        raise InputError(f"{path}: expected rows {','.join(headers[0])}, found none; write it again")
    number, names = rows[0][0], [name.strip().lower() for name in rows[0][1]]
    for header in headers:
        if set(header) <= set(names):
            if twice := [name for name in header if names.count(name) > 1]:
                raise InputError(f"{path}, line {number}: the column {twice[0]} is there twice; keep one")
            return names.index(header[0]), names.index(header[1])
    return None


def check_names(names: Sequence[str], places: Sequence[str]) -> None:
    """Refuse two rows for one slide.

    Args:
        names: the slides' names; case and Unicode's forms make no difference.
        places: for each, file and line.

    Raises:
        InputError: names both lines.
    """
    first: dict[str, str] = {}
    for name, place in zip(names, places, strict=True):
        other = first.setdefault(name_key(name), place)
        if other != place:
            raise InputError(
                f"{place}: the slide {name!r} is already in {other} (case makes no difference); keep one of the lines"
            )
