"""Corrected labels: a CSV file that removes slides, or changes their class, before they are scored or trained on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ..errors import InputError, counted, few
from .names import SLIDE_SUFFIXES, check_cell, name_key, slide_name
from .tables import check_names, read_table

logger = logging.getLogger(__name__)

COLUMNS = ("slide", "action", "reason")
ACTIONS = {"remove": "removed", "normal": "counted as normal", "tumor": "counted as tumor"}
"""What may be done with a slide, and how a message says so."""


class Correction(NamedTuple):
    """What is done with a slide.

    Attributes:
        slide: its name.
        action: one of `ACTIONS`.
        reason: why, for people; may be empty.
        place: file and line, for messages.
    """

    slide: str
    action: str
    reason: str = ""
    place: str = ""


class Corrections:
    """Corrections by slide.

    Args:
        path: a CSV file with the columns `COLUMNS`, ``reason`` optional; slides by name or file name, in any case. None
            corrects nothing.

    Attributes:
        path: the file, or None.

    Raises:
        InputError: if the file is not as `tables.read_table` expects, an action is unknown or a slide is listed twice.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = path
        rows = [] if path is None else read_table(path, COLUMNS, ["slide", "action"])
        found: list[Correction] = []
        for place, cells in rows:
            action = cells["action"].lower()
            if action not in ACTIONS:
                raise InputError(f"{place}: action: expected {', '.join(ACTIONS)}, found {action!r:.40}; mend it")
            reason = check_cell(cells["reason"], f"{place}: reason")
            slide = (
                slide_name(cells["slide"]) if Path(cells["slide"]).suffix.lower() in SLIDE_SUFFIXES else cells["slide"]
            )
            found.append(Correction(check_cell(slide, f"{place}: slide"), action, reason, place))
        check_names([item.slide for item in found], [place for place, _ in rows])
        self._of_name: Mapping[str, Correction] = MappingProxyType({name_key(item.slide): item for item in found})

    def get(self, name: str) -> Correction | None:
        """The correction of a slide, by its name; None leaves it as it is."""
        return self._of_name.get(name_key(name))

    def action(self, name: str) -> str | None:
        """One of `ACTIONS`, or None for a slide that is left as it is."""
        found = self.get(name)
        return None if found is None else found.action

    def is_removed(self, name: str) -> bool:
        """Whether a slide is to be left out altogether."""
        return self.action(name) == "remove"

    def without_removed(self, names: Sequence[str]) -> list[str]:
        """The names of slides that stay; says on the console what is corrected.

        Raises:
            InputError: if none stays.
        """
        self.tell(names)
        kept = [name for name in names if not self.is_removed(name)]
        if not kept:
            raise InputError(
                f"all {counted(len(names), 'slide is', 'slides are')} removed by {self.path}, so nothing is left; "
                f"mend the file"
            )
        return kept

    def applied(self, names: Iterable[str]) -> list[Correction]:
        """Those of the corrections that concern a slide of these names, with its name as it is given here."""
        pairs = [(name, self.get(name)) for name in names]
        return [found._replace(slide=name) for name, found in pairs if found is not None]

    def report(self, names: Iterable[str]) -> list[dict[str, str]]:
        """Those of `applied` for a report: ``slide``, ``action`` and ``reason``."""
        return [{"slide": item.slide, "action": item.action, "reason": item.reason} for item in self.applied(names)]

    def tell(self, names: Iterable[str]) -> None:
        """Say on the console what is corrected among slides of these names."""
        if self.path is None:
            return
        applied = self.applied(names)
        words = []
        for action, done in ACTIONS.items():
            if slides := [item.slide for item in applied if item.action == action]:
                words.append(f"{counted(len(slides), 'slide')} {done} ({few(slides)})")
        logger.warning("%s: %s", self.path, "; ".join(words) or "none of its slides is among those given")
