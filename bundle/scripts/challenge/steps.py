"""What the stages have in common: their folder, and nothing where a stage does not say otherwise."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from .costs import Cost, Probe
from .layout import Layout


@dataclass
class Step:
    """A stage, see `engine.Stage`; its subclasses say what it does.

    Attributes:
        layout: where files lie.
    """

    layout: Layout
    name: ClassVar[str]

    @property
    def folder(self) -> Path:
        """Where it writes."""
        return self.layout.folder(self.name)

    def left_out(self) -> str | None:
        """Each run has the stage."""
        return None

    def check(self) -> None:
        """Any settings do."""

    def settings(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def inputs(self) -> Sequence[Path]:
        """Nothing."""
        return []

    def outputs(self) -> Sequence[Path]:
        """Its folder."""
        return [self.folder]

    def cost(self, probe: Probe) -> Cost:
        """Not known."""
        return Cost()

    def clear(self) -> None:
        """Remove its folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
