"""The classes of artifacts: numbers in masks, names in files and flags, colors in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from ..errors import InputError


class Artifact(IntEnum):
    """What a pixel of an artifact mask is; where several meet, the first of `ORDER` counts."""

    NONE = 0
    PEN = 1
    BLUR = 2
    DARK_EDGE = 3
    COVERSLIP_EDGE = 4
    BLACK = 5

    @property
    def label(self) -> str:
        """The name in files and flags: ``dark_edge``."""
        return self.name.lower()

    @property
    def words(self) -> str:
        """The name in sentences: ``dark edge``."""
        return self.label.replace("_", " ")


FOUND = (Artifact.PEN, Artifact.BLUR, Artifact.DARK_EDGE, Artifact.COVERSLIP_EDGE, Artifact.BLACK)
"""All classes but `Artifact.NONE`."""

ORDER = (Artifact.BLACK, Artifact.DARK_EDGE, Artifact.PEN, Artifact.COVERSLIP_EDGE, Artifact.BLUR)

COLORS = ((0, 0, 0), (0, 190, 255), (255, 160, 0), (130, 130, 130), (0, 200, 120), (70, 70, 70))
"""RGB of each class, by number; they differ from the colors of stains."""


def parse_classes(names: str | Sequence[str] | None) -> tuple[Artifact, ...]:
    """Classes by their names.

    Args:
        names: such as ``pen,blur``, or a sequence of names; may be empty or None.

    Returns:
        Each once, by number.

    Raises:
        InputError: if a name is not known.
    """
    texts = names.split(",") if isinstance(names, str) else [str(name) for name in names or ()]
    by_label = {artifact.label: artifact for artifact in FOUND}
    found = {text.strip().lower() for text in texts} - {""}
    if unknown := sorted(found - by_label.keys()):
        raise InputError(f"skip_artifacts: expected some of {', '.join(by_label)}, found {unknown[0]!r}; mend the name")
    return tuple(artifact for artifact in FOUND if artifact.label in found)


def is_any(classes: npt.NDArray[np.uint8], wanted: Sequence[Artifact]) -> npt.NDArray[np.bool_]:
    """Where an artifact mask shows one of some classes.

    Args:
        classes: (rows, cols) uint8.
        wanted: the classes.

    Returns:
        (rows, cols) bool.
    """
    return np.isin(classes, [int(artifact) for artifact in wanted])


def shares(classes: npt.NDArray[np.uint8], tissue: npt.NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    """How much of a slide each class covers.

    Args:
        classes: (rows, cols) uint8.
        tissue: (rows, cols) bool foreground.

    Returns:
        By label of each class of `FOUND`: ``slide``, its share of all pixels, and ``tissue``, of the tissue's.
    """
    all_counts = np.bincount(classes.ravel(), minlength=len(Artifact))
    counts = np.bincount(classes[tissue], minlength=len(Artifact))
    num_tissue = max(1, int(tissue.sum()))
    return {
        artifact.label: {
            "slide": round(int(all_counts[artifact]) / classes.size, 6),
            "tissue": round(int(counts[artifact]) / num_tissue, 6),
        }
        for artifact in FOUND
    }
