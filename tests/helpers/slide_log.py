"""A handler that writes down, outside of the results, which slides an engine began."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events


class SlideLog:
    """Appends the path of each slide of which a tile comes to a file, once per process; lines of many do not mix.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._last = ""

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Any) -> None:
        """Note the slide."""
        path = engine.state.batch["tile"].path
        if path != self._last:
            self._last = path
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(f"{os.getpid()} {path}\n")
