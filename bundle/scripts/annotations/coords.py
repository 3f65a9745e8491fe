"""Coordinate files: centers of training regions, one ``slide,x,y`` (NCRF) a line, in level-0 pixels, without a header.

Loclabel files begin their lines alike, so their reader shares the parts.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError, counted
from ..files import check_is_file, read_number
from ..folders.names import check_cell
from ..geometry import COORDINATE_LIMIT


class Coordinate(NamedTuple):
    """Center of a region in level-0 pixels; the name is a string, ``001`` stays ``001``."""

    name: str
    row: int
    col: int


def read_coords(path: str | Path) -> list[Coordinate]:
    """Read a coordinate file: ``slide,x,y`` in whole level-0 pixels, no header.

    Args:
        path: the file. Blank lines may stand at its end only; ``100.0`` is a whole number, ``100.5`` is not.

    Returns:
        The coordinates in the file's order.

    Raises:
        InputError: at the first line that is not as expected, or if there is none.
    """
    return [parse_coordinate(path, line, fields) for line, fields in read_rows(path, 3, "slide,x,y")]


def read_rows(path: str | Path, num_fields: int, form: str) -> Iterator[tuple[int, list[str]]]:
    """Read the lines of a CSV file without a header; blank ones may stand at its end only.

    Args:
        path: the file.
        num_fields: columns that each line must have.
        form: what a line looks like, for messages.

    Yields:
        Line number, from 1, and fields.

    Raises:
        InputError: if the file is missing, damaged or empty, or at the first line that is not as expected.
    """
    check_is_file(path)
    blank = 0
    is_empty = True
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            for fields in reader:
                line = reader.line_num
                if not any(field and not field.isspace() for field in fields):
                    blank = blank or line
                    continue
                if blank:
                    raise InputError(f"{path}, line {blank}: is blank; remove it (blank lines may only end the file)")
                if len(fields) != num_fields:
                    raise InputError(
                        f"{path}, line {line}: expected {counted(num_fields, 'column')} ({form}), found "
                        f"{len(fields)}; mend it"
                    )
                is_empty = False
                yield line, fields
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable CSV file ({error}); expected lines of {form}") from error
    if is_empty:
        raise InputError(f"{path}: is empty; expected lines of {form}")


def parse_coordinate(path: str | Path, line: int, fields: Sequence[str]) -> Coordinate:
    """Read the coordinate that a line begins with.

    Args:
        path: the file, for messages.
        line: its number, for messages.
        fields: the line's; name, x and y come first.

    Returns:
        The coordinate, (row, col).

    Raises:
        InputError: if there is no name, or x or y is no whole number of pixels inside of any slide.
    """
    name, x, y = fields[0].strip(), _pixel(fields[1]), _pixel(fields[2])
    check_cell(name, f"{path}, line {line}")
    if not name or x is None or y is None:
        is_header = line == 1 and not any(character.isdigit() for character in fields[1] + fields[2])
        raise InputError(
            f"{path}, line {line}: expected a slide name and whole level-0 pixels x and y, not negative, found "
            f"{','.join(fields[:3])}; {'remove the header' if is_header else 'mend the line'}"
        )
    return Coordinate(name, y, x)


def _pixel(field: str) -> int | None:
    if len(field) < 10 and field.isascii() and field.isdecimal():
        return int(field)
    try:
        value = read_number(field)
    except ValueError:
        return None
    return int(value) if 0 <= value < COORDINATE_LIMIT and value.is_integer() else None
