"""Tables of slides: a CSV file that lists slides, and says of each what its file and its name cannot.

A table may stand wherever slides are named. Its columns are `COLUMNS`, all but ``path`` optional; paths count from the
table's folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeGuard

from ..errors import InputError
from ..files import read_number
from ..geometry import check_mpp
from .dicom import files_of, path_of
from .names import check_cell, is_url, name_key, slide_name
from .tables import TableRow, check_names, read_table

COLUMNS = ("path", "mpp", "label", "mask", "annotation", "patient")
LABELS = ("normal", "tumor")


class SlideRow(NamedTuple):
    """What a table says of a slide.

    Attributes:
        place: file and line, for messages.
        path: the slide's path or address.
        mpp: µm per level-0 pixel, over what the slide's file says; None leaves that.
        label: one of `LABELS`, or None.
        mask: the slide's tumor mask, or None.
        annotation: its outlines, or None.
        patient: whose slide it is, or None.
    """

    place: str
    path: str
    mpp: float | None = None
    label: str | None = None
    mask: Path | None = None
    annotation: Path | None = None
    patient: str | None = None

    @property
    def name(self) -> str:
        """The slide's name."""
        return slide_name(self.path)


class SlideTable:
    """The rows of all tables among the paths that were given for slides; without a table it is empty.

    Args:
        slides: slides, folders of slides and tables.

    Attributes:
        rows: by `names.name_key`.

    Raises:
        InputError: if a table cannot be used, see `read_slide_table`, or two list the same slide.
    """

    def __init__(self, slides: str | Path | Sequence[str | Path] | None = ()) -> None:
        given = [slides] if isinstance(slides, (str, Path)) else slides or ()
        rows = [row for path in given if is_table(path) for row in read_slide_table(path)]
        check_names([row.name for row in rows], [row.place for row in rows])
        self.rows: Mapping[str, SlideRow] = MappingProxyType({name_key(row.name): row for row in rows})

    def get(self, name: str) -> SlideRow | None:
        """The row of a slide, by its name (see `names.slide_name`), or None."""
        return self.rows.get(name_key(name))

    def mpp(self, path: str | Path, otherwise: float | None = None) -> float | None:
        """The resolution that counts over what the slide's file says, in µm per level-0 pixel.

        Args:
            path: the slide's path or address.
            otherwise: what counts where no table states any.
        """
        row = self.get(slide_name(path))
        return otherwise if row is None or row.mpp is None else row.mpp

    def sample(self, path: str) -> dict[str, Any]:
        """What a data set is told of a slide: its path as ``image``, and ``mpp`` where that is stated."""
        mpp = self.mpp(path)
        return {"image": path} if mpp is None else {"image": path, "mpp": mpp}

    def annotations(self) -> dict[str, Path]:
        """The annotations that are listed, by `names.name_key`."""
        return {key: row.annotation for key, row in self.rows.items() if row.annotation is not None}

    def has_outlines(self) -> bool:
        """Whether a mask or an annotation is listed."""
        return any(row.mask or row.annotation for row in self.rows.values())


def is_table(path: object) -> TypeGuard[str | Path]:
    """Whether a path among slides is that of a table, by its suffix ``.csv``."""
    return isinstance(path, (str, Path)) and not is_url(path) and Path(path).suffix.lower() == ".csv"


def read_slide_table(path: str | Path) -> list[SlideRow]:
    """Read a table of slides.

    Args:
        path: a CSV file with some of `COLUMNS`.

    Returns:
        Its rows, as the file has them.

    Raises:
        InputError: if it is not as `tables.read_table` expects, lists a file that does not exist or a slide twice, or a
            cell is no such value. It names the line.
    """
    rows = [_slide_row(Path(path).parent, row) for row in read_table(path, COLUMNS, ["path"])]
    check_names([row.name for row in rows], [row.place for row in rows])
    return rows


def expand_tables(slides: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """The paths that were given for slides, with the slides of a table in place of the table."""
    given = [slides] if isinstance(slides, (str, Path)) else slides
    found: list[str | Path] = []
    for path in given:
        found += [row.path for row in read_slide_table(path)] if is_table(path) else [path]
    return found


def _slide_row(folder: Path, row: TableRow) -> SlideRow:
    place, cells = row
    label = cells["label"].lower()
    if label and label not in LABELS:
        raise InputError(
            f"{place}: label: expected {' or '.join(LABELS)}, or nothing, found {cells['label']!r}; mend it"
        )
    return SlideRow(
        place,
        _slide_path(folder, place, cells["path"]),
        _mpp(place, cells["mpp"]),
        label or None,
        _file(folder, place, "mask", cells["mask"]),
        _file(folder, place, "annotation", cells["annotation"]),
        check_cell(cells["patient"], f"{place}: patient") or None,
    )


def _slide_path(folder: Path, place: str, cell: str) -> str:
    if is_url(cell):
        return cell
    path = folder / os.path.expanduser(cell)
    if not os.path.exists(path):  # a text too long for the disk names nothing
        raise InputError(
            f"{place}: path: {cell}: no such slide; {path} was looked for, since paths count from the table's folder; "
            "mend it, or remove the line"
        )
    if path.is_dir() and not files_of(path):
        raise InputError(f"{place}: path: {cell}: is a folder, and not one of a single DICOM slide; list its slides")
    return str(path if path.is_dir() else path_of(path))


def _mpp(place: str, cell: str) -> float | None:
    if not cell:
        return None
    try:
        return check_mpp("mpp", read_number(cell))
    except InputError as error:
        raise InputError(f"{place}: {error}; mend it, or leave the cell empty") from error
    except ValueError as error:
        raise InputError(
            f"{place}: mpp: expected a number of µm per level-0 pixel, with a point, or nothing, found {cell!r:.40}; "
            "mend it"
        ) from error


def _file(folder: Path, place: str, column: str, cell: str) -> Path | None:
    if not cell:
        return None
    path = folder / os.path.expanduser(cell)
    if not os.path.isfile(path):
        raise InputError(
            f"{place}: {column}: {cell}: no such file; {path} was looked for, since paths count from the table's "
            "folder; mend it, or leave the cell empty"
        )
    return path
