"""What an inference run did, in one process or in several, as ``run.json`` tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import counted, few
from ..folders.names import slide_name
from ..slides.fallbacks import group_fallbacks
from .slide_queue import SlideQueue
from .timing import Timing


def still_failed(earlier: Mapping[str, Any], settled: Iterable[str]) -> list[dict[str, Any]]:
    """Failures of earlier runs that are not mended.

    Args:
        earlier: what ``run.json`` held before this run; of any form.
        settled: paths of the slides that this run did, skipped or failed at.

    Returns:
        Those entries of ``slides_failed`` that are of other slides, by name without suffix.
    """
    found = earlier.get("slides_failed")
    names = {slide_name(path) for path in settled}
    entries = [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
    return [entry for entry in entries if slide_name(str(entry.get("slide"))) not in names]


def outcome(num_done: int, num_skipped: int, num_failed: int, output_dir: object) -> str:
    """A line that says what a run did.

    Args:
        num_done: slides whose maps were made.
        num_skipped: slides whose maps were up to date.
        num_failed: slides that failed.
        output_dir: where the maps are.
    """
    return f"{counted(num_done, 'slide')} done, {num_skipped} up to date, {num_failed} failed; maps in {output_dir}"


class RunSummary:
    """Slides done, skipped and failed; what other processes did is asked of the queue.

    Attributes:
        done: of this process: ``slide`` (path), ``num_positions``, ``artifacts``, ``seconds``, ``cucim_fault``.
        skipped: paths of slides whose maps were up to date.
        skipped_without_tissue: those of them that have no tissue.
        failed: reasons by path, of this process.
        timing: of this process.
        earlier: what ``run.json`` held before this run.

    Args:
        queue: which process this is, and what the others told.
    """

    def __init__(self, queue: SlideQueue) -> None:
        self.queue = queue
        self.done: list[dict[str, Any]] = []
        self.skipped: list[str] = []
        self.skipped_without_tissue: list[str] = []
        self.failed: dict[str, str] = {}
        self.timing = Timing()
        self.earlier: Mapping[str, Any] = {}

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

    def without_tissue(self) -> list[str]:
        """Paths of slides on which no tissue was found, of all processes and of earlier runs."""
        return [*self.skipped_without_tissue, *paths_without_tissue(self.all_done())]

    def without_cucim(self) -> dict[str, list[str]]:
        """Paths of slides that ``auto`` left to OpenSlide, of all processes, by reason."""
        return paths_without_cucim(self.all_done())

    def num_by_others(self) -> int:
        """How many slides the other processes are through with."""
        return sum(len(part["done"]) + len(part["failed"]) for part in self.queue.others())

    def rates(self) -> str:
        """For the progress bar, of all processes."""
        return self.timing.rates([part["timing"] for part in self.queue.others()])

    def content(self) -> dict[str, Any]:
        """For ``run.json``."""
        done, failed = self.all_done(), self.all_failed()
        settled = (*(slide["slide"] for slide in done), *self.skipped, *failed)
        failures = [{"slide": path, "reason": reason} for path, reason in failed.items()]
        return {
            "processes": self.queue.num_ranks,
            "slides_done": done,
            "slides_skipped": self.skipped,
            "slides_without_tissue": self.without_tissue(),
            "slides_without_cucim": self.without_cucim(),
            "slides_failed": failures + still_failed(self.earlier, settled),
            **self.timing.summary([part["timing"] for part in self.queue.others()]),
        }


def paths_without_tissue(done: Sequence[Mapping[str, Any]]) -> list[str]:
    """Paths of those slides that have no tissue, of entries of ``run.json``."""
    return [str(entry["slide"]) for entry in done if entry["num_positions"] == 0]


def paths_without_cucim(done: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Paths of those slides that ``auto`` left to OpenSlide, by reason, of entries of ``run.json``."""
    return group_fallbacks((str(entry["slide"]), entry.get("cucim_fault")) for entry in done)


def tissue_warning(paths: Sequence[str], total: int) -> str:
    """The line that a run ends with if there are slides without tissue.

    Args:
        paths: of the slides.
        total: number of slides of the run.
    """
    names = few([Path(path).name for path in paths])
    return f"no tissue found on {len(paths)} of {counted(total, 'slide')}, so 0 everywhere in the map: {names}"
