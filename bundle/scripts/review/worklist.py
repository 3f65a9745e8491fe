"""The worklist: the slides of a review, the most suspicious first, and how far the review has come. Plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..annotations.verdict_files import Counts
from .cohort import ReviewSlide


def worklist_row(slide: ReviewSlide, version: str, num_found: int, counts: Counts | None) -> dict[str, Any]:
    """A slide as the page lists it.

    A slide without detections has nothing to judge, and counts as reviewed.

    Args:
        slide: the slide.
        version: for the address of its thumbnail.
        num_found: its detections.
        counts: of its file of verdicts, or None without one.

    Returns:
        What JSON holds of it.
    """
    num_detections = num_found if counts is None else counts.num_detections
    num_judged = 0 if counts is None else counts.num_judged
    return {
        "number": slide.number,
        "name": slide.info.name,
        "file": slide.info.slide,
        "version": version,
        "has_pixels": slide.path is not None,
        "score": round(slide.score, 4),
        "num_detections": num_detections,
        "num_reviewed": num_judged,
        "is_reviewed": num_judged >= num_detections,
        "truth": {None: "", True: "tumor", False: "no tumor"}[slide.has_tumor],
    }


def by_suspicion(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows by the highest probability, then the number of detections, then the name."""
    return sorted(rows, key=lambda row: (-row["score"], -row["num_detections"], row["name"]))


def totals(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How far a review has come: ``detections`` and ``detections_reviewed``, ``slides`` and ``slides_reviewed``."""
    return {
        "detections": sum(row["num_detections"] for row in rows),
        "detections_reviewed": sum(row["num_reviewed"] for row in rows),
        "slides": len(rows),
        "slides_reviewed": sum(row["is_reviewed"] for row in rows),
    }
