"""Foregrounds of slides whose artifacts are known: what lies in which, and what is left out of it when asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..quality.classes import Artifact, is_any
from ..quality.examination import examine
from ..slides.slide import MODEL_MPP, Slide
from .foreground import without_small

_WORTH_A_NOTE = 0.005
"""Share of a slide's tissue from which on people are told that an artifact covers it."""

_NEARLY_BLANK = 0.001
"""Share of a slide that is tissue below which it is nearly blank: 0.5 mm² on a slide of 25 x 20 mm."""


class ExaminedForeground(NamedTuple):
    """A foreground and its artifacts.

    Attributes:
        mask: (rows, cols) bool, true where there is tissue, without what was left out.
        classes: (rows, cols) uint8 of `quality.classes.Artifact`.
        about: for sidecars: ``tissue_fraction``, ``artifacts``, ``sharpness`` and ``skip_artifacts``.
    """

    mask: npt.NDArray[np.bool_]
    classes: npt.NDArray[np.uint8]
    about: dict[str, Any]


def examined_foreground(
    slide: Slide,
    overview: npt.NDArray[np.uint8],
    mask: npt.NDArray[np.bool_],
    stride: int,
    min_tissue_um2: float,
    skip: Sequence[Artifact] = (),
) -> ExaminedForeground:
    """Find the artifacts of a slide whose tissue is known, and leave some of them out of it.

    Args:
        slide: the slide.
        overview: (rows, cols, 3) uint8 RGB of it at the stride.
        mask: (rows, cols) bool foreground.
        stride: level-0 pixels per mask pixel.
        min_tissue_um2: what remains of tissue up to this area is left out, too, if any is.
        skip: the classes to leave out.

    Returns:
        Both. The shares in ``artifacts`` are those of the tissue as it was given.

    Raises:
        InputError: if a tile is damaged.
    """
    found = examine(slide, overview, mask, stride)
    kept = without_artifacts(mask, found.classes, min_tissue_um2 / (stride * (slide.mpp or MODEL_MPP)) ** 2, skip)
    about = {
        "tissue_fraction": round(float(kept.mean()), 6),
        **found.about,
        "skip_artifacts": [artifact.label for artifact in skip],
    }
    return ExaminedForeground(kept, found.classes, about)


def without_artifacts(
    mask: npt.NDArray[np.bool_], classes: npt.NDArray[np.uint8], max_speck: float, skip: Sequence[Artifact]
) -> npt.NDArray[np.bool_]:
    """A foreground without some artifacts.

    Args:
        mask: (rows, cols) bool.
        classes: (rows, cols) uint8 of `quality.classes.Artifact`.
        max_speck: components that remain and have up to so many pixels are left out.
        skip: the classes; without any the mask stays as it is.

    Returns:
        (rows, cols) bool.
    """
    left_out = mask & is_any(classes, skip)
    return without_small(mask & ~left_out, max_speck) if left_out.any() else mask


def quality_notes(about: Mapping[str, Any]) -> list[str]:
    """What people must know of a slide's artifacts, a sentence each.

    Args:
        about: of `ExaminedForeground`.
    """
    notes = []
    for label, share in (about["artifacts"] or {}).items():
        if share is not None and share["tissue"] >= _WORTH_A_NOTE:
            left_out = label in about["skip_artifacts"]
            outcome = "it is left out" if left_out else "what is found in it is flagged"
            notes.append(f"{Artifact[label.upper()].words} covers {share['tissue']:.1%} of its tissue; {outcome}")
    if 0 < about["tissue_fraction"] < _NEARLY_BLANK:
        notes.append(f"nearly blank: tissue covers {about['tissue_fraction']:.3%} of it")
    return notes
