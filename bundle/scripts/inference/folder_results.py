"""The folder that inference writes into: which of its maps are up to date, and how a new one takes an older's place."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..files import check_is_file, make_output_dir, read_json, read_npy, remove_leftovers, write_json, write_npy
from ..folders.lock import FolderLock
from ..quality.files import SUFFIX, write_artifacts
from .freshness import DAMAGED, INTERRUPTED, why_outdated

NEW = re.compile(r"(\.([^/]+)\.[0-9a-f]{16}\.new)\.(json|npy)")
"""Hidden names of a new map and its sidecar: without suffix, the slide's name, suffix."""


class ResultFolder:
    """Maps and their sidecars, written so that a map with a sidecar is whole and belongs to it.

    A new map and its sidecar are first written under hidden names. When both are whole, the older sidecar goes, and the
    two are renamed, the sidecar last. What a run that was killed in between left to do is done when the folder is
    locked again; so one of the two maps is always there in full.

    Args:
        path: the folder; made if it is missing.

    Raises:
        InputError: if it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = make_output_dir(path)
        self._lock = FolderLock(self.path)

    def lock(self, seconds: float | None = None) -> None:
        """Keep other runs out, until `unlock` or the end of the process, and finish what a killed run began.

        Args:
            seconds: how long to wait for another run; see `folders.lock.FolderLock.acquire`.

        Raises:
            InputError: if another run holds the folder.
        """
        self._lock.acquire(seconds)
        remove_leftovers(self.path, 0.0)
        for name in sorted(os.listdir(self.path)):  # of a pair the sidecar comes first
            found = NEW.fullmatch(name)
            if found and found[3] == "json":
                self._put_in_place(found[2], self.path / found[1])
            elif found:
                (self.path / name).unlink(missing_ok=True)

    def unlock(self) -> None:
        """Let other runs in."""
        self._lock.release()

    def write(
        self, name: str, prob_map: npt.NDArray[np.float32], sidecar: dict[str, Any], artifacts: bytes | None = None
    ) -> None:
        """Write a map and its sidecar in place of older ones, which stay until both are whole.

        Args:
            name: the slide's.
            prob_map: (rows, cols).
            sidecar: of the map.
            artifacts: artifact mask as PNG, which needs the slide alone and is written first; None removes an older.

        Raises:
            InputError: if the folder is full or read-only.
        """
        new = self.path / f".{name}.{secrets.token_hex(8)}.new"
        new_map, new_sidecar = Path(f"{new}.npy"), Path(f"{new}.json")
        if artifacts is None:
            (self.path / f"{name}{SUFFIX}").unlink(missing_ok=True)
        else:
            write_artifacts(self.path / f"{name}{SUFFIX}", artifacts)
        try:
            write_npy(new_map, prob_map)
            write_json(new_sidecar, sidecar)
            self._put_in_place(name, new)
        except InputError as error:
            if new_map.exists():  # else the map is in place, and its sidecar will be when the folder is locked again
                with suppress(OSError):  # the error on its way says more
                    new_sidecar.unlink(missing_ok=True)
                    new_map.unlink()
            raise InputError(str(error).replace(new.name, name)) from error

    def _put_in_place(self, name: str, new: Path) -> None:
        """Rename a new map and sidecar; begun anew, it goes on where it ended."""
        try:
            (self.path / f"{name}.json").unlink(missing_ok=True)
            with suppress(FileNotFoundError):  # renamed before
                os.replace(f"{new}.npy", self.path / f"{name}.npy")
            os.replace(f"{new}.json", self.path / f"{name}.json")
        except OSError as error:
            path = self.path / f"{name}.npy"
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
            check_is_file(sidecar_path)
            sidecar = sidecar_path.read_bytes()
        except FileNotFoundError:
            return INTERRUPTED if map_path.exists() else ""
        except (OSError, InputError):
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

    def read_summary(self) -> dict[str, Any]:
        """What ``run.json`` holds, of the run before; {} if it is missing or damaged."""
        try:
            content = read_json(self.path / "run.json")
        except InputError:
            return {}
        return content if isinstance(content, dict) else {}

    def read_sidecar(self, name: str) -> dict[str, Any]:
        """The sidecar of a map.

        Raises:
            InputError: if there is none, or it is damaged.
        """
        content: dict[str, Any] = read_json(self.path / f"{name}.json")
        return content
