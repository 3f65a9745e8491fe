"""The folder that inference writes into: one run at a time, and which of its maps are up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from ..errors import InputError
from ..files import make_output_dir, read_json, read_npy, write_json, write_npy
from .freshness import DAMAGED, INTERRUPTED, why_outdated

_LOCK_SECONDS = 8.0  # the readers of a killed run notice after 5 s, and hold its lock until then


class ResultFolder:
    """Maps and their sidecars, written so that a map with a sidecar is whole and belongs to it.

    An old sidecar goes before the new map comes, and the new sidecar is written last. A run that is killed in between
    leaves a map without a sidecar, which the next run computes again.

    Args:
        path: the folder; made if it is missing.

    Raises:
        InputError: if it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = make_output_dir(path)
        self._lock = FileLock(self.path / ".lock")

    def lock(self, seconds: float = _LOCK_SECONDS) -> None:
        """Keep other runs out, until `unlock` or the end of the process, however that comes.

        Raises:
            InputError: if another run holds the folder.
        """
        try:
            self._lock.acquire(timeout=seconds)
        except Timeout as error:
            raise InputError(
                f"output_dir {self.path}: another run is writing there; wait for it, or choose another folder"
            ) from error
        except OSError as error:
            raise InputError(f"{self.path / '.lock'}: cannot be locked ({error.strerror or error})") from error

    def unlock(self) -> None:
        """Let other runs in."""
        self._lock.release()

    def write(self, name: str, prob_map: npt.NDArray[np.float32], sidecar: dict[str, Any]) -> None:
        """Write a map and its sidecar in place of older ones.

        Raises:
            InputError: if the folder is full or read-only.
        """
        self.remove(name)
        write_npy(self.path / f"{name}.npy", prob_map)
        write_json(self.path / f"{name}.json", sidecar)

    def remove(self, name: str) -> None:
        """Remove a map and its sidecar, if they are there.

        Raises:
            InputError: if the folder is read-only.
        """
        for suffix in (".json", ".npy"):
            path = self.path / f"{name}{suffix}"
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise InputError(f"{path}: cannot be replaced ({error.strerror}); check the folder's rights") from error

    def outdated(self, name: str, expected: dict[str, Any]) -> str | None:
        """Why a slide must be computed.

        Args:
            name: the slide's.
            expected: what the sidecar must hold, key by key; values of JSON.

        Returns:
            A reason for the console, "" if nothing is there yet, None if map and sidecar are up to date.
        """
        sidecar_path, map_path = self.path / f"{name}.json", self.path / f"{name}.npy"
        try:
            sidecar = sidecar_path.read_bytes()
        except FileNotFoundError:
            return INTERRUPTED if map_path.exists() else ""
        except OSError:
            return DAMAGED
        try:
            prob_map = read_npy(map_path)
        except InputError:
            return why_outdated(sidecar, None, expected)
        return why_outdated(sidecar, prob_map.shape, expected)

    def write_summary(self, content: dict[str, Any]) -> None:
        """Write ``run.json``.

        Raises:
            InputError: if the folder is full or read-only.
        """
        write_json(self.path / "run.json", content)

    def read_sidecar(self, name: str) -> dict[str, Any]:
        """The sidecar of a map that is up to date."""
        content: dict[str, Any] = read_json(self.path / f"{name}.json")
        return content
