"""The report of a score: from slides matched with their lesions to what ``froc.json`` holds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import froc, lesions
from .bootstrap import resample_weights, resampled_sensitivity
from .intervals import LEVEL, interval
from .slide_level import slide_level_report

BAND_RATES = np.unique([*np.linspace(0, 0.25, 17), *(0.25 * 2 ** np.linspace(0, 5, 81)), *froc.TARGETS])
"""False positives per slide at which the curve's band is given: as dense in each octave."""


class ScoredSlide(NamedTuple):
    """A slide held against its truth.

    Attributes:
        row: its row in the report.
        match: its false positives and lesions.
        lesions: rows of the report's table of lesions.
        score: of the whole slide.
    """

    row: dict[str, Any]
    match: froc.SlideMatch
    lesions: list[dict[str, Any]]
    score: float

    @property
    def is_tumor(self) -> bool:
        """Whether its truth marks tumor."""
        return bool(self.row["is_tumor"])


class Resampling(NamedTuple):
    """Settings of the bootstrap: how many resamples (0: no intervals), and the seed."""

    num_resamples: int = 1000
    seed: int = 0


def lesion_rows(
    slide: str, match: froc.SlideMatch, sizes: lesions.LesionSizes, pixel_um: float, stride: int
) -> list[dict[str, Any]]:
    """Rows of the table of lesions, by label.

    Args:
        slide: the slide's file name.
        match: of the slide.
        sizes: of its lesions.
        pixel_um: µm per mask pixel.
        stride: level-0 pixels per mask pixel.

    Returns:
        One for each lesion, isolated tumor cells too.
    """
    is_isolated, extent_um = sizes.is_isolated(pixel_um), sizes.extent_um(pixel_um)
    confidence = np.zeros(is_isolated.size)
    confidence[match.lesion_labels - 1] = match.lesions
    confidence[is_isolated] = match.isolated
    rows = []
    for index in range(is_isolated.size):
        size_um = float(extent_um[index])
        center = (sizes.center[index] + 0.5) * stride
        rows.append(
            {
                "slide": slide,
                "lesion": index + 1,
                "stratum": lesions.ISOLATED if is_isolated[index] else stratum(size_um),
                "size_um": round(size_um, 1),
                "area_mm2": round(float(sizes.area[index]) * pixel_um**2 / 1e6, 6),
                "x": int(center[1]),
                "y": int(center[0]),
                "confidence": float(confidence[index]),
                "is_hit": bool(confidence[index] > 0),
            }
        )
    return rows


def stratum(size_um: float) -> str:
    """The stratum of a lesion that counts, by its extent in µm."""
    return lesions.MACRO if size_um > lesions.MACROMETASTASIS_UM else lesions.MICRO


def score_report(slides: Sequence[ScoredSlide], slide_threshold: float, monai: bool, resampling: Resampling) -> Any:
    """Scores of lesions and of slides, with intervals.

    Args:
        slides: all that count.
        slide_threshold: slides of a greater score are called tumor.
        monai: whether the lowest point of the curve is dropped as MONAI does.
        resampling: of slides.

    Returns:
        The part of ``froc.json`` that is computed here, as a dict.

    Raises:
        InputError: if there is no lesion.
    """
    matches = [slide.match for slide in slides]
    weights = resample_weights(len(slides), *resampling)
    curve = pooled_curve(matches, monai)
    score = froc.froc_score(curve.fps_per_slide, curve.sensitivity)
    resampled = resampled_sensitivity(matches, weights, froc.TARGETS, monai)
    is_tumor = np.array([slide.is_tumor for slide in slides])
    scores = np.array([slide.score for slide in slides])
    num_tumor = weights @ is_tumor.astype(np.int32)
    shown = int(np.searchsorted(curve.fps_per_slide, froc.TARGETS[-1])) + 1
    return {
        "froc_score": score.mean,
        "froc_interval": interval(resampled.mean(axis=1)),
        "sensitivity": score.sensitivity.tolist(),
        "sensitivity_intervals": _intervals(resampled),
        "false_positives_per_slide": list(froc.TARGETS),
        "num_slides": len(slides),
        "num_tumor_slides": int(is_tumor.sum()),
        "num_lesions": sum(match.lesions.size for match in matches),
        "num_isolated_tumor_cells": sum(match.num_isolated_tumor_cells for match in matches),
        "strata": {name: _stratum_report(slides, name, weights, monai) for name in (lesions.MICRO, lesions.MACRO)},
        "slide_level": slide_level_report(scores, is_tumor, slide_threshold, weights),
        "bootstrap": {
            **resampling._asdict(),
            "level": LEVEL,
            "num_without_lesion": int(np.isnan(resampled[:, 0]).sum()),
            "num_of_one_class": int(((num_tumor == 0) | (num_tumor == len(slides))).sum()),
        },
        "curve": {
            "false_positives_per_slide": curve.fps_per_slide[:shown].tolist(),
            "sensitivity": curve.sensitivity[:shown].tolist(),
            "threshold": [None, *curve.threshold[1:shown].tolist()],
        },
        "curve_band": _band(resampled_sensitivity(matches, weights, BAND_RATES, monai)),
    }


