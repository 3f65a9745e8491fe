"""Handlers for tests of mode cascade; configs append them to ``handlers``."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from ignite.engine import Engine, Events


class KillBeforeLook:
    """Ends the process where the screen of a slide is computed, and the network has not looked at it yet.

    Args:
        name: the slide's, without suffix.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        tile = engine.state.batch["tile"]
        if Path(tile.path).stem == self.name and tile.plan.look is None:
            os.kill(os.getpid(), signal.SIGKILL)
