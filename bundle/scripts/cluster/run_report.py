"""What became of the slides of a run on a cluster: the progress bar and ``run.json``."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..errors import InputError, counted
from ..inference.results import Results
from ..inference.run_summary import paths_without_cucim, paths_without_tissue, still_failed, tissue_warning
from ..inference.timing import say_rates
from ..slides.fallbacks import tell_fallbacks

logger = logging.getLogger(__name__)

_SUMMARY_SECONDS = 10.0
_SUMMARY_SHARE = 50  # writing a summary of a million slides takes long: at most a fiftieth of the time goes there


class RunReport:
    """Takes in what processes say of slides, and sums up.

    Args:
        results: where ``run.json`` goes, and where that of the run before is.
        num_slides: of the run.

    Attributes:
        about: keys of ``run.json`` that do not depend on slides.
        workers: what each process did.
    """

    def __init__(self, results: Results, num_slides: int) -> None:
        self.results = results
        self._earlier = results.read_summary()
        self.done: list[dict[str, Any]] = []
        self.skipped: list[str] = []
        self.without_tissue: list[str] = []
        self.failed: dict[str, str] = {}
        self.about: dict[str, Any] = {}
        self.workers: list[dict[str, Any]] = []
        self._seconds_in = {"decode": 0.0, "compute": 0.0, "write": 0.0}
        self._tiles = 0
        self._mm2 = 0.0
        self._started = time.monotonic()
        self._next_summary = self._started + _SUMMARY_SECONDS
        form = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} slides [{elapsed}<{remaining}] {postfix}"
        self._progress = tqdm(total=num_slides, desc="inference", bar_format=form, smoothing=0.05)

    def add(self, path: str, found: dict[str, Any], was_in_work: bool = False) -> None:
        """Take in what became of a slide.

        Args:
            path: the slide.
            found: see `worker.SlideWorker.infer`.
            was_in_work: a process of this run had it and was lost: a map that is there is of this run.
        """
        if found["state"] == "failed":
            self.failed[path] = found["reason"]
        elif found["state"] == "skipped" and not was_in_work:
            self.skipped.append(path)
        else:
            self.done.append(found["entry"])
        if found["state"] != "failed":
            self.without_tissue += paths_without_tissue([found["entry"]])
        for what, seconds in found.get("seconds_in", {}).items():
            self._seconds_in[what] += seconds
        self._tiles += found.get("tiles", 0)
        self._mm2 += found.get("mm2", 0.0)
        rates = say_rates(self._tiles, self._mm2, self._seconds)
        self._progress.set_postfix_str(f"{rates}, {Path(path).name}", refresh=False)
        self.show(0.0)
        if time.monotonic() > self._next_summary:
            self.write()

    def show(self, in_work: float) -> None:
        """Move the progress bar.

        Args:
            in_work: slides in work, each by how much of it is done.
        """
        whole = len(self.done) + len(self.skipped) + len(self.failed)
        target = min(whole + in_work, self._progress.total)
        if target > self._progress.n:
            self._progress.update(target - self._progress.n)

    def write(self) -> None:
        """Write ``run.json``.

        Raises:
            InputError: if it cannot be written.
        """
        started = time.monotonic()
        self.results.write_summary(self.summary())
        now = time.monotonic()
        self._next_summary = now + max(_SUMMARY_SECONDS, _SUMMARY_SHARE * (now - started))

    def summary(self) -> dict[str, Any]:
        """The content of ``run.json``: as of one process; ``seconds_in`` adds up over processes."""
        seconds_in = self._seconds_in
        settled = (*(entry["slide"] for entry in self.done), *self.skipped, *self.failed)
        failures = [{"slide": path, "reason": reason} for path, reason in self.failed.items()]
        return {
            "processes": len(self.workers),
            "slides_done": self.done,
            "slides_skipped": self.skipped,
            "slides_without_tissue": self.without_tissue,
            "slides_without_cucim": paths_without_cucim(self.done),
            "slides_failed": failures + still_failed(self._earlier, settled),
            "seconds": round(self._seconds, 3),
            "seconds_in": {what: round(value, 3) for what, value in seconds_in.items()},
            "bound_by": max(seconds_in, key=lambda what: seconds_in[what]) if self._tiles else None,
            "tiles": self._tiles,
            "tiles_per_second": round(self._tiles / self._seconds, 3),
            "tissue_mm2": round(self._mm2, 3),
            "mm2_per_second": round(self._mm2 / self._seconds, 4),
            **self.about,
            "workers": self.workers,
        }

    def close(self) -> None:
        """End the progress bar and write ``run.json``."""
        self._progress.close()
        self.write()

    def finish(self) -> None:
        """Warn of slides without tissue or without cuCIM, and fail the run if slides failed.

        Raises:
            InputError: if any did.
        """
        total = len(self.done) + len(self.skipped) + len(self.failed)
        if self.without_tissue:
            logger.warning("%s", tissue_warning(self.without_tissue, total))
        tell_fallbacks(paths_without_cucim(self.done))
        if self.failed:
            raise InputError(
                f"{len(self.failed)} of {counted(total, 'slide')} failed, the others are done (see "
                f"{self.results.path}/run.json); first: {next(iter(self.failed.values()))}"
            )

    @property
    def _seconds(self) -> float:
        return max(time.monotonic() - self._started, 1e-9)
