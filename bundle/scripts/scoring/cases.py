"""What is scored: slides with their maps or their files of detections, their truth, shape and scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..annotations.annotations import ANNOTATION_SUFFIXES
from ..cohort.facts import SlideFacts
from ..errors import InputError, few
from ..folders.names import name_key, slide_file_name, slide_name
from ..folders.slide_table import SlideTable
from ..maps.detection_files import DetectionFile, as_written, read_detections
from ..maps.detections import Detections, detections_to_level0, non_maximum_suppression
from ..maps.files import MapInfo, with_bounds
from ..masks.placement import Bounds
from ..masks.truth import StatedScale, stated_scale
from ..slides.reader_process import ReaderProcess

CHALLENGE_MPP = 0.243
"""µm per level-0 pixel of every slide in CAMELYON16's evaluation code, whatever the file states."""

EVALUATION_PIXEL_UM = 32 * CHALLENGE_MPP
"""CAMELYON16 scores on masks of level 5, 7.776 µm per pixel; truth that comes at several strides is read there."""

_MPP_TOLERANCE = 0.01


class Case(NamedTuple):
    """A slide to be scored.

    Attributes:
        info: its map, or its file of detections.
        truth: its truth, or None of a normal slide.
        slide_shape: (height, width) in level-0 pixels.
        stride: level-0 pixels per map pixel; of detections, those per pixel of the challenge's masks.
        mpp: µm per level-0 pixel.
        bounds_origin: (row, col) of the part of the slide that was scanned, level-0 frame.
        bounds: (top, left, bottom, right) of that part, or None where it is not known.
        facts: what else is known of it.
    """

    info: MapInfo | DetectionFile
    truth: Path | None
    slide_shape: tuple[int, int]
    stride: int
    mpp: float
    bounds_origin: tuple[int, int] = (0, 0)
    bounds: Bounds | None = None
    facts: SlideFacts = SlideFacts()


def map_case(info: MapInfo, truth: Path | None, slide: Path | None = None) -> Case:
    """The case of a map, whose slide is asked what the map does not tell of where the truth lies.

    Raises:
        InputError: if the slide cannot be opened.
    """
    info = located(info, truth, slide)
    return Case(info, truth, info.slide_shape, info.stride, info.mpp, info.bounds_origin, info.bounds)


def located(info: MapInfo, truth: Path | None, slide: Path | None) -> MapInfo:
    """The sidecar with the scanned part as the slide states it, where its truth may depend on it.

    Args:
        info: the sidecar.
        truth: the slide's truth, or None.
        slide: the slide, or None where it is not given.

    Raises:
        InputError: if the truth may be GeoJSON and the slide cannot be opened.
    """
    if truth is None or slide is None:
        return info
    if truth.suffix.lower() in (".json", ".geojson"):
        return with_bounds(info, slide)
    if info.bounds_shape is not None or truth.suffix.lower() in ANNOTATION_SUFFIXES:
        return info
    try:
        return with_bounds(info, slide)
    except InputError:  # most masks do without: one that does not says so when it is read
        return info


def detection_cases(
    infos: Sequence[DetectionFile],
    truths: Sequence[Path | None],
    slides: Sequence[Path],
    mpp: float | None,
    table: SlideTable | None = None,
) -> list[Case]:
    """The cases of files of detections, whose slides' shapes and scale come from elsewhere.

    The shape is the slide's own if it is among ``slides``, else what its truth says (`masks.truth.stated_scale`).
    The scale is the table's, else ``mpp``, else the slide's, else the truth's. A slide without truth needs neither: all
    its detections are false.

    Args:
        infos: the files.
        truths: for each its truth, or None.
        slides: the slides, or nothing.
        mpp: µm per level-0 pixel of all slides.
        table: what tables of slides state, or None.

    Returns:
        One for each file.

    Raises:
        InputError: if the shape or the scale of a slide with truth is unknown.
    """
    if mpp is not None and not (math.isfinite(mpp) and mpp > 0):
        raise InputError(f"mpp: expected a positive number of µm per level-0 pixel, found {mpp}; mend it")
    by_name = {name_key(slide_name(path)): path for path in slides}
    cases = []
    for info, truth in zip(infos, truths, strict=True):
        if truth is None:
            cases.append(Case(info, None, (0, 0), 1, mpp or 0.0))
            continue
        slide = by_name.get(name_key(info.name))
        stated = stated_scale(truth) if slide is None else _scale_of_slide(slide)
        listed = mpp if table is None else table.mpp(info.path, mpp)
        found_mpp = stated.mpp if listed is None else listed
        if stated.slide_shape is None:
            raise InputError(
                f"{truth}: says nothing of its slide's shape, which detections without a map need; give the slides "
                "with --slides, or masks made with 'tumor-detection groundtruth', or pyramidal TIFF masks"
            )
        if found_mpp is None:
            raise InputError(
                f"{truth}: says nothing of its slide's resolution; give µm per level-0 pixel with --mpp "
                "(0.243 for CAMELYON16's own evaluation)"
            )
        info = info if slide is None else info._replace(slide=slide_file_name(slide))
        stride = evaluation_stride(found_mpp)
        begin = (0, 0) if stated.bounds is None else stated.bounds[:2]
        cases.append(Case(info, truth, stated.slide_shape, stride, found_mpp, begin, stated.bounds))
    return cases


