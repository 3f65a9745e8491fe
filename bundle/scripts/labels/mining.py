"""Hard negatives: where probability maps were wrong about normal tissue, as regions to train on."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..annotations.annotations import geojson_origin
from ..cohort.pairing import missing_warnings, pair_truth
from ..errors import InputError, counted
from ..folders.corrections import Corrections
from ..folders.names import name_key, slide_name
from ..folders.search import find_slides
from ..folders.slide_table import SlideTable
from ..geometry import level0_to_map, model_downsample
from ..maps.detections import Detections, detections_to_level0, non_maximum_suppression
from ..maps.files import MapInfo, read_map, read_map_infos
from ..masks.placement import Ground, doubt
from ..masks.truth_folder import TruthFolder
from ..scoring.cases import evaluation_stride, located
from ..scoring.lesions import evaluation_mask
from ..scoring.settings import NMS_RADIUS_UM
from ..slides.slide import MODEL_MPP
from .regions import Regions, check_output, is_normal, known_centers, label_regions, read_slide_truth, write_regions

logger = logging.getLogger(__name__)


class MiningSummary(NamedTuple):
    """What was mined.

    Attributes:
        num_found: false positives of all maps.
        num_rows: rows written for them.
        num_slides: slides that have such a row.
        num_maps: maps looked at.
        num_known: false positives left out because the file appended to has their location.
        num_with_tumor: rows in which a cell beside the central one is tumor.
    """

    num_found: int
    num_rows: int
    num_slides: int
    num_maps: int
    num_known: int
    num_with_tumor: int

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{counted(self.num_rows, 'hard negative')} of {counted(self.num_slides, 'slide')}, from "
            f"{counted(self.num_found, 'false positive')} in {counted(self.num_maps, 'map')}; "
            f"{self.num_known} known before, {self.num_with_tumor} with tumor beside it"
        )


def mine_hard_negatives(
    maps: str | Path,
    truth: str | Path | None,
    output: str | Path,
    append: str | Path | None = None,
    normal: Sequence[str] | str = (),
    nms_radius_um: float = NMS_RADIUS_UM,
    threshold: float = 0.5,
    limit_per_slide: int | None = None,
    tumor_value: int | None = None,
    origin: str = "bounds",
    slides: Sequence[str | Path] = (),
    corrections: str | Path | None = None,
) -> MiningSummary:
    """Write the false positives of probability maps as rows of a loclabel file.

    False positives are those that `scoring.evaluation.score_folder` counts at the same settings. None lies in a
    hole of tumor or within 37.5 µm of it, about what a patch of 224 px at 0.243 µm reaches, nor in an outline of which
    nobody knows (see `annotations.classes`). The cells around the
    central one are labelled by the truth and may be tumor, as in a training at 0.243 µm per pixel, whatever
    resolution made the map. The rows begin with the strongest of every slide, by name; then come the
    second ones, and so on. So the beginning of the file is balanced over slides.

    Args:
        maps: folder of probability maps with their sidecars, see `maps.files.read_map_infos`.
        truth: folder of tumor masks or annotations, see `masks.truth_folder.TruthFolder`; None, or where it lacks a
            file, what a table of slides lists.
        output: the CSV file to write; may be the one appended to.
        append: a loclabel file whose lines come first, as they are; locations in it are not written again.
        normal: names of slides without tumor and without truth, see `cohort.pairing.pair_truth`.
        nms_radius_um: radius of non-maximum suppression in µm; the default is the side of a region, so that the
            mined regions of a slide hardly overlap.
        threshold: in [0, 1); only higher probabilities are false positives.
        limit_per_slide: at most so many rows of a slide, the strongest; None takes all.
        tumor_value: see `masks.truth.read_truth`.
        origin: where the coordinates of GeoJSON begin, see `annotations.annotations.geojson_origin`.
        slides: slides, folders of slides or tables of slides: for their truth, and for the part that was scanned where
            the maps do not state it.
        corrections: see `folders.corrections.Corrections`; None leaves slides as they are.

    Returns:
        Counts.

    Raises:
        InputError: if a setting is out of range, anything needed is missing or damaged, or, with nothing to append
            to, if there is no false positive; nothing is written then.
    """
    check_mining(threshold, limit_per_slide, nms_radius_um)
    geojson_origin(origin, (0, 0))
    path = check_output(output)
    known = known_centers(append)
    corrected = Corrections(corrections)
    infos = read_map_infos(maps)
    kept = corrected.without_removed([info.name for info in infos])
    infos = [info for info in infos if info.name in kept]
    slide_of = {name_key(slide_name(path)): path for path in find_slides(slides)} if slides else {}
    folder = TruthFolder(truth, SlideTable(slides), corrected)
    truth_paths = pair_truth(infos, folder, normal)
    for warning in missing_warnings(Path(maps), infos, []):
        logger.warning("%s", warning)
    mined: list[Regions] = []
    num_found = num_known = 0
    for info, truth_path in zip(tqdm(infos, desc="mine", unit="slide", delay=2), truth_paths, strict=True):
        info = located(info, truth_path, slide_of.get(name_key(info.name)))
        regions = _mine_slide(info, truth_path, nms_radius_um, threshold, tumor_value, origin)
        is_new = [(name_key(info.name), row, col) not in known for row, col in regions.centers.tolist()]
        num_found += len(is_new)
        num_known += is_new.count(False)
        centers, labels = regions.centers[is_new], regions.labels[is_new]
        mined.append(Regions(info.name, centers[:limit_per_slide], labels[:limit_per_slide]))
    rows = by_rank(mined)
    if not rows and append is None:
        raise InputError(
            f"{maps}: no false positive above {threshold:g} in {counted(len(infos), 'map')}, so there is nothing to "
            f"write; "
            "lower --threshold, or give maps of more slides"
        )
    write_regions(path, rows, append)
    num_with_tumor = sum(int(region.labels.any()) for region in rows)
    num_slides = sum(len(regions.centers) > 0 for regions in mined)
    return MiningSummary(num_found, len(rows), num_slides, len(infos), num_known, num_with_tumor)


def false_positives(detections: Detections, lesions: npt.NDArray[np.int32], stride: int) -> Detections:
    """The detections that lie in no lesion, whether it counts or is isolated tumor cells.

    Args:
        detections: level-0 frame.
        lesions: (rows, cols) int32 of `scoring.lesions.evaluation_mask`.
        stride: level-0 pixels per pixel of ``lesions``; a detection in an incomplete last row or column that the
            mask lacks is judged by the one before.

    Returns:
        Those detections, in the same order.
    """
    rows = level0_to_map(detections.row, stride).clip(max=lesions.shape[0] - 1)
    cols = level0_to_map(detections.col, stride).clip(max=lesions.shape[1] - 1)
    is_outside = lesions[rows, cols] == 0
    return Detections(*(values[is_outside] for values in detections))


def by_rank(slides: Sequence[Regions]) -> list[Regions]:
    """Regions of several slides one by one: the first of every slide, then the second of every slide, and so on.

    Args:
        slides: regions of each slide, best first.

    Returns:
        As many `Regions` of one region as there are in all.
    """
    return [
        Regions(regions.name, regions.centers[rank : rank + 1], regions.labels[rank : rank + 1])
        for rank in range(max((len(regions.centers) for regions in slides), default=0))
        for regions in slides
        if rank < len(regions.centers)
    ]


def _mine_slide(
    info: MapInfo,
    truth_path: Path | None,
    nms_radius_um: float,
    threshold: float,
    tumor_value: int | None,
    origin: str,
) -> Regions:
    """All false positives of a map as labelled regions, strongest first."""
    radius = max(1, round(nms_radius_um / (info.stride * info.mpp)))
    prob_map = read_map(info)
    on_map = non_maximum_suppression(prob_map, radius, threshold)
    detections = detections_to_level0(on_map, info.stride, info.slide_shape)
    wanted_stride = evaluation_stride(info.mpp)
    begin = geojson_origin(origin, info.bounds_origin)
    truth = read_slide_truth(truth_path, info.slide_shape, info.stride, wanted_stride, tumor_value, begin, info.bounds)
    if truth_path is not None and info.patch is not None:  # a map of infer is 0 off the tissue
        said = doubt(truth_path, truth.mask, truth.stride, Ground(prob_map > 0, info.stride, info.bounds_origin, begin))
        if said is not None:
            logger.warning("%s", said)
    found = false_positives(detections, evaluation_mask(truth.mask, truth.stride * info.mpp), truth.stride)
    centers = np.stack([found.row, found.col], axis=1)
    labels = label_regions(truth, centers, model_downsample(info.mpp, MODEL_MPP))
    # Outlines narrower than a pixel of the mask, which it lacks, still make a region's center tumor.
    kept = is_normal(truth, centers)
    return Regions(info.name, centers[kept], labels[kept])


def check_mining(threshold: Any, limit_per_slide: Any, nms_radius_um: Any = NMS_RADIUS_UM) -> None:
    """Refuse settings of `mine_hard_negatives` that are out of range.

    Raises:
        InputError: names the setting.
    """
    if not (math.isfinite(nms_radius_um) and nms_radius_um > 0):
        raise InputError(f"nms_radius_um: expected a positive number of µm, found {nms_radius_um}; mend it")
    if not 0 <= threshold < 1:
        raise InputError(f"threshold: expected a number in [0, 1), found {threshold}; mend it")
    if limit_per_slide is not None and (type(limit_per_slide) is not int or limit_per_slide < 1):
        raise InputError(f"limit_per_slide: expected a positive whole number of rows, found {limit_per_slide}; mend it")
