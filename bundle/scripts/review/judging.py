"""The verdicts of a review: what the page may change, and what it is told. Plain values in and out."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..annotations.annotations import geojson_origin
from ..annotations.verdict_files import ChangedOutsideError, Counts, VerdictFile
from ..annotations.verdict_folder import VerdictFolder
from ..annotations.verdicts import Mark
from ..errors import InputError
from ..files import read_json
from ..maps.artifacts import NO_ARTIFACT
from ..maps.files import MapInfo
from ..maps.findings import Findings
from ..maps.verdict_marks import finding_marks
from .cohort import ReviewSlide
from .queue import OtherMap

MAX_COMMENT = 2000
"""Characters of a comment."""

_AREAS = ("Polygon", "MultiPolygon")


class _Opened(NamedTuple):
    file: VerdictFile
    lock: threading.Lock


class Judging:
    """The verdicts of the slides of a review. Threads may share it.

    A slide's file is made when the slide is first looked at, and follows what another program writes into it.

    Args:
        cohort: of `cohort.read_cohort`.
        folder: where the verdicts are kept.
        origin: where the coordinates of GeoJSON begin, see `annotations.annotations.geojson_origin`.

    Raises:
        InputError: if a file of verdicts that is there is damaged.
    """

    def __init__(self, cohort: Sequence[ReviewSlide], folder: VerdictFolder, origin: str) -> None:
        self.folder = folder
        self.origin = origin
        self._opened: dict[int, _Opened] = {}
        self._revisions: dict[int, int] = {}
        self._opening = threading.Lock()
        self._known: dict[int, tuple[Counts, frozenset[tuple[float, float]]]] = {}
        for slide in cohort:
            name = slide.info.name
            if any((folder.path / f"{name}{suffix}").exists() for suffix in (".jsonl", ".geojson")):
                file = folder.open(name, geojson_origin(origin, slide.info.bounds_origin))
                self._known[slide.number] = file.counts(), _judged_points(file)

    def begin(self, number: int, info: MapInfo, marks: Sequence[Mark]) -> None:
        """Take in what was found on a slide that is looked at, see `found_marks`.

        Raises:
            InputError: if its file is damaged or cannot be written.
        """
        with self._opening:
            if number in self._opened:
                return
            file = self.folder.open(info.name, geojson_origin(self.origin, info.bounds_origin))
            file.begin(marks)
            self._opened[number] = _Opened(file, threading.Lock())
            self._revisions[number] = 1

    def counts(self, number: int) -> Counts | None:
        """How many detections of a slide have a verdict; None of a slide that nobody looked at."""
        opened = self._opened.get(number)
        if opened is not None:
            return opened.file.counts()
        return self._known[number][0] if number in self._known else None

    def judged_points(self, number: int) -> frozenset[tuple[float, float]]:
        """(x, y) of the detections of a slide that have a verdict, level 0."""
        opened = self._opened.get(number)
        if opened is not None:
            return _judged_points(opened.file)
        return self._known[number][1] if number in self._known else frozenset()

    def state(self, number: int, revision: int | None = None) -> dict[str, Any]:
        """The verdicts of a slide that was begun, with what another program changed meanwhile.

        Args:
            number: of the slide.
            revision: that the page has; if it is the newest, the marks are left out.

        Returns:
            ``revision``; ``said``: what another program changed, in words, or empty; ``marks``, see `mark_values`.

        Raises:
            InputError: if the file cannot be read.
        """
        opened = self._find(number)
        with opened.lock:
            said = self._refresh(number, opened.file)
            return self._answer(number, opened.file, said, revision)

    def change(self, number: int, change: Mapping[str, Any]) -> dict[str, Any]:
        """Change a verdict, a comment or an outline, and keep it on the disk.

        Args:
            number: of the slide.
            change: ``action``, one of judge, comment, add, move, delete and undo; ``id`` of the mark; ``verdict``,
                ``text`` or ``rings`` of (x, y).

        Returns:
            As `state`, and ``changed``: the ids of what was changed.

        Raises:
            InputError: if there is no such action or mark, or it cannot be written.
            ChangedOutsideError: if another program changed the mark since the page was told of it.
        """
        opened = self._find(number)
        file = opened.file
        with opened.lock:
            before = {mark.id: mark for mark in file.marks}.get(str(change.get("id")))
            said = self._refresh(number, file)
            if before is not None and said:
                now = {mark.id: mark for mark in file.marks}.get(before.id)
                if not before.looks_like(now):
                    raise ChangedOutsideError(
                        f"{file.path.name}: another program changed {before.name or 'this'}, too ({said}); look again"
                    )
            changed = _apply(file, change)
            self._revisions[number] += 1
            return {**self._answer(number, file, said, None), "changed": changed}

    def _find(self, number: int) -> _Opened:
        if number not in self._opened:
            raise InputError(f"the slide {number} was not opened yet; reload the page")
        return self._opened[number]

    def _refresh(self, number: int, file: VerdictFile) -> str:
        said = file.refresh()
        self._revisions[number] += bool(said)
        return said

    def _answer(self, number: int, file: VerdictFile, said: str, revision: int | None) -> dict[str, Any]:
        newest = self._revisions[number]
        known = {"revision": newest, "said": said}
        return known if revision == newest else {**known, "marks": [mark_values(mark) for mark in file.marks]}


def _judged_points(file: VerdictFile) -> frozenset[tuple[float, float]]:
    return frozenset(mark.point_xy for mark in file.marks if mark.is_detection and mark.verdict is not None)


def found_marks(findings: Findings, other: OtherMap | None) -> list[Mark]:
    """What a person judges on a slide: the findings of its map, and the detections that another map alone has.

    Args:
        findings: of the slide's map.
        other: what another map says, or None.

    Raises:
        InputError: if a sidecar is damaged.
    """
    marks = finding_marks(findings, _weights(findings.info))
    if other is not None:
        count = other.detections.prob.size
        nowhere = np.zeros(count, dtype=np.int64), (NO_ARTIFACT,) * count
        alone = Findings(other.info, (), other.detections, *nowhere)
        marks += [
            replace(mark, name=f"{mark.name} of the other map") for mark in finding_marks(alone, _weights(other.info))
        ]
    return marks


def _weights(info: MapInfo) -> str | None:
    found = read_json(info.path.with_suffix(".json")).get("weights_sha256")
    return found if isinstance(found, str) else None


def mark_values(mark: Mark) -> dict[str, Any]:
    """A mark as the page takes it: what it says, its middle ``x``, ``y``, and the ``rings`` of an area; level 0."""
    x, y = mark.point_xy
    kind, coordinates = mark.geometry["type"], mark.geometry.get("coordinates")
    parts: list[Any] = {"Polygon": [coordinates], "MultiPolygon": coordinates}.get(kind) or []
    return {
        "id": mark.id,
        "source": mark.source,
        "name": mark.name or mark.source,
        "prob": mark.probability,
        "verdict": mark.verdict,
        "label": mark.label,
        "comment": mark.comment,
        "when": mark.when,
        "reviewer": mark.reviewer,
        "x": x,
        "y": y,
        "rings": [ring for part in parts for ring in part] if kind in _AREAS else None,
        "can_move": kind == "Polygon",
    }


def _apply(file: VerdictFile, change: Mapping[str, Any]) -> list[str]:
    """Do what the page asks; the ids of what was changed."""
    action = change.get("action")
    if action == "undo":
        return file.undo()
    if action == "add":
        return [file.add(_polygon(change)).id]
    identity = change.get("id")
    if not isinstance(identity, str):
        raise InputError(f"id: expected that of a mark, found {identity!r:.60}; reload the page")
    if action == "judge":
        verdict = change.get("verdict")
        if not (verdict is None or isinstance(verdict, str)):
            raise InputError(f"verdict: expected a word or nothing, found {verdict!r:.60}; reload the page")
        file.judge(identity, verdict)
    elif action == "comment":
        text = change.get("text")
        if not isinstance(text, str) or len(text) > MAX_COMMENT:
            raise InputError(f"text: expected at most {MAX_COMMENT} characters; shorten the comment")
        file.comment(identity, text)
    elif action == "move":
        file.move(identity, _polygon(change))
    elif action == "delete":
        file.delete(identity)
    else:
        raise InputError(f"action: expected judge, comment, add, move, delete or undo, found {action!r:.60}")
    return [identity]


def _polygon(change: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": change.get("rings")}
