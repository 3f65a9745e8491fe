"""Artifacts under a probability map: which of its pixels lie in pen, blur or another artifact of the slide."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..geometry import map_shape
from ..quality.classes import FOUND, Artifact
from ..quality.files import SUFFIX, read_artifacts
from .files import MapInfo

NO_ARTIFACT = ""
"""The label of what lies in no artifact, or on a slide that was not examined."""


def read_map_artifacts(info: MapInfo) -> npt.NDArray[np.uint8] | None:
    """Read the artifact mask beside a map.

    Args:
        info: the map's sidecar.

    Returns:
        (rows, cols) uint8 of `quality.classes.Artifact`, as the map; None where there is none.

    Raises:
        InputError: if it is damaged, or of another shape than the map.
    """
    path = info.path.with_name(f"{info.path.stem}{SUFFIX}")
    return read_artifacts(path, map_shape(info.slide_shape, info.stride)) if path.is_file() else None


def labels_at(
    classes: npt.NDArray[np.uint8] | None, rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64]
) -> tuple[str, ...]:
    """Labels of the artifacts at some pixels of a map.

    Args:
        classes: of `read_map_artifacts`.
        rows: (N,), on the map.
        cols: (N,), on the map.

    Returns:
        N labels; `NO_ARTIFACT` where there is none.
    """
    if classes is None:
        return (NO_ARTIFACT,) * len(rows)
    return tuple(Artifact(number).label if number else NO_ARTIFACT for number in classes[rows, cols].tolist())


def main_artifact(found: npt.NDArray[np.uint8]) -> tuple[str, float]:
    """The artifact that covers most of some pixels.

    Args:
        found: (N,) uint8, the pixels' classes.

    Returns:
        Its label, `NO_ARTIFACT` if there is none, and the share of the pixels that lie in any artifact.
    """
    counts = np.bincount(found, minlength=len(Artifact))
    largest = max(FOUND, key=lambda artifact: int(counts[artifact]))
    share = 1 - int(counts[Artifact.NONE]) / max(1, found.size)
    return (largest.label if counts[largest] else NO_ARTIFACT), share if found.size else 0.0
