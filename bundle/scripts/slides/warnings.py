"""Warnings about slides, each told once: a slide is opened many times, by the pool and by several steps."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)

_told: set[str] = set()


def warn_once(message: str) -> None:
    """Log a warning, unless this process has told it already."""
    if message not in _told:
        _told.add(message)
        logger.warning("%s", message)
