"""Slides that ``auto`` leaves to OpenSlide though cuCIM reads slides of their form: told at the end, by reason."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import few

logger = logging.getLogger(__name__)

_noted: dict[str, dict[str, None]] = {}


def note_fallback(reason: str, path: str | Path) -> None:
    """Remember a slide of this process for `tell_fallbacks`."""
    _noted.setdefault(reason, {})[str(path)] = None


def take_fallbacks() -> list[tuple[str, str]]:
    """(path, reason) of what was noted, which is forgotten here: for the process that this one reads for."""
    found = [(path, reason) for reason, paths in _noted.items() for path in paths]
    _noted.clear()
    return found


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
        groups: paths by reason; by default of the slides that this process has opened since it last told of any.
    """
    told = {reason: list(paths) for reason, paths in (_noted if groups is None else groups).items()}
    _noted.clear()
    for reason, paths in told.items():
        logger.warning(
            "%d %s read by OpenSlide, several times slower than by cuCIM: %s: %s",
            len(paths),
            "slide was" if len(paths) == 1 else "slides were",
            reason,
            few([Path(path).name for path in paths]),
        )
