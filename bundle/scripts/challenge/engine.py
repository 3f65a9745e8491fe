"""Runs stages one after the other: what is up to date is passed over, what was interrupted goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from .costs import Cost, Probe
from .fingerprints import identity
from .graph import Fingerprint, Record, stages_from, why_run
from .layout import Layout
from .ledger import Ledger


class Outcome(NamedTuple):
    """How a stage ended.

    Attributes:
        line: what it did, for people.
        set_aside: slides that it could not use, by name, each with the reason.
    """

    line: str
    set_aside: Mapping[str, str] = {}


class Stage(Protocol):
    """A step of the challenge. What it reads may depend on what the stages before it wrote."""

    @property
    def name(self) -> str:
        """By which ``from`` and ``stages.json`` name it."""

    def left_out(self) -> str | None:
        """Why this run has no such stage, None if it has."""

    def check(self) -> None:
        """Refuse settings that would fail later, before anything is computed.

        Raises:
            InputError: names the setting.
        """

    def settings(self) -> dict[str, Any]:
        """What its results depend on beside files, as values of JSON."""

    def inputs(self) -> Sequence[Path]:
        """Files and folders that its results depend on."""

    def outputs(self) -> Sequence[Path]:
        """Files and folders that are there once it is done."""

    def run(self, goes_on: bool) -> Outcome:
        """Do the step.

        Args:
            goes_on: whether what is there was begun with the same settings and inputs, by a run that was interrupted.
        """

    def cost(self, probe: Probe) -> Cost:
        """What it will take here."""

    def clear(self) -> None:
        """Remove its results, to begin anew."""


class State(NamedTuple):
    """A stage before a run.

    Attributes:
        stage: the stage.
        record: of its last run.
        reason: why it is to run, None if its results are up to date.
    """

    stage: Stage
    record: Record | None
    reason: str | None


def fingerprint(stage: Stage, layout: Layout) -> Fingerprint:
    """What the results of a stage would be made from now."""
    inputs = {layout.shown(path): identity(path) for path in stage.inputs()}
    return Fingerprint(stage.settings(), inputs)


def look(stage: Stage, ledger: Ledger, layout: Layout) -> tuple[State, Fingerprint]:
    """Whether a stage is to run, and what from."""
    record, now = ledger.get(stage.name), fingerprint(stage, layout)
    missing = [path for path in record.outputs if not layout.found(path).exists()] if record is not None else []
    return State(stage, record, why_run(record, now, missing)), now


def run_stages(
    stages: Sequence[Stage],
    ledger: Ledger,
    layout: Layout,
    begin_at: str | None = None,
    say: Callable[[str], object] = print,
) -> dict[str, str]:
    """Run what is not up to date.

    Args:
        stages: in order; those that are left out do nothing.
        ledger: what was done before.
        layout: where files lie.
        begin_at: the first stage to begin anew, with all after it; None goes on where the last run ended.
        say: told a line for each stage.

    Returns:
        All slides that were set aside, by name, each with the stage and the reason.

    Raises:
        InputError: if ``begin_at`` is no stage, or a stage fails; what those before it made stays.
    """
    wanted = [stage for stage in stages if stage.left_out() is None]
    for stage in wanted:
        stage.check()
    again = stages_from([stage.name for stage in wanted], begin_at)
    if again:
        ledger.forget(again)
        for stage in wanted:
            if stage.name in again:
                stage.clear()
    set_aside: dict[str, str] = {}
    for number, stage in enumerate(wanted, start=1):
        state, now = look(stage, ledger, layout)
        if state.reason is None and state.record is not None:
            record = state.record
            say(f"\n== {number} of {len(wanted)}: {stage.name} is up to date: {record.line}")
        else:
            say(f"\n== {number} of {len(wanted)}: {stage.name} ({state.reason})")
            record = _run(stage, state.record, now, ledger, layout)
            say(record.line)
        for name, reason in record.set_aside.items():
            set_aside.setdefault(name, f"{stage.name}: {reason}")
    return set_aside


def _run(stage: Stage, before: Record | None, now: Fingerprint, ledger: Ledger, layout: Layout) -> Record:
    goes_on = before is not None and not before.is_finished and before.fingerprint.digest() == now.digest()
    earlier = before.seconds if goes_on and before is not None else 0.0
    begun = Record(now, seconds=earlier)
    ledger.put(stage.name, begun)
    started = time.monotonic()
    try:
        outcome = stage.run(goes_on)
    except BaseException:  # also Ctrl-C: what the stage did so far counts as time, and the next run goes on
        ledger.put(stage.name, begun._replace(seconds=earlier + time.monotonic() - started))
        raise
    outputs = tuple(layout.shown(path) for path in stage.outputs())
    seconds = earlier + time.monotonic() - started
    record = Record(now, True, outputs, seconds, outcome.line, outcome.set_aside)
    ledger.put(stage.name, record)
    return record
