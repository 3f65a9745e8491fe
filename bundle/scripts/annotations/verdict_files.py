"""The verdicts of a slide as files: ``<slide>.geojson``, and ``<slide>.jsonl``, its log."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from ..errors import InputError
from ..files import atomic_path
from .geojson import check_geometry
from .verdict_log import OUTSIDE, UNDO, Changes, VerdictLog
from .verdict_merging import merged, summary
from .verdicts import DRAWN_SOURCE, Mark, outlines_of, read_verdicts, render, to_feature

logger = logging.getLogger(__name__)


class ChangedOutsideError(InputError):
    """What was to be changed had been changed by another program; nothing was done, and the new state is loaded."""


class Counts(NamedTuple):
    """Detections of a slide, those with a verdict, and those of each verdict."""

    num_detections: int
    num_judged: int
    num_tumor: int
    num_not_tumor: int
    num_unsure: int


class VerdictFile:
    """The marks of a slide, kept on the disk at each change.

    A change is first written to the log, then the file is written anew. If another program has changed the file
    meanwhile, its changes are merged first, and told; a change of a mark that the other program changed, too, is
    refused once. Several threads may call.

    Args:
        path: ``<slide>.geojson``; need not exist.
        reviewer: who judges.
        origin: (row, col), level-0 frame, at which the coordinates of the file begin, see
            `annotations.geojson_origin`.

    Raises:
        InputError: if the file or its log cannot be read.
    """

    def __init__(self, path: Path, reviewer: str | None = None, origin: tuple[int, int] = (0, 0)) -> None:
        self.path = path
        self.reviewer = reviewer
        self.origin = origin
        self._mutex = threading.RLock()
        self._log = VerdictLog(path.with_suffix(".jsonl"), origin)
        self._digest: str | None = None
        self.refresh()

    @property
    def marks(self) -> list[Mark]:
        """All marks, in the order in which they came."""
        with self._mutex:
            return list(self._log.marks.values())

    def get(self, identity: str) -> Mark:
        """The mark of this id.

        Raises:
            InputError: if there is none.
        """
        mark = self._log.marks.get(identity)
        if mark is None:
            raise InputError(f"{self.path}: no object {identity!r:.60} is there; load the slide again")
        return mark

    def counts(self) -> Counts:
        """Count the detections."""
        verdicts = [mark.verdict for mark in self.marks if mark.is_detection]
        by_verdict = [verdicts.count(verdict) for verdict in ("tumor", "not_tumor", "unsure")]
        return Counts(len(verdicts), sum(by_verdict), *by_verdict)

    def begin(self, findings: Sequence[Mark]) -> None:
        """Take in the findings of a map: new ones are added; those of an earlier map go unless they were judged.

        Args:
            findings: detections and outlines, see `maps.verdict_marks.finding_marks`.
        """

        def changes() -> Changes:
            found = {mark.id: mark for mark in findings}
            known = self._log.marks
            gone = [
                identity
                for identity, mark in known.items()
                if identity not in found and mark.source != DRAWN_SOURCE and mark.when is None and not mark.comment
            ]
            return {**dict.fromkeys(gone), **{key: mark for key, mark in found.items() if key not in known}}

        self._change("begin", changes)

    def judge(self, identity: str, verdict: str | None, comment: str | None = None) -> Mark:
        """Record a verdict; the outlines of a detection's lesion follow what is said of its detections.

        They are tumor if one of them is, else unsure if one is, else not tumor once all are.

        Args:
            identity: of the mark.
            verdict: one of `verdicts.VERDICTS`; None takes it back.
            comment: in place of the earlier one; None keeps it.

        Returns:
            The mark as it is now.

        Raises:
            InputError: if there is no such mark or verdict, or it cannot be written.
            ChangedOutsideError: if another program changed the mark meanwhile.
        """

        def changes() -> Changes:
            mark = self.get(identity)
            judged = mark.judged(verdict, _now(), self.reviewer)
            if comment is not None:
                judged = replace(judged, comment=comment)
            return {identity: judged, **outlines_of(judged, self._log.marks.values())}

        self._change("judge", changes, identity)
        return self.get(identity)

    def comment(self, identity: str, text: str) -> Mark:
        """Replace the comment of a mark; see `judge`."""
        self._change("comment", lambda: {identity: replace(self.get(identity), comment=text)}, identity)
        return self.get(identity)

    def add(self, geometry: Mapping[str, Any], verdict: str = "tumor", comment: str = "") -> Mark:
        """Add a drawn outline.

        Args:
            geometry: a Polygon of GeoJSON, (x, y), level-0 frame; its rings may be open.
            verdict: see `judge`.
            comment: of the reviewer.

        Returns:
            The new mark.

        Raises:
            InputError: if the polygon encloses nothing, or it cannot be written.
        """
        number = 1 + sum(mark.source == DRAWN_SOURCE for mark in self.marks)
        mark = Mark(str(uuid4()), _closed(geometry, f"{self.path}: drawn outline"), DRAWN_SOURCE, f"Drawn {number}")
        mark = replace(mark.judged(verdict, _now(), self.reviewer), comment=comment)
        self._change("add", lambda: {mark.id: mark})
        return mark

    def move(self, identity: str, geometry: Mapping[str, Any]) -> Mark:
        """Give an outline another place or form; see `add` and `judge`."""
        closed = _closed(geometry, f"{self.path}: {identity}")

        def changes() -> Changes:
            mark = self.get(identity)
            if mark.is_detection:
                raise InputError(f"{self.path}: {mark.name}: a detection stays where the map has it; move an outline")
            return {identity: replace(mark, geometry=closed)}

        self._change("move", changes, identity)
        return self.get(identity)

    def delete(self, identity: str) -> None:
        """Remove an outline; see `judge`. A detection stays, for its verdict says what is wrong with it."""

        def changes() -> Changes:
            mark = self.get(identity)
            if mark.is_detection:
                raise InputError(f"{self.path}: {mark.name}: a detection cannot be deleted; judge it to be no tumor")
            return {identity: None}

        self._change("delete", changes, identity)

    def undo(self) -> list[str]:
        """Take back the last change that was not taken back yet, also one of an earlier session.

        What another program changed since is not taken back, nor what was done before to the same marks.

        Returns:
            The ids of the marks that are now as before; none if there is nothing to take back.
        """
        with self._mutex:
            self.refresh()
            changes = self._log.last_change()
            if changes is None:
                return []
            self._append(UNDO, changes)
            return list(changes)

    def refresh(self) -> str:
        """Merge what another program changed in the file, if it did.

        Returns:
            In words what it changed, also logged as a warning; empty if nothing.

        Raises:
            InputError: if the file cannot be read; it is not overwritten then.
        """
        with self._mutex:
            content = self.path.read_bytes() if self.path.is_file() else None
            if content is not None and _digest(content) == self._digest:
                return ""
            if content is None:
                if self._log.marks:
                    logger.warning("%s: is missing; it is written anew from its log", self.path)
                    self._write(content)
                return ""
            marks = self._log.marks
            try:
                outside = read_verdicts(self.path, self.origin)
            except InputError as error:
                way = f", or remove it: it is then written anew from {self._log.path.name}" if marks else ""
                raise InputError(f"{error}{way}") from error
            changes = {} if self._is_stale(outside) else merged(marks, outside, _now())
            if not changes:
                self._write(content)
                return ""
            said = summary(marks, changes)
            logger.warning("%s: another program changed it: %s; its changes are kept", self.path, said)
            self._append(OUTSIDE, changes)
            return said

    def _is_stale(self, outside: Sequence[Mark]) -> bool:
        """Whether the file is as it was before the log's last line, after which the server ended."""
        before = {**self._log.marks, **self._log.before_last}
        wanted = {key: to_feature(mark) for key, mark in before.items() if mark is not None}
        return self._digest is None and wanted == {mark.id: to_feature(mark) for mark in outside}

    def _change(self, action: str, changes: Callable[[], Changes], identity: str | None = None) -> None:
        with self._mutex:
            before = None if identity is None else self._log.marks.get(identity)
            said = self.refresh()
            if before is not None and identity is not None and not before.looks_like(self._log.marks.get(identity)):
                raise ChangedOutsideError(
                    f"{self.path}: another program changed {before.name or identity}, too ({said}); look at it again"
                )
            found = changes()
            if found:
                self._append(action, found)

    def _append(self, action: str, changes: Changes) -> None:
        self._log.append(action, changes, _now(), self.reviewer)
        self._write()

    def _write(self, found: bytes | None = None) -> None:
        """Write the file, unless it was found to be as it should."""
        content = render(list(self._log.marks.values()), self.origin)
        if content != found:
            with atomic_path(self.path) as temporary:
                temporary.write_bytes(content)
        self._digest = _digest(content)


def _closed(geometry: Mapping[str, Any], where: str) -> dict[str, Any]:
    check_geometry(geometry, where)
    if geometry["type"] != "Polygon":
        raise InputError(f"{where}: expected a Polygon, found {geometry['type']!r:.40}; draw an outline")
    rings = [ring if ring[0] == ring[-1] else [*ring, ring[0]] for ring in geometry["coordinates"]]
    return {"type": "Polygon", "coordinates": rings}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
