"""The folder of a training run, which one training at a time writes into."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import bundle_root
from ..errors import InputError
from ..files import make_output_dir, remove_leftovers
from ..folders.lock import FolderLock

_LOCKS: dict[Path, FolderLock] = {}
"""Of this process, in which a training that failed may be tried again."""


def prepare_run_dir(output_dir: str | Path) -> str:
    """Make the folder of a training run, before anything else is written into it.

    Args:
        output_dir: the folder; the bundle's own ``models`` folder is refused.

    Returns:
        The folder.

    Raises:
        InputError: if the folder cannot be written or is the bundle's ``models`` folder.
    """
    if Path(output_dir).resolve() == (Path(bundle_root()) / "models").resolve():
        raise InputError(f"output_dir {output_dir} holds the shipped weights; choose another folder")
    return str(make_output_dir(output_dir))


class RunFolder:
    """Keeps other trainings out of a folder.

    Args:
        output_dir: see `prepare_run_dir`.

    Raises:
        InputError: see `prepare_run_dir`.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.path = Path(prepare_run_dir(output_dir))

    def lock(self, *_: Any) -> None:
        """Keep other trainings out, until this one or its process has ended; a handler of Ignite.

        Raises:
            InputError: if another holds the folder.
        """
        folder = self.path.resolve()
        if folder not in _LOCKS:
            lock = FolderLock(self.path)
            lock.acquire()
            _LOCKS[folder] = lock
        remove_leftovers(self.path, 0.0)

    def unlock(self, *_: Any) -> None:
        """Let other trainings in; a handler of Ignite."""
        lock = _LOCKS.pop(self.path.resolve(), None)
        if lock is not None:
            lock.release()
