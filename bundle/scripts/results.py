"""The folder that inference writes into: one run at a time, and which of its maps are up to date."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from .errors import InputError
from .files import make_output_dir, read_json, read_npy, write_json, write_npy
from .remote import describe, is_url
from .tiles import TileDataset

_LOCK_SECONDS = 8.0  # the readers of a killed run notice after 5 s, and hold its lock until then

INTERRUPTED = "a map without a sidecar, of a run that was interrupted"
DAMAGED = "its sidecar is damaged"


class Results(Protocol):
    """Where maps go: a folder, or a place in an object store."""

    path: Any

    def lock(self) -> None:
        """Keep other runs out."""

    def unlock(self) -> None:
        """Let other runs in."""

    def write(self, name: str, prob_map: npt.NDArray[np.float32], sidecar: dict[str, Any]) -> None:
        """Write a map and its sidecar."""

    def remove(self, name: str) -> None:
        """Remove them."""

    def outdated(self, name: str, expected: dict[str, Any]) -> str | None:
        """Why a slide must be computed; see `ResultFolder.outdated`."""

    def write_summary(self, content: dict[str, Any]) -> None:
        """Write ``run.json``."""

    def read_sidecar(self, name: str) -> dict[str, Any]:
        """The sidecar of a map that is up to date."""


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


def why_outdated(sidecar_text: bytes, map_shape: tuple[int, ...] | None, expected: dict[str, Any]) -> str | None:
    """Why a slide must be computed whose sidecar is there.

    Args:
        sidecar_text: what the sidecar holds.
        map_shape: shape of the map, None if it is missing or damaged.
        expected: see `ResultFolder.outdated`.

    Returns:
        A reason for the console, None if map and sidecar are up to date.
    """
    try:
        sidecar = json.loads(sidecar_text)
    except (ValueError, RecursionError):
        return DAMAGED
    if not isinstance(sidecar, dict):
        return DAMAGED
    changed = [key for key in expected if key not in sidecar or sidecar[key] != expected[key]]
    if changed:
        key = changed[0]
        return f"{key} was {json.dumps(sidecar.get(key)):.60}, is {json.dumps(expected[key]):.60}"
    if map_shape is None:
        return "its map is missing or damaged"
    stride, shape = expected.get("stride", 1), sidecar.get("shape", [0, 0])
    if not isinstance(shape, list) or not all(isinstance(side, int) for side in shape):
        return DAMAGED
    if list(map_shape) != [-(-side // stride) for side in shape]:
        return "its map is of another size"
    return None


def open_results(output_dir: str | Path) -> Results:
    """Where the maps go, by ``output_dir``.

    Raises:
        InputError: if it cannot be written.
    """
    if is_url(output_dir):
        from .object_results import ObjectResults

        return ObjectResults(str(output_dir))
    return ResultFolder(output_dir)


def slide_identity(path: str | Path) -> dict[str, Any]:
    """What tells whether a slide's file is still the same, without reading it.

    Args:
        path: the slide's file or address.

    Returns:
        ``slide``: its name; ``slide_bytes``; ``slide_modified``: in ns since 1970. None for what cannot be told.
    """
    if is_url(path):
        try:
            file = describe(str(path))
        except InputError:
            return {"slide": Path(path).name, "slide_bytes": None, "slide_modified": None}
        return {"slide": Path(path).name, "slide_bytes": file.size, "slide_modified": file.modified_ns}
    try:
        found = Path(path).stat()
    except OSError:  # planning the slide will say why
        return {"slide": Path(path).name, "slide_bytes": None, "slide_modified": None}
    return {"slide": Path(path).name, "slide_bytes": found.st_size, "slide_modified": found.st_mtime_ns}


def reading_settings(dataset: TileDataset, path: str | Path) -> dict[str, Any]:
    """Settings of reading on which a slide's map depends.

    Args:
        dataset: the dataset.
        path: the slide.

    Returns:
        ``stride``, ``model_mpp``, ``patch_size``, ``tile_size``, ``reader``: the backend asked for, ``assume_mpp``, and
        ``foreground``: the settings by which it is computed, or the SHA-256 of the slide's mask.
    """
    if dataset.foreground_dir is None:
        foreground: Any = dataset.foreground._asdict()
    else:
        mask = Path(dataset.foreground_dir) / f"{Path(path).stem}.png"
        foreground = hashlib.sha256(mask.read_bytes()).hexdigest() if mask.is_file() else None
    return {
        "stride": dataset.stride,
        "model_mpp": dataset.mpp,
        "patch_size": dataset.patch_size,
        "tile_size": dataset.tile_size,
        "reader": dataset.slides.backend,
        "assume_mpp": dataset.slides.assume_mpp,
        "foreground": foreground,
    }
