"""The queue of a review: which detections are asked about, and in which order; see `order`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..folders.names import name_key
from ..maps.detections import Detections
from ..maps.files import MapInfo, read_map, read_map_infos
from ..scoring.settings import ScoreSettings
from .cohort import ReviewSlide
from .order import Candidates, ask_first, highest_near, joined


class QueueSettings(NamedTuple):
    """What is asked first.

    Attributes:
        order: one of `order.ORDERS`; None asks slide by slide.
        limit: at most so many detections; None asks about all.
        against: folder of other maps of the same slides, with which `disagreement` compares.
    """

    order: str | None = None
    limit: int | None = None
    against: Path | None = None


class OtherMap(NamedTuple):
    """What another map says of a slide.

    Attributes:
        info: its sidecar.
        detections: those that the slide's own map does not have; level-0 frame.
        prob: the probabilities at the detections of the own map, then those of the own map at ``detections``.
    """

    info: MapInfo
    detections: Detections
    prob: np.ndarray[tuple[int], np.dtype[np.floating]]


def read_other_maps(cohort: Sequence[ReviewSlide], folder: Path, scoring: ScoreSettings) -> dict[int, OtherMap]:
    """Read a second folder of maps.

    Args:
        cohort: the slides.
        folder: maps of other weights or of another mode.
        scoring: how detections are found; places within its radius of suppression are the same.

    Returns:
        By number of the slide.

    Raises:
        InputError: if a slide has no map there, or one of another slide.
    """
    infos = {name_key(info.name): info for info in read_map_infos(folder)}
    found = {}
    for slide in cohort:
        info = infos.get(name_key(slide.info.name))
        if info is None or info.slide_shape != slide.info.slide_shape:
            raise InputError(f"{folder}: no map of the slide {slide.info.slide}; compare maps of the same slides")
        prob_map, own_map = read_map(info), read_map(slide.info)
        other = scoring.find_on(prob_map, info).detections
        radius_um = scoring.radius_um
        both = joined(slide.detections, other, radius_um / info.mpp)
        begin = slide.detections.prob.size
        only = Detections(both.prob[begin:], both.row[begin:], both.col[begin:])
        probs = [
            highest_near(values, of, np.stack([part.row, part.col], axis=1), radius_um)
            for values, of, part in ((prob_map, info, slide.detections), (own_map, slide.info, only))
        ]
        found[slide.number] = OtherMap(info, only, np.concatenate(probs))
    return found


def make_queue(
    cohort: Sequence[ReviewSlide], settings: QueueSettings, others: Mapping[int, OtherMap]
) -> list[tuple[int, int, int]] | None:
    """The detections in the order in which they are asked about.

    Args:
        cohort: the slides, by number.
        settings: the order.
        others: of `read_other_maps`.

    Returns:
        (slide, x, y) of each, or None where slides are reviewed one after the other.

    Raises:
        InputError: see `order.ask_first`; if there is a limit without an order.
    """
    if settings.order is None:
        if settings.limit is not None:
            raise InputError("limit: it takes the first of an order; give --order too")
        return None
    slides = []
    for slide in cohort:
        other = others.get(slide.number)
        parts = [slide.detections] if other is None else [slide.detections, other.detections]
        row, col, prob = (np.concatenate([getattr(part, axis) for part in parts]) for axis in ("row", "col", "prob"))
        points = np.stack([row, col], axis=1)
        slides.append(Candidates(points, prob, slide.info.mpp, None if other is None else other.prob))
    found = []
    for place in ask_first(slides, settings.order, settings.limit):
        row, col = slides[place.slide].points[place.detection].tolist()
        found.append((place.slide, col, row))
    return found
