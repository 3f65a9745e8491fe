"""The ``froc`` step: score a folder of probability maps against a folder of ground truth."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from . import froc, lesions
from .detections import Detections, detections_to_level0, non_maximum_suppression
from .errors import InputError
from .files import atomic_path, make_output_dir, write_json
from .maps import MapInfo, read_map, read_map_infos
from .pairing import missing_warnings, name_warnings, pair_truth
from .truth import TruthFolder, read_truth

logger = logging.getLogger(__name__)

NMS_RADIUS_UM = 12 * 64 * 0.243
"""Default radius of non-maximum suppression: NCRF's 12 pixels at level 6 of CAMELYON16, 186.6 µm."""

EVALUATION_PIXEL_UM = 32 * 0.243
"""CAMELYON16 scores on masks of level 5, 7.776 µm per pixel; truth that comes at several strides is read there."""


class _Settings(NamedTuple):
    nms_radius_um: float
    threshold: float
    tumor_value: int | None


class _Scored(NamedTuple):
    match: froc.SlideMatch
    row: dict[str, Any]


def score_folder(
    maps: str | Path,
    truth: str | Path,
    output: str | Path,
    normal: Sequence[str] | str = (),
    nms_radius_um: float = NMS_RADIUS_UM,
    threshold: float = 0.5,
    tumor_value: int | None = None,
) -> dict[str, Any]:
    """Score probability maps by CAMELYON16's rules and write the report, the curve and the detections.

    Every map counts in the denominator. A map without truth counts as normal if its name says so or ``normal`` lists
    it. The output gets ``froc.json`` (what is returned), ``froc.png`` and ``detections/<slide>.csv``: one line
    ``confidence,x,y`` per detection in level-0 pixels, strongest first, without a header, as the challenge's code
    reads it. One map is in memory at a time.

    Args:
        maps: folder of ``<slide stem>.npy``, float32 (rows, cols) in [0, 1], each with a sidecar ``<slide stem>.json``
            that holds ``slide``, ``shape`` ([height, width] in level-0 pixels), ``stride`` and ``mpp``.
        truth: folder of tumor masks or annotations, see `truth.TruthFolder`.
        output: folder for the results.
        normal: names of slides without tumor, a list or one comma-separated string.
        nms_radius_um: radius of non-maximum suppression in µm, rounded to map pixels, at least one.
        threshold: in [0, 1); only higher probabilities are detections.
        tumor_value: see `truth.read_truth`.

    Returns:
        The report.

    Raises:
        InputError: if anything needed is missing, damaged or does not fit, or there is no lesion to find.
    """
    settings = _settings(nms_radius_um, threshold, tumor_value)
    folder = TruthFolder(truth)
    infos = read_map_infos(maps)
    truth_paths = pair_truth(infos, folder, normal)
    without_map = folder.names_beyond(info.name for info in infos)
    warnings = missing_warnings(Path(maps), infos, without_map)
    output = make_output_dir(output)
    detections_dir = make_output_dir(output / "detections")
    scored: list[_Scored] = []
    for info, truth_path in zip(tqdm(infos, desc="froc", unit="slide"), truth_paths, strict=True):
        detections = _detect(info, settings)
        _write_detections(detections_dir / f"{info.name}.csv", detections)
        scored.append(_score_slide(info, detections, truth_path, tumor_value))
    warnings += name_warnings(
        [
            (info, slide.row["is_tumor"])
            for info, slide, truth_path in zip(infos, scored, truth_paths, strict=True)
            if truth_path is not None
        ]
    )
    for warning in warnings:
        logger.warning("%s", warning)

    matches = [slide.match for slide in scored]
    lesion_confidences = np.concatenate([match.lesions for match in matches])
    false_positives = np.concatenate([match.false_positives for match in matches])
    curve = froc.froc_curve(false_positives, lesion_confidences, len(matches))
    score = froc.froc_score(curve.fps_per_slide, curve.sensitivity)
    report: dict[str, Any] = {
        "froc_score": score.mean,
        "sensitivity": score.sensitivity.tolist(),
        "false_positives_per_slide": list(froc.TARGETS),
        "num_slides": len(matches),
        "num_tumor_slides": sum(slide.row["is_tumor"] for slide in scored),
        "num_lesions": int(lesion_confidences.size),
        "num_isolated_tumor_cells": sum(match.num_isolated_tumor_cells for match in matches),
        "settings": {
            **settings._asdict(),
            "grow_um": lesions.GROW_UM,
            "isolated_tumor_cells_um": lesions.ITC_DIAMETER_UM,
        },
        "warnings": warnings,
        "truth_without_map": without_map,
        "slides": [slide.row for slide in scored],
    }
    write_json(output / "froc.json", report)
    _write_picture(output / "froc.png", curve, report)
    return report


