"""The log of a slide's verdicts: a line for each thing done, never changed again, from which all can be rebuilt."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import check_is_file
from .geojson import read_features
from .verdicts import Mark, from_feature, to_feature

logger = logging.getLogger(__name__)

Changes = Mapping[str, Mark | None]
"""What becomes of marks, by id; None is removed."""

UNDO, OUTSIDE = "undo", "outside"
_FINAL = ("begin", OUTSIDE)  # not to be undone here: nobody here did it


class VerdictLog:
    """The marks of a slide as its log tells them.

    Each line is a JSON object: ``action``, ``when``, ``reviewer``, ``set`` (features as `verdicts.to_feature` writes
    them) and ``removed`` (ids). Lines are flushed to the disk before anything else happens, so that a killed process
    loses nothing that it has answered; what is left of a line that it had not finished is cut off.

    Args:
        path: the file; made by the first line.
        origin: (row, col), level-0 frame, at which the coordinates of the file begin.

    Attributes:
        marks: by id, in the order in which they came.
        before_last: what would take back the last line.

    Raises:
        InputError: if it cannot be read, or a line is damaged.
    """

    def __init__(self, path: Path, origin: tuple[int, int] = (0, 0)) -> None:
        self.path = path
        self.origin = origin
        self.marks: dict[str, Mark] = {}
        self.before_last: Changes = {}
        self._to_undo: list[Changes] = []
        self._size = 0
        self._replay()

    def append(self, action: str, changes: Changes, when: str, reviewer: str | None) -> None:
        """Write a line, and then change the marks.

        Args:
            action: what was done, such as ``judge``; `UNDO` takes `last_change` back.
            changes: what becomes of the marks.
            when: ISO 8601, UTC.
            reviewer: who did it.

        Raises:
            InputError: if it cannot be written; then nothing has changed.
        """
        features = [to_feature(mark, self.origin) for mark in changes.values() if mark is not None]
        removed = [identity for identity, mark in changes.items() if mark is None]
        line = {"action": action, "when": when, "reviewer": reviewer, "set": features, "removed": removed}
        try:
            text = json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        except UnicodeEncodeError as error:
            raise InputError(f"{self.path}: expected text, found half a character ({error}); write it again") from error
        try:
            with open(self.path, "r+b" if self._size else "wb") as file:
                file.seek(self._size)
                file.truncate()  # a line that the disk had no room for
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            reason = error.strerror or error
            raise InputError(
                f"{self.path}: cannot be written ({reason}); check the folder's space and rights"
            ) from error
        self._size += len(text)
        self._apply(action, changes)

    def last_change(self) -> Changes | None:
        """What takes the last change back that a reviewer made and that was not taken back yet; None without one."""
        return self._to_undo[-1] if self._to_undo else None

    def _replay(self) -> None:
        check_is_file(self.path)
        try:
            content = self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror}); check its rights") from error
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            logger.warning("%s: its last line was cut off when the server ended; it is left out", self.path)
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                found: dict[str, Any] = json.loads(line)
                features = list(read_features(self.path, found["set"]))
                changes: dict[str, Mark | None] = dict.fromkeys(found["removed"])
                changes |= {mark.id: mark for mark in (from_feature(item, self.origin) for item in features)}
                self._apply(str(found["action"]), changes)
            except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
                raise InputError(
                    f"{self.path}, line {number}: no line of verdicts ({error!r:.80}); restore or remove the file"
                ) from error
        self._size = len(whole)

    def _apply(self, action: str, changes: Changes) -> None:
        self.before_last = {identity: self.marks.get(identity) for identity in changes}
        if action == UNDO:
            self._to_undo.pop()
        elif action == OUTSIDE:  # what somebody else changed since is not taken back
            seen = [key for key, mark in changes.items() if mark is None or not mark.looks_like(self.marks.get(key))]
            self._to_undo = [undo for undo in self._to_undo if undo.keys().isdisjoint(seen)]
        elif action not in _FINAL:
            self._to_undo.append(self.before_last)
        for identity, mark in changes.items():
            if mark is None:
                self.marks.pop(identity, None)
            else:
                self.marks[identity] = mark
