"""One run at a time in a folder of results; the lock goes with its process, however that ends."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import InputError

_LOCK_SECONDS = 8.0  # the readers of a killed run notice after 5 s, and hold its lock until then


class FolderLock:
    """Keeps other runs out of a folder.

    Args:
        folder: where results go; it is there, and can be written.
        flag: what the user calls the folder, for messages.
    """

    def __init__(self, folder: Path, flag: str = "output_dir") -> None:
        self.folder = folder
        self.flag = flag
        self._lock = FileLock(folder / ".lock")

    def acquire(self, seconds: float | None = None) -> None:
        """Keep other runs out, until `release` or the end of the process, however that comes.

        Args:
            seconds: how long to wait for another run to end; a little if None.

        Raises:
            InputError: if another run holds the folder.
        """
        try:
            self._lock.acquire(timeout=_LOCK_SECONDS if seconds is None else seconds)
        except Timeout as error:
            raise InputError(
                f"{self.flag} {self.folder}: another run is writing there; wait for it, or choose another folder"
            ) from error
        except OSError as error:
            raise InputError(f"{self.folder / '.lock'}: cannot be locked ({error.strerror or error})") from error

    def release(self) -> None:
        """Let other runs in."""
        self._lock.release()
