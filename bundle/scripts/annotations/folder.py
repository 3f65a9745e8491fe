"""Annotations of slides: below a folder, or in a table of slides; and which slides are normal without any."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import InputError
from ..folders.corrections import Corrections
from ..folders.slide_table import SlideTable
from .annotations import ANNOTATION_SUFFIXES, index_annotations, is_normal_name


class SlideClasses:
    """What tables of slides and corrections say of slides: their truth, and whether they are normal.

    Args:
        table: what tables of slides say, or None.
        corrections: classes that count over everything else, or None.
        columns: of the table, that name files which are read, by what these may end in.
    """

    def __init__(
        self, table: SlideTable | None, corrections: Corrections | None, columns: Mapping[str, tuple[str, ...]]
    ) -> None:
        self.table = table or SlideTable()
        self.corrections = corrections or Corrections()
        self._columns = columns

    def source(self) -> Path:
        """The first table that lists a file or a class, for messages.

        Raises:
            InputError: if none does.
        """
        for row in self.table.rows.values():
            if row.label or any(getattr(row, column) for column in self._columns):
                return Path(row.place.rpartition(", line ")[0])
        kinds, columns = (" or ".join(names) for names in ([f"{column}s" for column in self._columns], self._columns))
        raise InputError(
            f"truth: expected a folder of {kinds}, found none, and no table of slides with a column {columns} or "
            "label; give the folder, or --slides TABLE.csv"
        )

    def is_corrected(self, name: str) -> bool:
        """Whether a correction says that a slide is normal, so that its truth does not count."""
        return self.corrections.action(name) == "normal"

    def is_normal(self, name: str) -> bool:
        """Whether a slide without truth is known to be normal: by a correction, else by a table, else by its name."""
        row = self.table.get(name)
        action = self.corrections.action(name) or (None if row is None else row.label)
        return is_normal_name(name) if action is None else action == "normal"

    def find(self, name: str) -> Path | None:
        """The file that a table lists for a slide, of the first column that has one; or None.

        Raises:
            InputError: if it ends in something else.
        """
        row = self.table.get(name)
        for column, suffixes in self._columns.items():
            path = getattr(row, column, None)
            if row is None or path is None:
                continue
            if path.suffix.lower() not in suffixes:
                raise InputError(
                    f"{row.place}: {column}: expected a file ending in {' '.join(suffixes)}, found {path.name}; mend it"
                )
            return Path(path)
        return None


class AnnotationFolder:
    """The annotations below a folder; what it lacks, a table of slides may give. Corrections count over both.

    Args:
        folder: see `annotations.index_annotations`; None leaves the table alone.
        table: what tables of slides say, or None.
        corrections: classes that count over everything else, or None.

    Attributes:
        folder: for messages; the table's file where there is no folder.

    Raises:
        InputError: if the folder is missing or holds no annotation, or there is neither a folder nor a table that lists
            any.
    """

    def __init__(
        self, folder: str | Path | None, table: SlideTable | None = None, corrections: Corrections | None = None
    ) -> None:
        self._classes = SlideClasses(table, corrections, {"annotation": ANNOTATION_SUFFIXES})
        self._index = None if folder is None else index_annotations(folder)
        self.folder = self._classes.source() if folder is None else Path(folder)

    def find(self, name: str) -> Path | None:
        """The annotation of a slide, or None.

        Raises:
            InputError: if several files have its name, or the table lists another kind of file.
        """
        if self._classes.is_corrected(name):
            return None
        found = None if self._index is None else self._index.get(name)
        return found or self._classes.find(name)

    def is_normal(self, name: str) -> bool:
        """See `SlideClasses.is_normal`."""
        return self._classes.is_normal(name)
