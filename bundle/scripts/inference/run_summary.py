"""What an inference run did, in one process or in several, as ``run.json`` tells it."""

from __future__ import annotations

from typing import Any

from .slide_queue import SlideQueue
from .timing import Timing


class RunSummary:
    """Slides done, skipped and failed; what other processes did is asked of the queue.

    Attributes:
        done: of this process: ``slide`` (path), ``num_positions``, ``seconds``.
        skipped: paths of slides whose maps were up to date.
        failed: reasons by path, of this process.
        timing: of this process.

    Args:
        queue: which process this is, and what the others told.
    """

    def __init__(self, queue: SlideQueue) -> None:
        self.queue = queue
        self.done: list[dict[str, Any]] = []
        self.skipped: list[str] = []
        self.failed: dict[str, str] = {}
        self.timing = Timing()

    def tell(self, is_last: bool = False) -> None:
        """Let the first process know what this one has done so far."""
        part = {"done": self.done, "failed": self.failed, "timing": self.timing.counts()}
        self.queue.tell(part, is_last)

    def all_done(self) -> list[dict[str, Any]]:
        """As ``done``, of all processes."""
        return [slide for done in (self.done, *(part["done"] for part in self.queue.others())) for slide in done]

    def all_failed(self) -> dict[str, str]:
        """As ``failed``, of all processes."""
        parts = (self.failed, *(part["failed"] for part in self.queue.others()))
        return {path: reason for failed in parts for path, reason in failed.items()}

    def num_by_others(self) -> int:
        """How many slides the other processes are through with."""
        return sum(len(part["done"]) + len(part["failed"]) for part in self.queue.others())

    def rates(self) -> str:
        """For the progress bar, of all processes."""
        return self.timing.rates([part["timing"] for part in self.queue.others()])

    def content(self) -> dict[str, Any]:
        """For ``run.json``."""
        return {
            "processes": self.queue.num_ranks,
            "slides_done": self.all_done(),
            "slides_skipped": self.skipped,
            "slides_failed": [{"slide": path, "reason": reason} for path, reason in self.all_failed().items()],
            **self.timing.summary([part["timing"] for part in self.queue.others()]),
        }