def pooled_curve(matches: Sequence[froc.SlideMatch], monai: bool) -> froc.FrocCurve:
    """The FROC curve of all slides.

    Args:
        matches: of each slide.
        monai: see `score_report`; where there are isolated tumor cells, nothing is lost.

    Raises:
        InputError: if there is no lesion.
    """
    has_isolated = any(match.num_isolated_tumor_cells for match in matches)
    false_positives = np.concatenate([match.false_positives for match in matches])
    confidences = np.concatenate([match.lesions for match in matches])
    return froc.froc_curve(false_positives, confidences, len(matches), monai and not has_isolated)


def _stratum_report(
    slides: Sequence[ScoredSlide], name: str, weights: npt.NDArray[np.int32], monai: bool
) -> dict[str, Any]:
    """Score of the lesions of one stratum; false positives are those of all slides."""
    matches = []
    for slide in slides:
        counted = [row["stratum"] for row in slide.lesions if row["stratum"] != lesions.ISOLATED]
        is_member = np.array([found == name for found in counted], dtype=np.bool_)
        matches.append(slide.match._replace(lesions=slide.match.lesions[is_member]))
    confidences = np.concatenate([match.lesions for match in matches])
    report: dict[str, Any] = {
        "num_lesions": int(confidences.size),
        "num_hit": int(np.count_nonzero(confidences)),
        "froc_score": None,
        "froc_interval": None,
        "sensitivity": None,
    }
    if confidences.size:
        curve = pooled_curve(matches, monai)
        score = froc.froc_score(curve.fps_per_slide, curve.sensitivity)
        resampled = resampled_sensitivity(matches, weights, froc.TARGETS, monai)
        report["froc_score"], report["sensitivity"] = score.mean, score.sensitivity.tolist()
        report["froc_interval"] = interval(resampled.mean(axis=1))
    return report


def _intervals(resampled: npt.NDArray[np.float64]) -> list[list[float]] | None:
    found = [interval(column) for column in resampled.T]
    known = [pair for pair in found if pair is not None]
    return known or None


def _band(resampled: npt.NDArray[np.float64]) -> dict[str, Any] | None:
    bounds = _intervals(resampled)
    if bounds is None:
        return None
    low, high = zip(*bounds, strict=True)
    return {"false_positives_per_slide": BAND_RATES.tolist(), "low": list(low), "high": list(high)}


def summary(report: dict[str, Any]) -> str:
    """The report as a short table for the console; its warnings were logged when they were found.

    Args:
        report: what ``froc.json`` holds.

    Returns:
        Several lines, without a line break at the end.
    """
    rates = "".join(f"{rate:>8g}" for rate in report["false_positives_per_slide"])
    values = "".join(f"{value:>8.3f}" for value in report["sensitivity"])
    level = report["slide_level"]
    lines = [
        f"FROC score {report['froc_score']:.4f}{_range(report['froc_interval'])} ({counts(report)})",
        f"false positives per slide {rates}",
        f"sensitivity               {values}",
        *(_stratum_line(name, found) for name, found in report["strata"].items() if found["num_lesions"]),
    ]
    if level["auc"] is not None:
        lines.append(
            f"slides: AUC {level['auc']:.4f}{_range(level['auc_interval'])}, at {level['threshold']:g} "
            f"sensitivity {level['sensitivity']:.3f}{_range(level['sensitivity_interval'])}, "
            f"specificity {level['specificity']:.3f}{_range(level['specificity_interval'])}"
        )
    if report["comparison"] is not None:
        lines += _comparison_lines(report["comparison"])
    if report["excluded"]:
        lines.append(f"excluded: {', '.join(report['excluded'])}")
    return "\n".join(lines)


def counts(report: dict[str, Any]) -> str:
    """How many slides and lesions there are, in words."""
    return (
        f"{report['num_slides']} slides, {report['num_tumor_slides']} with tumor, {report['num_lesions']} lesions, "
        f"{report['num_isolated_tumor_cells']} isolated tumor cells not counted"
    )


def _stratum_line(name: str, found: dict[str, Any]) -> str:
    return (
        f"{name} ({found['num_hit']} of {found['num_lesions']} hit): FROC score {found['froc_score']:.4f}"
        f"{_range(found['froc_interval'])}"
    )


def _comparison_lines(comparison: dict[str, Any]) -> list[str]:
    lines = []
    for name, key in (("FROC score", "froc"), ("slides' AUC", "auc")):
        difference = comparison[f"{key}_difference"]
        if difference is not None:
            p = comparison[f"{key}_p_value"]
            lines.append(
                f"{name} against {comparison['against']}: {difference:+.4f}"
                f"{_range(comparison[f'{key}_difference_interval'], '+.3f')}" + ("" if p is None else f", p {p:.3g}")
            )
    return lines


def _range(found: list[float] | None, form: str = ".3f") -> str:
    return "" if found is None else f" [{found[0]:{form}}, {found[1]:{form}}]"
