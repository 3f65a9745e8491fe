"""Judged findings as regions to train on: rejected detections, and the tumor that a person confirmed or drew."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from shapely.geometry import shape
from tqdm import tqdm

from ..annotations.annotations import geojson_origin, read_annotation
from ..annotations.verdicts import DRAWN_SOURCE, Mark, read_verdicts
from ..errors import InputError, counted
from ..folders.index import NameIndex
from ..folders.names import name_key
from ..geometry import model_downsample
from ..maps.files import MapInfo, read_map_infos
from ..slides.slide import MODEL_MPP
from .mining import by_rank
from .regions import Regions, SlideTruth, check_output, known_centers, label_regions, write_regions

logger = logging.getLogger(__name__)


class JudgedSummary(NamedTuple):
    """What was made of verdicts.

    Attributes:
        num_negatives: rows of rejected detections.
        num_tumor: rows of confirmed detections and drawn outlines.
        num_slides: slides that have a row.
        num_unjudged: detections without a verdict, or of which the reviewer was unsure.
        num_known: places left out because the file appended to has them.
    """

    num_negatives: int
    num_tumor: int
    num_slides: int
    num_unjudged: int
    num_known: int

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{counted(self.num_negatives, 'hard negative')} and {counted(self.num_tumor, 'region')} of tumor of "
            f"{counted(self.num_slides, 'slide')}; "
            f"{counted(self.num_unjudged, 'detection is', 'detections are')} not judged or unsure, {self.num_known} "
            "known before"
        )


def mine_verdicts(
    maps: str | Path,
    verdicts: str | Path,
    output: str | Path,
    append: str | Path | None = None,
    limit_per_slide: int | None = None,
    origin: str = "bounds",
) -> JudgedSummary:
    """Write what a person judged as rows of a loclabel file.

    A rejected detection is the center of a region that is no tumor there; a confirmed one, and a point inside of each
    drawn outline of tumor, of one that is. The cells around the central one are labelled by the outlines: those that
    were confirmed or drawn are tumor. Findings without a verdict, and those of which the reviewer was unsure, are no
    centers. The strongest rejected detection of every slide comes first, then the second ones, and so on; then tumor
    likewise.

    Args:
        maps: folder of the maps that were judged; of their sidecars shape and resolution are needed.
        verdicts: folder of files ``<slide>.geojson``, see `annotations.verdicts.read_verdicts`; slides without one have
            no row.
        output: see `mining.mine_hard_negatives`.
        append: likewise.
        limit_per_slide: at most so many rows of a slide of either kind; None takes all.
        origin: see `annotations.annotations.geojson_origin`.

    Returns:
        Counts.

    Raises:
        InputError: if a setting is out of range, anything needed is missing or damaged, or nothing was judged; nothing
            is written then.
    """
    if limit_per_slide is not None and (type(limit_per_slide) is not int or limit_per_slide < 1):
        raise InputError(f"limit_per_slide: expected a positive whole number of rows, found {limit_per_slide}; mend it")
    geojson_origin(origin, (0, 0))
    path = check_output(output)
    known = known_centers(append)
    index = NameIndex(verdicts, (".geojson",), "verdict")
    infos = read_map_infos(maps)
    negatives: list[Regions] = []
    tumor: list[Regions] = []
    num_unjudged = num_known = 0
    for info in tqdm(infos, desc="mine", unit="slide", delay=2):
        file = index.get(info.name)
        if file is None:
            continue
        begin = geojson_origin(origin, info.bounds_origin)
        marks = read_verdicts(file, begin)
        truth = SlideTruth(np.empty((0, 0), dtype=np.bool_), 1, read_annotation(file, begin))
        num_unjudged += sum(mark.is_detection and mark.verdict in (None, "unsure") for mark in marks)
        for rows, is_tumor in ((negatives, False), (tumor, True)):
            found = _regions(info, truth, _chosen(marks, is_tumor), is_tumor, file)
            is_new = [(name_key(info.name), row, col) not in known for row, col in found.centers.tolist()]
            num_known += is_new.count(False)
            centers, labels = found.centers[is_new], found.labels[is_new]
            rows.append(Regions(info.name, centers[:limit_per_slide], labels[:limit_per_slide]))
    rows = [*by_rank(negatives), *by_rank(tumor)]
    if not rows and append is None:
        raise InputError(
            f"{verdicts}: no detection of the {counted(len(infos), 'map')} in {maps} was confirmed or rejected there, "
            f"so there is "
            "nothing to write; judge some, or give the folder of the review"
        )
    write_regions(path, rows, append)
    num_slides = len({regions.name for regions in rows})
    num_negatives = sum(len(regions.centers) for regions in negatives)
    return JudgedSummary(num_negatives, len(rows) - num_negatives, num_slides, num_unjudged, num_known)


def _chosen(marks: Sequence[Mark], is_tumor: bool) -> list[Mark]:
    """The marks whose places are centers, the most probable first; drawn ones, which have no probability, before."""
    verdict = "tumor" if is_tumor else "not_tumor"
    chosen = [
        mark
        for mark in marks
        if mark.verdict == verdict and (mark.is_detection or (is_tumor and mark.source == DRAWN_SOURCE))
    ]
    return sorted(chosen, key=lambda mark: -np.inf if mark.probability is None else -mark.probability)


def _regions(info: MapInfo, truth: SlideTruth, marks: Sequence[Mark], is_tumor: bool, file: Path) -> Regions:
    """Regions around marks; a rejected place that lies in an outline of tumor is in doubt and left out."""
    points = [shape(mark.geometry).representative_point() for mark in marks]  # of a point itself
    centers = np.array([(point.y, point.x) for point in points], dtype=np.float64).reshape(-1, 2)
    centers = np.clip(np.floor(centers), 0, np.array(info.slide_shape) - 1).astype(np.int64)
    labels = label_regions(truth, centers, model_downsample(info.mpp, MODEL_MPP))
    in_doubt = (labels[:, 1, 1] == 1) & (not is_tumor)
    if in_doubt.any():
        first = marks[int(np.flatnonzero(in_doubt)[0])]
        logger.warning(
            "%s: rejected detections in outlines of tumor: %d, first %r; left out, correct the outlines",
            *(file, int(in_doubt.sum()), first.name),
        )
    if is_tumor:
        labels[:, 1, 1] = 1
    return Regions(info.name, centers[~in_doubt], labels[~in_doubt])
