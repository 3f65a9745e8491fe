"""The report of a score: from slides matched with their lesions to what ``froc.json`` holds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import NoLesionError
from . import froc, lesions
from .bootstrap import resample_weights, resampled_sensitivity
from .intervals import LEVEL, interval
from .slide_level import slide_level_report
from .strata import lesion_scores, slide_strata

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
        """Whether it holds tumor."""
        return bool(self.row["is_tumor"])

    def with_score(self, score: float) -> ScoredSlide:
        """The same with another score of the whole slide."""
        return self._replace(score=score, row={**self.row, "score": score})

    @property
    def counts_lesions(self) -> bool:
        """Whether its lesions and false positives are scored."""
        return bool(self.row["counts_lesions"])


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
        NoLesionError: if there is no lesion; tells the AUC of the slides.
    """
    lesion_slides = [slide for slide in slides if slide.counts_lesions]
    matches = [slide.match for slide in lesion_slides]
    weights = resample_weights(len(matches), *resampling)
    slide_weights = resample_weights(len(slides), *resampling)
    is_tumor = np.array([slide.is_tumor for slide in slides])
    scores = np.array([slide.score for slide in slides])
    slide_level = slide_level_report(scores, is_tumor, slide_threshold, slide_weights)
    try:
        curve = froc.pooled_curve(matches, monai)
    except NoLesionError as error:
        error.auc = slide_level["auc"]
        raise
    score = froc.froc_score(curve.fps_per_slide, curve.sensitivity)
    resampled = resampled_sensitivity(matches, weights, froc.TARGETS, monai)
    num_tumor = slide_weights @ is_tumor.astype(np.int32)
    shown = int(np.searchsorted(curve.fps_per_slide, froc.TARGETS[-1])) + 1
    return {
        "froc_score": score.mean,
        "froc_interval": interval(resampled.mean(axis=1)),
        "sensitivity": score.sensitivity.tolist(),
        "sensitivity_intervals": _intervals(resampled),
        "false_positives_per_slide": list(froc.TARGETS),
        "num_slides": len(slides),
        "num_tumor_slides": int(is_tumor.sum()),
        "num_froc_slides": len(matches),
        "num_lesions": sum(match.lesions.size for match in matches),
        "num_isolated_tumor_cells": sum(match.num_isolated_tumor_cells for match in matches),
        "strata": {
            name: lesion_scores(_matches_of(lesion_slides, name), weights, monai)
            for name in (lesions.MICRO, lesions.MACRO)
        },
        "slide_strata": slide_strata(slides, monai, resampling),
        "slide_level": slide_level,
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


def _matches_of(slides: Sequence[ScoredSlide], name: str) -> list[froc.SlideMatch]:
    """The matches with the lesions of one stratum; false positives are those of all slides."""
    matches = []
    for slide in slides:
        counted = [row["stratum"] for row in slide.lesions if row["stratum"] != lesions.ISOLATED]
        is_member = np.array([found == name for found in counted], dtype=np.bool_)
        matches.append(slide.match._replace(lesions=slide.match.lesions[is_member]))
    return matches


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
