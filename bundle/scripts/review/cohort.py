"""The slides of a review: their maps, pixels and truth, and what was found on them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from ..annotations.annotations import geojson_origin
from ..annotations.outlines import component_polygons
from ..annotations.polygons import Polygon
from ..errors import few
from ..folders.names import name_key, slide_name
from ..folders.search import find_slides
from ..maps.detections import Detections
from ..maps.files import MapInfo, read_map, read_map_infos
from ..masks.truth import Truth, read_truth
from ..masks.truth_folder import TruthFolder
from ..scoring.settings import ScoreSettings

logger = logging.getLogger(__name__)


class ReviewSlide(NamedTuple):
    """A slide of the review.

    Attributes:
        number: by which the browser asks for it; by name, from 0.
        info: the sidecar of its map.
        path: its file, or None if it was not given.
        score: highest probability of its map.
        detections: level-0 frame, strongest first.
        truth: the file of its truth, or None.
        has_tumor: whether its truth has tumor; None without.
    """

    number: int
    info: MapInfo
    path: Path | None
    score: float
    detections: Detections
    truth: Path | None = None
    has_tumor: bool | None = None


def read_cohort(
    maps: str | Path, slides: Sequence[str | Path], truth: str | Path | None, scoring: ScoreSettings
) -> list[ReviewSlide]:
    """Read all maps of a folder, and find the detections in them.

    Args:
        maps: folder of maps made by infer.
        slides: slides or folders of slides; those without a map are warned of.
        truth: folder of tumor masks or annotations, or None.
        scoring: how detections are found.

    Returns:
        The slides, by name.

    Raises:
        InputError: if a map, a slide or a truth is missing or damaged, or a setting out of range.
    """
    scoring.check()
    infos = read_map_infos(maps)
    paths = {name_key(slide_name(path)): path for path in find_slides(slides)}
    truths = None if truth is None else TruthFolder(truth)
    cohort = []
    for number, info in enumerate(tqdm(infos, desc="maps", unit="slide")):
        path = paths.pop(name_key(info.name), None)
        found = scoring.find_on(read_map(info), info)
        file = None if truths is None else truths.find(info.name)
        has_tumor = None if file is None else bool(truth_of(info, file, scoring).mask.any())
        cohort.append(ReviewSlide(number, info, path, found.score, found.detections, file, has_tumor))
    if paths:
        logger.warning("slides without a map, not shown: %s", few([path.name for path in paths.values()]))
    without = [slide.info.slide for slide in cohort if slide.path is None]
    if without:
        logger.warning("maps whose slide is not among --slides, shown without pixels: %s", few(without))
    return cohort


def truth_of(info: MapInfo, path: Path, scoring: ScoreSettings) -> Truth:
    """The truth of a slide at the stride of its map, or at its own.

    Raises:
        InputError: see `masks.truth.read_truth`.
    """
    origin = geojson_origin(scoring.origin, info.bounds_origin)
    stride, value = info.stride, scoring.tumor_value
    return read_truth(path, info.slide_shape, stride, stride, value, origin, bounds=info.bounds)


def truth_outlines(truth: Truth) -> tuple[Polygon, ...]:
    """The outlines of a truth along its pixels, level-0 frame; none without tumor."""
    return component_polygons(truth.mask, (0, 0), truth.stride) if truth.mask.any() else ()
