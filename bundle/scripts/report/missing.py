"""Slides without a map: what a reader of the page must know is not on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..folders.names import name_key, slide_file_name, slide_name
from ..maps.files import MapInfo


class MissingMap(NamedTuple):
    """A slide without a map.

    Attributes:
        name: the slide's file name.
        reason: why inference failed at it, or that this is not known.
    """

    name: str
    reason: str


def find_missing(infos: Sequence[MapInfo], slides: Iterable[Path], failures: Mapping[str, str]) -> list[MissingMap]:
    """Slides that have no map.

    Args:
        infos: the maps' sidecars.
        slides: the slides that were given.
        failures: see `maps.run_file.read_failures`.

    Returns:
        Those of the slides that were given or failed, by name.
    """
    with_map = {name_key(info.name) for info in infos}
    reasons = {slide_file_name(path): "Inference was not run on it, or did not come so far." for path in slides}
    reasons |= {name: f"Inference failed: {reason}" for name, reason in failures.items()}
    return [
        MissingMap(name, reason)
        for name, reason in sorted(reasons.items())
        if name_key(slide_name(name)) not in with_map
    ]
