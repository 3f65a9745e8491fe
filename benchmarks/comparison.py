"""How far two probability maps of the same positions agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.maps.detections import non_maximum_suppression

STRIDE = 64
NMS_RADIUS = round(186.6 / (STRIDE * 0.243))
COMPARED = ("largest difference", "cross 0.5", "detections", "the same point")


def detected_points(prob_map: npt.NDArray[np.floating[Any]]) -> set[tuple[int, int]]:
    """(row, col) of the detections of a map of stride 64."""
    found = non_maximum_suppression(prob_map, NMS_RADIUS)
    return set(zip(found.row.tolist(), found.col.tolist(), strict=True))


def compare(
    first: npt.NDArray[np.floating[Any]], second: npt.NDArray[np.floating[Any]], mask: npt.NDArray[np.bool_]
) -> list[str]:
    """Compare two maps inside a mask.

    Args:
        first: (rows, cols) probabilities.
        second: (rows, cols) probabilities.
        mask: (rows, cols) bool, true somewhere.

    Returns:
        Cells for `COMPARED`: largest difference of probability, share of positions on different sides of 0.5,
        detections of either, and those at the same point.
    """
    first, second = np.where(mask, first, 0), np.where(mask, second, 0)
    points, other_points = detected_points(first), detected_points(second)
    crossings = ((first > 0.5) != (second > 0.5))[mask].mean()
    return [
        f"{np.abs(first - second).max():.1e}",
        f"{100 * crossings:.2f} %",
        f"{len(points)} and {len(other_points)}",
        str(len(points & other_points)),
    ]
