"""Merge what another program, such as QuPath, changed in a file of marks. No files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import shapely
from shapely.geometry import shape

from .verdicts import Mark

ELSEWHERE = "another program"
"""The reviewer of a verdict that was given in a program that does not tell who gave it."""


def merged(marks: Mapping[str, Mark], outside: Sequence[Mark], when: str) -> dict[str, Mark | None]:
    """What another program changed in a file of marks.

    A mark keeps what the other program does not write: QuPath writes places, names and classes, and drops the rest.

    Args:
        marks: those that were written, by id.
        outside: those that the file has now.
        when: now, ISO 8601, UTC: the time of the verdicts that tell no other.

    Returns:
        The new state of each mark that differs; None of those that are gone.
    """
    changes: dict[str, Mark | None] = dict.fromkeys(marks.keys() - {mark.id for mark in outside})
    for found in outside:
        known = marks.get(found.id)
        state = _signed(found, None, when) if known is None else _updated(known, found, when)
        if state != known:
            changes[found.id] = state
    return changes


def summary(marks: Mapping[str, Mark], changes: Mapping[str, Mark | None]) -> str:
    """In words, how many marks are new, gone, moved or judged; ``nothing that counts`` for properties alone.

    Args:
        marks: those before.
        changes: of `merged`.
    """
    counts = {"new": 0, "removed": 0, "moved": 0, "judged": 0}
    for identity, mark in changes.items():
        known = marks.get(identity)
        if mark is None or known is None:
            counts["removed" if mark is None else "new"] += 1
            continue
        counts["moved"] += mark.geometry != known.geometry
        counts["judged"] += mark.label != known.label
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing that counts"


def _updated(known: Mark, found: Mark, when: str) -> Mark:
    return replace(
        known if found.label == known.label else _signed(found, known, when),
        geometry=known.geometry if _are_equal(known.geometry, found.geometry) else found.geometry,
        source=known.source,
        name=found.name or known.name,
        probability=known.probability,
        comment=found.comment or known.comment,
        weights_sha256=known.weights_sha256,
        lesion=known.lesion,
        others={**known.others, **found.others},
    )


def _signed(found: Mark, known: Mark | None, when: str) -> Mark:
    """With the time and the reviewer of its verdict, if it has one that is not yet signed."""
    is_signed = found.when is not None and (known is None or found.when != known.when)
    if found.verdict is None or is_signed:
        return found
    return replace(found, when=when, reviewer=ELSEWHERE)


def _are_equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two geometries are the same but for where a ring begins and how it turns."""
    if one == other:
        return True
    first, second = (shapely.normalize(shape(geometry)) for geometry in (one, other))
    return bool(shapely.equals_exact(first, second, tolerance=1e-6))
