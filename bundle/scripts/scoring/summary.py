"""Scores as lines for the console and for plots. Pure."""

from __future__ import annotations

from typing import Any

from ..errors import counted


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
        *(_center_line(name, found) for name, found in report["slide_strata"]["center"].items()),
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
    if report["excluded_from_lesions"]:
        lines.append(f"excluded from lesion scores: {', '.join(report['excluded_from_lesions'])}")
    return "\n".join(lines)


def counts(report: dict[str, Any]) -> str:
    """How many slides and lesions there are, in words."""
    num_froc, num_slides = report["num_froc_slides"], report["num_slides"]
    return (
        f"{counted(num_slides, 'slide')}, {report['num_tumor_slides']} with tumor"
        f"{'' if num_froc == num_slides else f', {num_froc} scored for lesions'}, "
        f"{counted(report['num_lesions'], 'lesion')}, "
        f"{counted(report['num_isolated_tumor_cells'], 'isolated tumor cell')} not counted"
    )


def _stratum_line(name: str, found: dict[str, Any]) -> str:
    return (
        f"{name} ({found['num_hit']} of {found['num_lesions']} hit): FROC score {found['froc_score']:.4f}"
        f"{_range(found['froc_interval'])}"
    )


def _center_line(name: str, found: dict[str, Any]) -> str:
    scores = [
        f"{label} {found[key]:.4f}{_range(found[interval])}"
        for label, key, interval in (("FROC score", "froc_score", "froc_interval"), ("AUC", "auc", "auc_interval"))
        if found[key] is not None
    ]
    return (
        f"{name} ({counted(found['num_slides'], 'slide')}, {found['num_tumor_slides']} with tumor): "
        f"{', '.join(scores) or '-'}"
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
