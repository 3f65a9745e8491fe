"""Which detections to ask about first, over all slides of a review. Arrays in, places out; no files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from ..errors import InputError
from ..maps.detections import Detections
from ..maps.files import MapInfo

ORDERS = ("suspicion", "uncertainty", "disagreement")

NEIGHBOR_UM = 500.0
"""Detections nearer than this show much the same tissue: about what a microscope shows at once at 40x."""


class Candidates(NamedTuple):
    """The detections of one slide.

    Attributes:
        points: (N, 2), (row, col), level-0 frame.
        prob: (N,) floating, in [0, 1].
        mpp: µm per level-0 pixel.
        other_prob: (N,) floating, what another map says at the same places, see `highest_near`; None without one.
    """

    points: npt.NDArray[np.integer[Any]]
    prob: npt.NDArray[np.floating[Any]]
    mpp: float
    other_prob: npt.NDArray[np.floating[Any]] | None = None


class Place(NamedTuple):
    """A detection: the number of its slide and its own on the slide, both from 0."""

    slide: int
    detection: int


def ask_first(slides: Sequence[Candidates], by: str = "suspicion", limit: int | None = None) -> list[Place]:
    """Put the detections of all slides in the order in which a person should judge them.

    The best of every slide come first, the better slides before the others; then the second ones, and so on. A
    detection nearer than `NEIGHBOR_UM` to one that was chosen before waits until all slides have been through, for its
    answer is most likely the same.

    What is best:

    - ``suspicion``: the highest probability.
    - ``uncertainty``: the probability nearest to 0.5. A temperature (see `scoring.temperature`) moves all
      probabilities to or from 0.5 without a change of this order, so that calibrated and other weights ask alike.
    - ``disagreement``: the largest difference between the two maps.

    Args:
        slides: the detections of each slide.
        by: one of `ORDERS`.
        limit: at most so many; None takes all.

    Returns:
        Each detection at most once; of equal ones that of the earlier slide, then the earlier one.

    Raises:
        InputError: if the order is unknown, the limit is not positive, or there is no second map to disagree with.
    """
    if by not in ORDERS:
        raise InputError(f"order: expected {', '.join(ORDERS)}, found {by!r:.40}; give one of them")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise InputError(f"limit: expected a positive whole number of detections, found {limit!r:.40}; mend it")
    keyed: list[tuple[bool, int, float, Place]] = []
    for number, slide in enumerate(slides):
        values = _values(slide, by)
        ranked = np.argsort(-values, kind="stable")
        waits = _is_near_an_earlier_one(slide.points[ranked] * slide.mpp)
        rank = {False: 0, True: 0}
        for index, later in zip(ranked.tolist(), waits.tolist(), strict=True):
            keyed.append((later, rank[later], -float(values[index]), Place(number, index)))
            rank[later] += 1
    return [place for *_, place in sorted(keyed)][:limit]


def highest_near(
    prob_map: npt.NDArray[np.floating[Any]], info: MapInfo, points: npt.ArrayLike, radius_um: float
) -> npt.NDArray[np.floating[Any]]:
    """What a map says near points: its highest probability within a square, for two maps' maxima lie not quite alike.

    Args:
        prob_map: (rows, cols) floating.
        info: its sidecar.
        points: (N, 2), (row, col), level-0 frame, inside the slide.
        radius_um: half the side of the square, rounded to map pixels.

    Returns:
        (N,) of the map's type.
    """
    radius = round(radius_um / (info.stride * info.mpp))
    rows, cols = (np.asarray(points, dtype=np.int64).reshape(-1, 2) // info.stride).T
    found = [
        prob_map[max(row - radius, 0) : row + radius + 1, max(col - radius, 0) : col + radius + 1].max()
        for row, col in zip(rows.tolist(), cols.tolist(), strict=True)
    ]
    return np.array(found, dtype=prob_map.dtype)


def joined(first: Detections, second: Detections, radius: float) -> Detections:
    """The detections of two maps of one slide, each place once.

    Args:
        first: level-0 frame.
        second: likewise; those within ``radius`` of one of the first are left out.
        radius: in level-0 pixels.

    Returns:
        The first, then what only the second map has, each with the probability of its own map.
    """
    places = [np.stack([found.row, found.col], axis=1) for found in (first, second)]
    is_new = np.ones(len(places[1]), dtype=bool)
    if len(places[0]) and len(places[1]):
        is_new = KDTree(places[0]).query(places[1])[0] > radius
    return Detections(*(np.concatenate([one, other[is_new]]) for one, other in zip(first, second, strict=True)))


def _values(slide: Candidates, by: str) -> npt.NDArray[np.float64]:
    """How much each detection should be asked about."""
    prob = slide.prob.astype(np.float64)
    if by == "suspicion":
        return prob
    if by == "uncertainty":
        return 0.5 - np.abs(prob - 0.5)
    if slide.other_prob is None:
        raise InputError("order disagreement: expected a second folder of maps of the same slides, found none; give it")
    return np.abs(prob - slide.other_prob.astype(np.float64))


def _is_near_an_earlier_one(places_um: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.bool_]:
    """Which of (N, 2) places lie near one before them that does not itself."""
    is_near = np.zeros(len(places_um), dtype=bool)
    if not len(places_um):
        return is_near
    neighbors = KDTree(places_um).query_ball_point(places_um, NEIGHBOR_UM)
    for index, around in enumerate(neighbors):
        is_near[index] = any(other < index and not is_near[other] for other in around)
    return is_near
