"""The plan of a run: which stages it would run and why, what is there already."""

from __future__ import annotations

from collections.abc import Sequence

from .engine import Stage, look
from .layout import Layout
from .ledger import Ledger


def write_plan(stages: Sequence[Stage], ledger: Ledger, layout: Layout, again: Sequence[str]) -> list[str]:
    """Say what a run would do.

    Args:
        stages: in order.
        ledger: what was done before.
        layout: where files lie.
        again: stages that are to begin anew.

    Returns:
        Lines for people.
    """
    lines = []
    follows = ""
    for stage in stages:
        if (reason := stage.left_out()) is not None:
            lines.append(f"  {stage.name:16}left out, {reason}")
            continue
        what = _what(stage, ledger, layout, stage.name in again, follows)
        lines.append(f"  {stage.name:16}{what or 'is up to date'}")
        follows = follows or (stage.name if what else "")
    return lines


def _what(stage: Stage, ledger: Ledger, layout: Layout, is_anew: bool, follows: str) -> str:
    """What is to do of a stage, "" for nothing; what it reads is known only where no stage before it is to run."""
    if is_anew:
        return "begins anew"
    if follows:
        return f"to do after {follows}, if that changes what it reads"
    reason = look(stage, ledger, layout)[0].reason
    return "" if reason is None else f"to do: {reason}"
