"""Findings: the lesions and detections of a probability map, in the level-0 frame. Arrays in, no files."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..annotations.outlines import component_polygons
from ..annotations.polygons import Polygon
from .artifacts import NO_ARTIFACT, labels_at, main_artifact
from .detections import Detections, detections_to_level0, non_maximum_suppression
from .files import MapInfo


class Lesion(NamedTuple):
    """Neighboring pixels above the threshold; those that touch diagonally are neighbors too.

    Attributes:
        parts: its outline, one polygon or several that touch at corners.
        confidence: of the strongest detection inside; 0 if a stronger lesion nearby suppressed all.
        num_detections: detections inside.
        area_um2: of its pixels.
        max_probability: highest of its pixels.
        mean_probability: mean of its pixels.
        center: (row, col) of its centroid, level-0 frame.
        artifact: label of the artifact that covers most of it, see `artifacts.main_artifact`.
        artifact_share: share of its pixels that lie in an artifact, from 0 to 1.
    """

    parts: tuple[Polygon, ...]
    confidence: float
    num_detections: int
    area_um2: float
    max_probability: float
    mean_probability: float
    center: tuple[float, float]
    artifact: str = NO_ARTIFACT
    artifact_share: float = 0.0


class Findings(NamedTuple):
    """What was found on a slide.

    Attributes:
        info: the sidecar of the map.
        lesions: the most confident first.
        detections: in the level-0 frame, strongest first.
        lesion_numbers: (N,) for each detection the number of its lesion, from 1 on; 0 if it lies in none.
        artifacts: for each detection the label of the artifact that it lies in, see `artifacts.labels_at`.
    """

    info: MapInfo
    lesions: tuple[Lesion, ...]
    detections: Detections
    lesion_numbers: npt.NDArray[np.int64]
    artifacts: tuple[str, ...]


class FindingSettings(NamedTuple):
    """What of a map is a finding.

    Attributes:
        threshold: from 0 to below 1; only higher probabilities count.
        nms_radius_um: radius of non-maximum suppression, rounded to map pixels, at least one.
        min_area_um2: lesions of a smaller area are left out; their detections stay.
    """

    threshold: float
    nms_radius_um: float
    min_area_um2: float


class Regions(NamedTuple):
    """Groups of neighboring pixels of a map, see `rank_regions`.

    Attributes:
        ranked: scikit-image's properties of each, the most confident first.
        labels: (rows, cols) int: the label of each pixel's region, 0 outside.
        confidences: by label, of the strongest detection inside; 0 if there is none.
    """

    ranked: list[Any]
    labels: npt.NDArray[np.integer[Any]]
    confidences: npt.NDArray[np.float64]


def rank_regions(prob_map: npt.NDArray[np.floating[Any]], threshold: float, on_map: Detections) -> Regions:
    """Group what exceeds the threshold; pixels that touch diagonally are neighbors too.

    Args:
        prob_map: (rows, cols) floating, from 0 to 1.
        threshold: only higher probabilities count.
        on_map: the detections, (row, col) in pixels of the map.

    Returns:
        The regions; of two of one confidence the one of the higher probability comes first.
    """
    from skimage import measure

    labels = measure.label(prob_map > float(threshold), connectivity=2)
    confidences = np.zeros(int(labels.max(initial=0)) + 1)
    np.maximum.at(confidences, labels[on_map.row, on_map.col], on_map.prob)
    regions = measure.regionprops(labels, intensity_image=prob_map)
    regions.sort(key=lambda region: (-confidences[region.label], -region.intensity_max))
    return Regions(regions, labels, confidences)


def find_lesions(
    prob_map: npt.NDArray[np.floating[Any]],
    info: MapInfo,
    settings: FindingSettings,
    classes: npt.NDArray[np.uint8] | None = None,
) -> Findings:
    """Outline what exceeds the threshold, and detect as `froc` does.

    Args:
        prob_map: (rows, cols) floating, from 0 to 1.
        info: its sidecar.
        settings: thresholds.
        classes: (rows, cols) uint8, see `artifacts.read_map_artifacts`; without them nothing lies in an artifact.

    Returns:
        The findings.
    """
    pixel_um = info.stride * info.mpp
    radius = max(1, round(settings.nms_radius_um / pixel_um))
    on_map = non_maximum_suppression(prob_map, radius, settings.threshold)
    ranked, labels, confidences = rank_regions(prob_map, settings.threshold, on_map)
    of_detection = labels[on_map.row, on_map.col]
    counts = np.bincount(of_detection, minlength=len(confidences))
    regions = [region for region in ranked if region.num_pixels * pixel_um**2 >= settings.min_area_um2]
    numbers = np.zeros(len(confidences), dtype=np.int64)
    numbers[[region.label for region in regions]] = np.arange(1, len(regions) + 1)
    lesions = []
    for number, region in enumerate(regions, start=1):
        row, col = region.centroid
        covered = (NO_ARTIFACT, 0.0) if classes is None else main_artifact(classes[tuple(region.coords.T)])
        lesions.append(
            Lesion(
                component_polygons(region.image, region.bbox[:2], info.stride, f"Lesion {number}"),
                float(confidences[region.label]),
                int(counts[region.label]),
                float(region.num_pixels * pixel_um**2),
                float(region.intensity_max),
                float(region.intensity_mean),
                (float((row + 0.5) * info.stride), float((col + 0.5) * info.stride)),
                *covered,
            )
        )
    detections = detections_to_level0(on_map, info.stride, info.slide_shape)
    in_artifacts = labels_at(classes, on_map.row, on_map.col)
    return Findings(info, tuple(lesions), detections, numbers[of_detection], in_artifacts)
