"""What the report shows of a slide's artifacts: badges, a layer over the slide, and flags of detections."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..quality.classes import COLORS, FOUND, Artifact, shares
from .overlays import Layer, class_layer

_ALPHA = 150


class Badge(NamedTuple):
    """A class that was found on a slide.

    Attributes:
        words: its name.
        color: of it on the layer, as CSS.
        slide: its share of the slide, from 0 to 1.
        tissue: its share of the map's pixels that have a value.
    """

    words: str
    color: str
    slide: float
    tissue: float


class ArtifactView(NamedTuple):
    """Artifacts of a slide.

    Attributes:
        badges: the classes that were found, by number.
        layer: where they lie; None if there are none.
    """

    badges: list[Badge]
    layer: Layer | None


def view_artifacts(
    classes: npt.NDArray[np.uint8] | None,
    prob_map: npt.NDArray[np.floating[Any]],
    stride: int,
    slide_shape: tuple[int, int],
) -> ArtifactView | None:
    """Gather what is known of a slide's artifacts.

    Args:
        classes: (rows, cols) uint8, see `maps.artifacts.read_map_artifacts`.
        prob_map: (rows, cols), 0 where nothing was evaluated.
        stride: level-0 pixels per map pixel.
        slide_shape: (height, width) in level-0 pixels.

    Returns:
        The artifacts; None if the slide was not examined.
    """
    if classes is None:
        return None
    found = shares(classes, prob_map > 0)
    badges = [
        Badge(artifact.words, "rgb({},{},{})".format(*COLORS[artifact]), **found[artifact.label])
        for artifact in FOUND
        if (classes == artifact).any()
    ]
    if not badges:
        return ArtifactView([], None)
    palette = np.array([(*color, _ALPHA if number else 0) for number, color in enumerate(COLORS)], dtype=np.uint8)
    return ArtifactView(badges, class_layer(classes, palette, stride, slide_shape))


def flag_words(label: str) -> str:
    """A flag of a detection in words: ``in pen``; "" for none."""
    return f"in {Artifact[label.upper()].words}" if label else ""
