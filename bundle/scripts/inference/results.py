"""Where inference writes: a folder or a place in an object store, by the form of ``output_dir``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..folders.names import is_url
from .folder_results import ResultFolder
from .object_results import ObjectResults

RESERVED_NAMES = ("run",)
"""Names that a slide cannot have, since ``run.json`` sums up the run."""


class Results(Protocol):
    """Where maps go: a folder, or a place in an object store."""

    path: Any

    def lock(self) -> None:
        """Keep other runs out, and finish what a killed run began."""

    def unlock(self) -> None:
        """Let other runs in."""

    def write(
        self, name: str, prob_map: npt.NDArray[np.float32], sidecar: dict[str, Any], artifacts: bytes | None = None
    ) -> None:
        """Write a map, its sidecar and its artifact mask in place of older ones, which stay until they are whole."""

    def outdated(self, name: str, expected: dict[str, Any]) -> str | None:
        """Why a slide must be computed; see `folder_results.ResultFolder.outdated`."""

    def write_summary(self, content: dict[str, Any]) -> None:
        """Write ``run.json``."""

    def read_summary(self) -> dict[str, Any]:
        """What ``run.json`` holds, of the run before; {} if it is missing or damaged."""

    def read_sidecar(self, name: str) -> dict[str, Any]:
        """The sidecar of a map.

        Raises:
            InputError: if there is none, or it is damaged.
        """


def open_results(output_dir: str | Path) -> Results:
    """Where the maps go, by ``output_dir``.

    Raises:
        InputError: if it cannot be written.
    """
    return ObjectResults(str(output_dir)) if is_url(output_dir) else ResultFolder(output_dir)
