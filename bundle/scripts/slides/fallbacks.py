"""Slides that ``auto`` leaves to OpenSlide though cuCIM reads slides of their form: told at the end, by reason."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import few
from .readers import read_lines, write_line

logger = logging.getLogger(__name__)

_noted: dict[str, dict[str, None]] = {}
_told: set[tuple[str, str]] = set()


def note_fallback(reason: str, path: str | Path) -> None:
    """Remember a slide of this process for `tell_fallbacks`, or let that remember it for which this one reads."""
    if not write_line(f"{path}\t{reason}"):
        _remember(reason, path)


def _remember(reason: str, path: str | Path) -> None:
    _noted.setdefault(reason, {})[str(path)] = None


def take_fallbacks() -> list[tuple[str, str]]:
    """(path, reason) of what was noted, which is forgotten here: for the process that this one reads for."""
    _gather()
    found = [(path, reason) for reason, paths in _noted.items() for path in paths]
    _noted.clear()
    return found


def _gather() -> None:
    """Remember what readers have left."""
    for line in read_lines():
        path, _, reason = line.partition("\t")
        _remember(reason, path)


def group_fallbacks(found: Iterable[tuple[str, str | None]]) -> dict[str, list[str]]:
    """Put slides together that have one reason.

    Args:
        found: (path, reason) of slides; None of those that cuCIM reads, or that are none of its forms.

    Returns:
        Paths by reason, both in the order in which they come.
    """
    groups: dict[str, list[str]] = {}
    for path, reason in found:
        if reason is not None:
            groups.setdefault(reason, []).append(path)
    return groups


def tell_fallbacks(groups: Mapping[str, Iterable[str]] | None = None) -> None:
    """Warn of slides that were read slower than others, in one line for each reason.

    Args:
        groups: paths by reason; by default of the slides that this process and its readers have opened, but for
            those that were told of.
    """
    if groups is None:
        _gather()
    told = {reason: list(paths) for reason, paths in (_noted if groups is None else groups).items()}
    _noted.clear()
    for reason, paths in told.items():
        if groups is None:
            paths = [path for path in paths if (path, reason) not in _told]
            _told.update((path, reason) for path in paths)
        if not paths:
            continue
        logger.warning(
            "%d %s read by OpenSlide, several times slower than by cuCIM: %s: %s",
            len(paths),
            "slide was" if len(paths) == 1 else "slides were",
            reason,
            few([Path(path).name for path in paths]),
        )
