"""The plan of a run: which stages it would run and why, how long they take here, and the disk that they need."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import counted
from .costs import Cost, Probe
from .engine import Stage, look
from .layout import Layout
from .ledger import Ledger
from .probe import duration


def write_plan(
    stages: Sequence[Stage],
    ledger: Ledger,
    layout: Layout,
    again: Sequence[str],
    probe: Probe,
) -> list[str]:
    """Say what a run would do.

    Args:
        stages: in order.
        ledger: what was done before.
        layout: where files lie.
        again: stages that are to begin anew.
        probe: measures.

    Returns:
        Lines for people.

    Raises:
        InputError: if slides, their truth or weights cannot be read.
    """
    lines, costs = [f"  {'stage':16}{'time here':12}what a run would do"], dict[str, Cost]()
    follows = ""
    for stage in stages:
        if (reason := stage.left_out()) is not None:
            lines.append(f"  {stage.name:16}{'':12}left out, {reason}")
            continue
        what = _what(stage, ledger, layout, stage.name in again, follows)
        if what:
            cost = costs[stage.name] = stage.cost(probe)
            time_here = "not known" if cost.seconds is None else duration(cost.seconds)
            remark = f"; {cost.remark}" if cost.remark else ""
            lines.append(f"  {stage.name:16}{time_here:12}{what}{remark}")
        else:
            lines.append(f"  {stage.name:16}{'':12}nothing, is up to date")
        follows = follows or (stage.name if what else "")
    return [*lines, *_sums(costs, layout, probe)]


def _sums(costs: Mapping[str, Cost], layout: Layout, probe: Probe) -> list[str]:
    to_come = sum(cost.slide_bytes for cost in costs.values())
    of_slides = [_disk(to_come, "slides", layout.root)] if to_come else []
    if not probe.sample:
        return ["  no slide is there to measure on: download some first, as with --subset 1", *of_slides]
    seconds = sum(cost.seconds or 0.0 for cost in costs.values())
    unknown = [name for name, cost in costs.items() if cost.seconds is None]
    without = f", without {' and '.join(unknown)}" if unknown else ""
    return [
        f"  together       about {duration(seconds)} on this machine{without}, from a probe of {len(probe.sample)} of "
        f"{counted(len(probe.members), 'slide')}",
        *of_slides,
        _disk(sum(cost.num_bytes for cost in costs.values()), "results", layout.output),
    ]


def _disk(needed: float, what: str, folder: Path) -> str:
    place = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(place).free
    enough = "" if needed < free else ", which is too little"
    return f"  disk           {needed / 1e9:.3f} GB of {what} in {folder}; {free / 1e9:.1f} GB are free{enough}"


def _what(stage: Stage, ledger: Ledger, layout: Layout, is_anew: bool, follows: str) -> str:
    """What is to do of a stage, "" for nothing; what it reads is known only where no stage before it is to run."""
    if is_anew:
        return "begins anew"
    if follows:
        return f"to do after {follows}, if that changes what it reads"
    reason = look(stage, ledger, layout)[0].reason
    return "" if reason is None else f"to do: {reason}"