def summary(report: dict[str, Any]) -> str:
    """The report as a short table for the console.

    Args:
        report: what `score_folder` returns.

    Returns:
        Several lines, without a line break at the end.
    """
    rates = "".join(f"{rate:>8g}" for rate in report["false_positives_per_slide"])
    values = "".join(f"{value:>8.3f}" for value in report["sensitivity"])
    lines = [
        f"FROC score {report['froc_score']:.4f} ({_counts(report)})",
        f"false positives per slide {rates}",
        f"sensitivity               {values}",
        *(f"warning: {warning}" for warning in report["warnings"]),
    ]
    return "\n".join(lines)


def _settings(nms_radius_um: float, threshold: float, tumor_value: int | None) -> _Settings:
    if not (math.isfinite(nms_radius_um) and nms_radius_um > 0):
        raise InputError(f"nms_radius_um: expected a positive number of µm, found {nms_radius_um}")
    if not 0 <= threshold < 1:
        raise InputError(f"threshold: expected a number in [0, 1), found {threshold}")
    if tumor_value is not None and (type(tumor_value) is not int or not 1 <= tumor_value <= 255):
        raise InputError(f"tumor_value: expected a whole number from 1 to 255, found {tumor_value}")
    return _Settings(float(nms_radius_um), float(threshold), tumor_value)


def _detect(info: MapInfo, settings: _Settings) -> Detections:
    radius = max(1, round(settings.nms_radius_um / (info.stride * info.mpp)))
    on_map = non_maximum_suppression(read_map(info), radius, settings.threshold)
    return detections_to_level0(on_map, info.stride, info.slide_shape)


def _score_slide(info: MapInfo, detections: Detections, truth_path: Path | None, tumor_value: int | None) -> _Scored:
    labels, isolated, stride = None, list[int](), info.stride
    if truth_path is not None:
        wanted_stride = max(1, round(EVALUATION_PIXEL_UM / info.mpp))
        found = read_truth(truth_path, info.slide_shape, info.stride, wanted_stride, tumor_value)
        if found.mask.any():
            stride = found.stride
            labels = lesions.evaluation_mask(found.mask, stride * info.mpp)
            isolated = lesions.isolated_tumor_cells(labels, stride * info.mpp)
    match = froc.match_detections(detections, labels, isolated, stride)
    row = {
        "slide": info.slide,
        "is_tumor": labels is not None,
        "truth": None if truth_path is None else truth_path.name,
        "truth_stride": None if labels is None else stride,
        "num_lesions": int(match.lesions.size),
        "num_lesions_hit": int(np.count_nonzero(match.lesions)),
        "num_isolated_tumor_cells": match.num_isolated_tumor_cells,
        "num_detections": int(detections.prob.size),
        "num_false_positives": int(match.false_positives.size),
        "max_confidence": float(detections.prob.max(initial=0)),
        "lesion_confidences": [float(confidence) for confidence in match.lesions],
    }
    return _Scored(match, row)


def _write_detections(path: Path, detections: Detections) -> None:
    # str of a numpy scalar is the shortest text that gives the same value back.
    lines = [f"{prob!s},{col},{row}\n" for prob, row, col in zip(*detections, strict=True)]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(lines), encoding="ascii")


def _write_picture(path: Path, curve: froc.FrocCurve, report: dict[str, Any]) -> None:
    from .plots import froc_figure, write_figure

    figure = froc_figure(
        curve.fps_per_slide,
        curve.sensitivity,
        froc.TARGETS,
        report["sensitivity"],
        report["froc_score"],
        subtitle=_counts(report),
    )
    write_figure(path, figure)


def _counts(report: dict[str, Any]) -> str:
    return (
        f"{report['num_slides']} slides, {report['num_tumor_slides']} with tumor, {report['num_lesions']} lesions, "
        f"{report['num_isolated_tumor_cells']} isolated tumor cells not counted"
    )
