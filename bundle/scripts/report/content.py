"""What the template of the page takes: slides, figures, plots, and how all of it was made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from typing import Any, NamedTuple

from ..maps.files import MapInfo
from ..maps.run_file import read_run
from ..scoring.map_reliability import reliability_report
from ..scoring.settings import MONAI_NMS_RADIUS, NMS_RADIUS_UM, ScoreSettings
from .crops import CROP_SIDE, WIDER
from .lesions import MAX_LESIONS
from .page import length
from .provenance import made_with, read_sidecars
from .published import PublishedScore
from .scores import correction_text, figures_of_scores, parts_of_scores, plots_of_scores, strata_text
from .slide_views import OUTSIDE, MapView, SlidePixels


class ShownSlide(NamedTuple):
    """A slide as the template takes it."""

    rank: int
    name: str
    info: MapInfo
    view: MapView
    row: dict[str, Any] | None
    truth: str
    size: dict[str, Any]
    bar: Any
    is_shown: bool
    num_crops: int
    pixels: SlidePixels | None
    missing: str


def page_content(
    infos: Sequence[MapInfo],
    shown: Sequence[ShownSlide],
    scores: dict[str, Any] | None,
    warnings: Sequence[str],
    scoring: ScoreSettings,
    title: str = "",
    note: str = "",
    published: Sequence[PublishedScore] = (),
) -> dict[str, Any]:
    """What the template takes.

    Args:
        infos: sidecars of all maps.
        shown: the slides, the most suspicious first.
        scores: the report of `scoring.evaluation.score_folder`, or None without truth.
        warnings: a line each.
        scoring: how detections were found and scored.
        title: of the page; made of the number of slides if empty.
        note: a remark at its top.
        published: scores of others, which stand beside this one where there is one.

    Returns:
        By the names of the template.

    Raises:
        InputError: if a sidecar or ``run.json`` is damaged.
    """
    sidecars = read_sidecars(infos)
    pixels = [slide.view.pixels for slide in shown if slide.view.pixels is not None]
    reliability = reliability_report(pixels, scoring.num_resamples, scoring.seed) if pixels else None
    return {
        "title": title or f"Metastasis detection in {len(shown)} {'slide' if len(shown) == 1 else 'slides'}",
        "note": note,
        "figures": _figures(shown) if scores is None else figures_of_scores(scores),
        "warnings": warnings,
        "scores": scores,
        "published": () if scores is None else published,
        "slides": shown,
        "ranks": {slide.name: slide.rank for slide in shown},
        "plots": [] if scores is None else plots_of_scores(scores, reliability),
        "strata": "" if scores is None else strata_text(scores),
        "parts": [] if scores is None else parts_of_scores(scores),
        "scored_lesions": {(row["slide"], row["lesion"]): row for row in scores["lesions"]} if scores else {},
        "seconds": {info.slide: sidecar.get("seconds") for info, sidecar in zip(infos, sidecars, strict=True)},
        "settings": _how_made(infos, sidecars, scoring, scores),
        "threshold": scoring.threshold,
        "max_lesions": MAX_LESIONS,
        "crop_side": CROP_SIDE,
        "wider": WIDER,
        "outside": OUTSIDE,
        "length": length,
    }


def _figures(shown: Sequence[ShownSlide]) -> list[dict[str, str]]:
    """The numbers at the top of a page without truth."""
    with_detection = sum(slide.view.num_detections > 0 for slide in shown)
    total = sum(slide.view.num_detections for slide in shown)
    return [
        {"name": "Slides", "value": str(len(shown)), "remark": f"{_tissue(shown):.1f} mm² of tissue"},
        {"name": "Slides with a detection", "value": str(with_detection), "remark": ""},
        {"name": "Detections", "value": str(total), "remark": f"{total / len(shown):.1f} per slide"},
    ]


def _tissue(shown: Sequence[ShownSlide]) -> float:
    return sum(slide.view.tissue_mm2 for slide in shown)


def _how_made(
    infos: Sequence[MapInfo], sidecars: Sequence[dict[str, Any]], scoring: ScoreSettings, scores: dict[str, Any] | None
) -> list[tuple[str, str]]:
    """What the maps were made with and how they were read, for the end of the page."""
    radius = f"{MONAI_NMS_RADIUS} map pixels" if scoring.nms_radius_um is None and scoring.monai else ""
    radius = radius or f"{NMS_RADIUS_UM if scoring.nms_radius_um is None else scoring.nms_radius_um:.1f} µm"
    lines = made_with(infos, sidecars, read_run(infos[0].path.parent))
    lines.append(("Detections", f"maxima above {scoring.threshold:g} that are the highest within {radius}"))
    if scores:
        rules, protocol = scores["settings"]["rules"], scores["settings"]["protocol"]
        lines.append(("Rules of scoring", f"{rules}, protocol {protocol}, see docs/scoring_rules.md of the package"))
        lines += [("Corrected label", correction_text(item)) for item in scores["corrections"]]
    lines += [
        ("Written", f"{date.today().isoformat()} by pathology-tumor-detection {version('pathology-tumor-detection')}"),
    ]
    return lines
