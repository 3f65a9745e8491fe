"""A folder of verdicts, a file and its log for each slide, that one server at a time writes to."""

from __future__ import annotations

from pathlib import Path

from ..files import check_name, make_output_dir
from ..folders.lock import FolderLock
from .verdict_files import VerdictFile


class VerdictFolder:
    """The verdicts of a run, in a folder that no other server writes to at the same time.

    Args:
        folder: made if it is missing.
        reviewer: who judges.

    Raises:
        InputError: if it cannot be written, or another server holds it.
    """

    def __init__(self, folder: str | Path, reviewer: str | None = None) -> None:
        self.path = make_output_dir(folder)
        self.reviewer = reviewer
        self._lock = FolderLock(self.path, "output")
        self._lock.acquire(seconds=0)

    def open(self, name: str, origin: tuple[int, int] = (0, 0)) -> VerdictFile:
        """The verdicts of a slide; see `VerdictFile`.

        Args:
            name: the slide's name, as its map has it.
            origin: see `VerdictFile`.
        """
        return VerdictFile(self.path / f"{check_name(name, self.path)}.geojson", self.reviewer, origin)

    def close(self) -> None:
        """Let other servers in."""
        self._lock.release()