def _scale_of_slide(path: Path) -> StatedScale:
    with ReaderProcess() as reader:
        return StatedScale(*reader.ask(str(path), _measure, path))


def _measure(path: Path) -> tuple[tuple[int, int], float | None, tuple[int, int, int, int]]:
    from ..slides.slide import open_slide

    with open_slide(path) as slide:
        return slide.shape, slide.mpp, slide.bounds


def evaluation_stride(mpp: float) -> int:
    """Level-0 pixels per pixel of the challenge's masks: those nearest to `EVALUATION_PIXEL_UM`, at least one."""
    return max(1, round(EVALUATION_PIXEL_UM / mpp))


def scale_differences(cases: Sequence[Case]) -> list[str]:
    """Warn of truth whose sidecar states another resolution than is scored with.

    Args:
        cases: all slides.

    Returns:
        At most one warning.
    """
    odd = []
    for case in cases:
        stated = None if case.truth is None else stated_scale(case.truth).mpp
        if stated is not None and abs(stated / case.mpp - 1) > _MPP_TOLERANCE:
            odd.append(f"{case.info.name} ({stated:g})")
    return [f"slides whose truth states another mpp than is scored with: {few(odd)}"] if odd else []


def table_differences(infos: Sequence[MapInfo], table: SlideTable) -> list[str]:
    """Warn of slides for which a table of slides states another resolution than their map was made with.

    The map's counts: its pixels were read at it, and another one would change lesions but not what the network saw.

    Args:
        infos: the maps' sidecars.
        table: what tables of slides state.

    Returns:
        At most one warning.
    """
    odd = []
    for info in infos:
        row = table.get(info.name)
        if row is not None and row.mpp is not None and abs(row.mpp / info.mpp - 1) > _MPP_TOLERANCE:
            odd.append(f"{info.name} ({row.mpp:g}, map {info.mpp:g})")
    said = "slides whose table states another mpp than their map was made with, which counts; run infer again with the"
    return [f"{said} table: {few(odd)}"] if odd else []


def given_detections(info: DetectionFile) -> Found:
    """The detections that a file holds, and the slide's score.

    Raises:
        InputError: if the file is damaged.
    """
    found = read_detections(info.path)
    return Found(found, float(found.prob.max(initial=0)))


def detect(
    prob_map: npt.NDArray[np.float32], info: MapInfo, radius: float, threshold: float, is_um: bool = True
) -> Found:
    """The detections in a map, and the slide's score.

    Args:
        prob_map: (rows, cols) in [0, 1], of `maps.files.read_map`.
        info: its sidecar.
        radius: of non-maximum suppression, see `maps.detections.non_maximum_suppression`.
        threshold: only higher probabilities are detections.
        is_um: whether the radius is in µm and rounded to whole map pixels, at least one, or in map pixels.

    Returns:
        Detections in the level-0 frame, and the score.
    """
    pixels = max(1, round(radius / (info.stride * info.mpp))) if is_um else int(radius)
    on_map = non_maximum_suppression(prob_map, pixels, threshold)
    highest = prob_map.max(initial=0)
    return Found(as_written(detections_to_level0(on_map, info.stride, info.slide_shape)), float(str(highest)))


class Found(NamedTuple):
    """What a run says of a slide.

    Attributes:
        detections: level-0 frame, strongest first, confidences float64.
        score: highest probability of the map, or highest confidence of the detections; 0 if there are none.
    """

    detections: Detections
    score: float


def check_inside(case: Case, detections: Detections) -> None:
    """Refuse detections beyond the slide, which another slide's file or another level's coordinates have.

    Raises:
        InputError: names the file and the first such detection.
    """
    beyond = (detections.row >= case.slide_shape[0]) | (detections.col >= case.slide_shape[1])
    if case.truth is not None and beyond.any():
        index = int(beyond.argmax())
        raise InputError(
            f"{case.info.path}: expected x,y in level-0 pixels inside the slide of {case.slide_shape[1]} x "
            f"{case.slide_shape[0]} (width x height), found {detections.col[index]},{detections.row[index]}; "
            "check whose file it is and the level of its coordinates"
        )
