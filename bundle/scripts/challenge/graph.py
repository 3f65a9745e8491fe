"""Which stages are to run: what each was made from, compared with what is there now. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import InputError


class Fingerprint(NamedTuple):
    """What the results of a stage depend on, as values of JSON.

    Attributes:
        settings: by name.
        inputs: what tells that a file or a folder is still the same, by its path; None for one that is missing.
    """

    settings: Mapping[str, Any]
    inputs: Mapping[str, Any]

    def digest(self) -> str:
        """SHA-256 of both."""
        text = json.dumps([self.settings, self.inputs], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Record(NamedTuple):
    """What ``stages.json`` holds of a stage.

    Attributes:
        fingerprint: what it was begun with.
        is_finished: whether it came to its end.
        outputs: paths of what it made.
        seconds: that it took, of the runs that did a part of it.
        line: what it told at its end.
        set_aside: slides that it could not use, each with the reason.
    """

    fingerprint: Fingerprint
    is_finished: bool = False
    outputs: tuple[str, ...] = ()
    seconds: float = 0.0
    line: str = ""
    set_aside: Mapping[str, str] = {}


def why_run(record: Record | None, now: Fingerprint, missing: Sequence[str]) -> str | None:
    """Why a stage is to run.

    Args:
        record: of its last run, None if there was none.
        now: what its results would be made from.
        missing: those of its outputs that are no longer there.

    Returns:
        A reason for people, None if its results are up to date.
    """
    if record is None:
        return "not done yet"
    if record.fingerprint.digest() != now.digest():
        return _difference(record.fingerprint, now)
    if not record.is_finished:
        return "was interrupted, goes on"
    return f"{missing[0]} is missing" if missing else None


def stages_from(names: Sequence[str], first: str | None) -> list[str]:
    """The stages that ``from`` begins anew: this one and all after it; none for None.

    Args:
        names: of the stages of a run, in order.
        first: the name of one.

    Raises:
        InputError: if there is no such stage.
    """
    if first is None:
        return []
    if first not in names:
        raise InputError(f"from: expected a stage of this run, {', '.join(names)}, found {first!r}; name one of them")
    return list(names[list(names).index(first) :])


def _difference(before: Fingerprint, now: Fingerprint) -> str:
    for key in sorted({*before.settings, *now.settings}):
        old, new = before.settings.get(key), now.settings.get(key)
        if old != new:
            return f"{key} was {json.dumps(old):.60}, is {json.dumps(new):.60}"
    changed = sorted(path for path in {*before.inputs, *now.inputs} if before.inputs.get(path) != now.inputs.get(path))
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{changed[0]}{more} changed"
