"""Where a run's time goes: waiting for pixels, computing, writing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ignite.engine import Engine, Events


def say_rates(tiles: float, mm2: float, seconds: float) -> str:
    """For a progress bar: tiles per second, or seconds per tile where those are longer, and tissue.

    Args:
        tiles: done.
        mm2: tissue done, in mm².
        seconds: that it took.
    """
    seconds = max(seconds, 1e-9)
    tile_rate = f"{seconds / tiles:.1f} s/tile" if 0 < tiles < seconds else f"{tiles / seconds:.1f} tiles/s"
    return f"{tile_rate}, {mm2 / seconds:.2f} mm²/s"


class Timing:
    """Adds up the time that an engine waits for its loader, computes, and writes.

    Attributes:
        seconds_in: ``decode``: waited for tiles; ``compute``: network and bookkeeping; ``write``: maps.
        num_tiles: tiles done.
        mm2: tissue done, in mm².
    """

    def __init__(self) -> None:
        self.seconds_in = {"decode": 0.0, "compute": 0.0, "write": 0.0}
        self.num_tiles = 0
        self.mm2 = 0.0
        self._started = self._marked = time.monotonic()

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator, before what it shall time."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.GET_BATCH_STARTED, self.add, "compute")
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self.add, "decode")

    def start(self) -> None:
        """Start the clock."""
        self._started = self._marked = time.monotonic()

    def add(self, what: str) -> None:
        """Count the time since the last call for ``what``."""
        now = time.monotonic()
        self.seconds_in[what] += now - self._marked
        self._marked = now

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    def counts(self) -> dict[str, Any]:
        """What can be added to another process's."""
        return {"seconds_in": self.seconds_in, "tiles": self.num_tiles, "mm2": self.mm2}

    def rates(self, others: Sequence[Mapping[str, Any]] = ()) -> str:
        """For the progress bar.

        Args:
            others: `counts` of other processes.
        """
        tiles, mm2 = (sum(part[key] for part in (self.counts(), *others)) for key in ("tiles", "mm2"))
        return say_rates(tiles, mm2, self.seconds)

    def summary(self, others: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Timings for ``run.json``; ``bound_by`` names what took most.

        Args:
            others: `counts` of other processes.
        """
        seconds = max(self.seconds, 1e-9)
        parts = (self.counts(), *others)
        seconds_in = {what: sum(part["seconds_in"][what] for part in parts) for what in self.seconds_in}
        tiles, mm2 = (sum(part[key] for part in parts) for key in ("tiles", "mm2"))
        return {
            "seconds": round(self.seconds, 3),
            "seconds_in": {what: round(value, 3) for what, value in seconds_in.items()},
            "bound_by": max(seconds_in, key=lambda what: seconds_in[what]) if tiles else None,
            "tiles": tiles,
            "tiles_per_second": round(tiles / seconds, 3),
            "tissue_mm2": round(mm2, 3),
            "mm2_per_second": round(mm2 / seconds, 4),
        }
