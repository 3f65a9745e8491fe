"""What the report shows of one slide: its pixels in small, what lies over them, and its strongest detections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..geometry import level0_to_map
from ..maps.artifacts import labels_at
from ..maps.detections import Detections
from ..maps.files import MapInfo
from ..masks.truth import Truth
from ..scoring.cases import Found
from ..scoring.map_reliability import PixelCounts, count_pixels
from ..scoring.slides import SlideLesions
from ..slides.slide import open_slide
from .artifacts import ArtifactView, flag_words, view_artifacts
from .crops import USUAL_PATCH, Crop, read_crop
from .embedding import jpeg_uri
from .lesions import LesionSize, lesions_of_map, lesions_of_truth
from .overlays import SIDE, Layer, ScaleBar, heat_layer, outline_path, scale_bar, tissue_layer

THUMBNAIL_BYTES = 80_000
"""Bound of a slide in small as JPEG."""

MAX_MARKS = 100
"""Detections that are drawn on a slide, the strongest."""

IN_LESION, IN_ISOLATED, OUTSIDE = "in a lesion", "in isolated tumor cells", "outside of the truth"


class Mark(NamedTuple):
    """A detection on a slide.

    Attributes:
        rank: from 1, the strongest.
        prob: its probability.
        row: level-0 row.
        col: level-0 column.
        left: its place as a share of the slide's width.
        top: as a share of its height.
        verdict: where it lies in the truth: `IN_LESION`, `IN_ISOLATED` or `OUTSIDE`; None without truth.
        flag: the artifact that it lies in, in words, or "".
    """

    rank: int
    prob: float
    row: int
    col: int
    left: float
    top: float
    verdict: str | None
    flag: str = ""


class MapView(NamedTuple):
    """What a map and its truth say of a slide.

    Attributes:
        score: highest probability of the map.
        num_detections: all of them.
        tissue_mm2: area of the map's pixels that have a value.
        marks: the strongest `MAX_MARKS` detections.
        heat: the map in colors.
        tissue: the map's extent, shown where the slide's pixels are missing.
        lesions: what the map shows above the threshold, the most confident first.
        outline: SVG path of the truth, in a frame 1000 units wide, or None.
        true_lesions: those of the truth, by their numbers in ``lesions.csv``.
        has_truth: whether the slide's truth is known.
        pixels: map pixels held against the truth, or None.
        artifacts: of the slide, or None if it was not examined.
    """

    score: float
    num_detections: int
    tissue_mm2: float
    marks: list[Mark]
    heat: Layer
    tissue: Layer
    lesions: list[LesionSize]
    outline: str | None
    true_lesions: list[LesionSize]
    has_truth: bool
    pixels: PixelCounts | None
    artifacts: ArtifactView | None


class SlidePixels(NamedTuple):
    """A slide's own pixels.

    Attributes:
        thumbnail: data URI of the whole slide.
        crops: of its strongest detections.
    """

    thumbnail: str
    crops: list[Crop]


def view_map(
    info: MapInfo,
    prob_map: npt.NDArray[np.float32],
    found: Found,
    threshold: float,
    truth: Truth | None = None,
    true_lesions: SlideLesions | None = None,
    places: list[str] | None = None,
    classes: npt.NDArray[np.uint8] | None = None,
) -> MapView:
    """Gather what a map and its truth say.

    Args:
        info: the map's sidecar.
        prob_map: (rows, cols) in [0, 1], 0 where nothing was evaluated.
        found: its detections and score.
        threshold: above which a probability is a lesion.
        truth: its truth, or None.
        true_lesions: of the truth, or None.
        places: where the detections lie, see `verdicts`, or None if the slide's truth is not known.
        classes: of `maps.artifacts.read_map_artifacts`.

    Returns:
        All of it.
    """
    has_truth = places is not None
    rows, cols = (
        level0_to_map(axis, info.stride).clip(max=side - 1)
        for axis, side in zip((found.detections.row, found.detections.col), prob_map.shape, strict=True)
    )
    return MapView(
        found.score,
        int(found.detections.prob.size),
        float((prob_map > 0).sum()) * (info.stride * info.mpp) ** 2 / 1e6,
        marks(found.detections, places, info.slide_shape, labels_at(classes, rows, cols)),
        heat_layer(prob_map, info.stride, info.slide_shape),
        tissue_layer(prob_map, info.stride, info.slide_shape),
        lesions_of_map(prob_map, info, found.detections, threshold),
        None if truth is None else outline_path(truth.mask, truth.stride, info.slide_shape),
        lesions_of_truth(truth, true_lesions, info),
        has_truth,
        count_pixels(prob_map, info.stride, truth) if has_truth else None,
        view_artifacts(classes, prob_map, info.stride, info.slide_shape),
    )


def verdicts(detections: Detections, lesions: SlideLesions | None, mpp: float) -> list[str]:
    """Where detections lie in the truth, by the rules of `scoring.froc.match_detections`.

    Args:
        detections: level-0 frame.
        lesions: of the slide, or None if it has no tumor.
        mpp: µm per level-0 pixel.

    Returns:
        For each detection `IN_LESION`, `IN_ISOLATED` or `OUTSIDE`.
    """
    if lesions is None:
        return [OUTSIDE] * int(detections.prob.size)
    rows = level0_to_map(detections.row, lesions.stride).clip(max=lesions.labels.shape[0] - 1)
    cols = level0_to_map(detections.col, lesions.stride).clip(max=lesions.labels.shape[1] - 1)
    found = lesions.labels[rows, cols].tolist()
    isolated = lesions.isolated(mpp)
    return [OUTSIDE if label == 0 else IN_ISOLATED if label in isolated else IN_LESION for label in found]


def marks(
    detections: Detections, found: list[str] | None, slide_shape: tuple[int, int], labels: Sequence[str] = ()
) -> list[Mark]:
    """The strongest detections as marks on a slide.

    Args:
        detections: level-0 frame, strongest first.
        found: of `verdicts`, or None.
        slide_shape: (height, width) in level-0 pixels.
        labels: of the artifacts that they lie in, or none.

    Returns:
        At most `MAX_MARKS`.
    """
    points = zip(*(values[:MAX_MARKS].tolist() for values in detections), strict=True)
    return [
        Mark(
            index + 1,
            float(prob),
            row,
            col,
            (col + 0.5) / slide_shape[1],
            (row + 0.5) / slide_shape[0],
            None if found is None else found[index],
            flag_words(labels[index]) if labels else "",
        )
        for index, (prob, row, col) in enumerate(points)
    ]


def read_pixels(path: Path, info: MapInfo, shown: list[Mark]) -> SlidePixels:
    """Read a slide in small, and the surroundings of some of its detections.

    Args:
        path: the slide.
        info: the sidecar of its map, whose resolution counts.
        shown: those detections.

    Returns:
        Its pixels.

    Raises:
        InputError: if the slide cannot be read, or is another than the map's.
    """
    with open_slide(path, assume_mpp=info.mpp) as slide:
        if slide.shape != info.slide_shape:
            raise InputError(
                f"{path}: expected the map's slide of {info.slide_shape[0]} x {info.slide_shape[1]} (height x width), "
                f"found {slide.shape[0]} x {slide.shape[1]}; give the slides that the maps were made of"
            )
        stride = -(-max(slide.shape) // SIDE)
        overview = slide.read_overview(stride)
        # the last row and column are mostly white where the shape is no multiple of the stride
        height, width = (max(1, round(side / stride)) for side in slide.shape)
        thumbnail = jpeg_uri(np.ascontiguousarray(overview[:height, :width]), THUMBNAIL_BYTES)
        return SlidePixels(thumbnail, [read_crop(slide, mark.row, mark.col, info.patch) for mark in shown])


def slide_bar(info: MapInfo) -> ScaleBar:
    """The scale bar of a slide in small."""
    return scale_bar(info.slide_shape[1] * info.mpp)


def describe(info: MapInfo) -> dict[str, Any]:
    """A slide's measures for the page: ``height_mm``, ``width_mm``, ``mpp``, ``stride_um``, ``shape``, ``patch``."""
    height, width = info.slide_shape
    return {
        "height_mm": height * info.mpp / 1000,
        "width_mm": width * info.mpp / 1000,
        "mpp": info.mpp,
        "stride_um": info.stride * info.mpp,
        "shape": info.slide_shape,
        "patch": f"not stated, shown as {USUAL_PATCH}" if info.patch is None else str(info.patch),
    }
