"""Handlers that write down, outside of the results, which slides an engine began, and that hold it there."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events


class SlideLog:
    """Appends the path of each slide of which a tile comes to a file, once per process; lines of many do not mix.

    Args:
        path: the file.
        together: at its first slide each process waits until so many have begun one.
    """

    def __init__(self, path: str, together: int = 1) -> None:
        self.path = Path(path)
        self.together = together
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
            while len({line.split(" ")[0] for line in self.path.read_text().splitlines()}) < self.together:
                time.sleep(0.02)


class Hold:
    """Waits where the first tile of a slide has come.

    Args:
        name: the slide's, without suffix.
        file: as long as it is there, the engine waits; ``<file>.reached`` says that it has come there.
    """

    def __init__(self, name: str, file: str) -> None:
        self.name, self.file = name, Path(file)

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Any) -> None:
        """Wait."""
        if Path(engine.state.batch["tile"].path).stem == self.name:
            self.file.with_suffix(".reached").touch()
            while self.file.exists():
                time.sleep(0.02)
