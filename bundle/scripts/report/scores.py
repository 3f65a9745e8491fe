"""Scores as the report shows them: numbers at the top, plots with what they say in words. Pure."""

from __future__ import annotations

from typing import Any

from ..errors import counted
from ..folders.corrections import ACTIONS
from ..scoring.figures import FEW, reliability_figure
from ..scoring.plots import froc_plot, roc_plot
from .page import figure_svg, with_interval


def figures_of_scores(scores: dict[str, Any]) -> list[dict[str, str]]:
    """The numbers at the top of a page with truth.

    Args:
        scores: what ``froc.json`` holds.

    Returns:
        ``name``, ``value`` and ``remark`` of each.
    """
    froc, froc_remark = with_interval(scores["froc_score"], scores["froc_interval"])
    level = scores["slide_level"]
    auc, auc_remark = with_interval(level["auc"], level["auc_interval"])
    num_hit = sum(row["num_lesions_hit"] for row in scores["slides"])
    num_false = sum(row["num_false_positives"] for row in scores["slides"])
    rate = num_false / scores["num_froc_slides"]
    return [
        {"name": "Slides", "value": str(scores["num_slides"]), "remark": f"{scores['num_tumor_slides']} with tumor"},
        {
            "name": "Lesions found",
            "value": f"{num_hit} of {scores['num_lesions']}",
            "remark": f"with {rate:.2f} false positives per slide",
        },
        {"name": "FROC score", "value": froc, "remark": froc_remark},
        {"name": "AUC of slides", "value": auc, "remark": auc_remark or "needs slides with and without tumor"},
    ]


def strata_text(scores: dict[str, Any]) -> str:
    """How many lesions of each stratum were found, as a sentence."""
    names = {"micrometastasis": "micrometastases", "macrometastasis": "macrometastases"}
    parts = [
        f"{found['num_hit']} of {found['num_lesions']} {names[name]}"
        for name, found in scores["strata"].items()
        if found["num_lesions"]
    ]
    isolated = scores["num_isolated_tumor_cells"]
    parts_text = " and ".join(parts)
    what = counted(isolated, "lesion of isolated tumor cells", "lesions of isolated tumor cells")
    rest = f" {what} (below 0.2 mm) {'does' if isolated == 1 else 'do'} not count." if isolated else ""
    return f"Found: {parts_text} (limit 2 mm).{rest}"


def parts_of_scores(scores: dict[str, Any]) -> list[dict[str, Any]]:
    """The scores of each center, histological type and size of metastasis, as rows of a table.

    Args:
        scores: what ``froc.json`` holds.

    Returns:
        Of each part its scores, the ``fact`` that makes it and its ``name``, ``froc`` and ``roc`` in words.
    """
    return [
        {
            **found,
            "fact": fact.replace("_", " "),
            "name": name,
            "froc": _with_range(found["froc_score"], found["froc_interval"]),
            "roc": _with_range(found["auc"], found["auc_interval"]),
        }
        for fact, parts in scores["slide_strata"].items()
        for name, found in parts.items()
    ]


def _with_range(value: float | None, interval: list[float] | None) -> str:
    shown = "–" if value is None else f"{value:.3f}"
    return shown if interval is None else f"{shown} ({interval[0]:.3f} to {interval[1]:.3f})"


def plots_of_scores(scores: dict[str, Any], reliability: dict[str, Any] | None) -> list[dict[str, str]]:
    """The curves.

    Args:
        scores: what ``froc.json`` holds.
        reliability: of `scoring.map_reliability.reliability_report`, or None.

    Returns:
        ``svg``, ``caption`` and ``summary`` (what it says, for those who do not see it) of each.
    """
    level = scores["slide_level"]
    sensitivities = ", ".join(
        f"{value:.3f} at {rate:g}"
        for rate, value in zip(scores["false_positives_per_slide"], scores["sensitivity"], strict=True)
    )
    band = " The band is the 95% interval over resampled slides." if scores["curve_band"] else ""
    subtitle = f"{counted(scores['num_lesions'], 'lesion')} in {counted(scores['num_froc_slides'], 'slide')}"
    plots = [
        {
            "svg": figure_svg(froc_plot(scores, subtitle), "froc"),
            "caption": "FROC: lesions found against false positives. The score is the mean of the marked points; "
            f"where the line is dashed nothing more was detected.{band}",
            "summary": f"FROC curve, score {scores['froc_score']:.3f}; sensitivity by false positives per slide: "
            f"{sensitivities}.",
        }
    ]
    roc = roc_plot(scores)
    if roc is not None:
        plots.append(
            {
                "svg": figure_svg(roc, "roc"),
                "caption": "ROC of slides by their suspicion. Above "
                f"{level['threshold']:g}, sensitivity is {level['sensitivity']:.3f} and specificity "
                f"{level['specificity']:.3f}.{band}",
                "summary": f"ROC curve of slides, area {level['auc']:.3f}.",
            }
        )
    if reliability is not None:
        number = f"{reliability['num_pixels']:,} map pixels with tissue"
        plots.append(
            {
                "svg": figure_svg(reliability_figure(reliability, number, "map pixels"), "reliability"),
                "caption": "Reliability of map pixels: among those of a probability, the share that is tumor in the "
                f"truth; on the diagonal both agree. {reliability['num_pixels']:,} pixels with tissue, "
                f"{100 * reliability['tumor_share']:.1f}% of them tumor. Brier score "
                f"{reliability['brier_score']:.4f}, expected calibration error "
                f"{reliability['calibration_error']:.4f}.{_few_text(reliability)}",
                "summary": "Reliability of map pixels: expected calibration error "
                f"{reliability['calibration_error']:.4f}.",
            }
        )
    return plots


def _few_text(reliability: dict[str, Any]) -> str:
    few = sum(0 < count < FEW for count in reliability["count"])
    return f" Hollow points have fewer than {FEW} pixels, too few for an interval." if few else ""


def correction_text(correction: dict[str, str]) -> str:
    """A corrected label in words, such as ``test_003: counted as tumor (a metastasis was overlooked)``."""
    reason = f" ({correction['reason']})" if correction["reason"] else ""
    return f"{correction['slide']}: {ACTIONS[correction['action']]}{reason}"
