"""One process of a cluster: the engine of ``inference.json``, made once and run slide by slide."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

from ignite.engine import Engine
from monai.bundle import ConfigParser

from ..errors import InputError, explain
from ..folders.names import check_result_name, is_url, slide_name
from ..inference.handlers import ProbabilityMapWriter
from ..inference.results import RESERVED_NAMES


class SlideWriter(ProbabilityMapWriter):
    """Writes the map of one slide at a time; the lock, ``run.json`` and the progress bar are its master's.

    Attributes:
        fraction: how much of the slide in work is done, 0 to 1.
    """

    fraction = 0.0

    def start(self, engine: Engine) -> None:
        """Nothing: `SlideWorker` has looked whether the slide is up to date."""

    def complete(self, engine: Engine) -> None:
        """Nothing: the master sums up."""

    def forget(self) -> None:
        """Make ready for the next slide."""
        self.done.clear()
        self.skipped.clear()
        self.failed.clear()
        self.sampler.skip.clear()
        self.fraction = 0.0

    def _summarize(self) -> None:
        """The master's."""

    def _advance(self, slides: float, name: str) -> None:
        self.fraction = min(1.0, self.fraction + slides)


class SlideWorker:
    """Computes slides that it is given by their paths.

    Args:
        config: ``inference.json`` with what was laid over it; its ``datalist`` holds the samples of all slides.
        folder: working directory, to which paths in the config are relative; left where this machine has none such.

    Raises:
        InputError: if the config cannot be made to run here.
    """

    def __init__(self, config: dict[str, Any], folder: str) -> None:
        if Path(folder).is_dir():
            os.chdir(folder)
        logging.getLogger().addHandler(_warnings)
        parser = ConfigParser({**config, "datalist": []})
        parser["dataloader#persistent_workers"] = True
        parser["probability_maps#_target_"] = "scripts.cluster.worker.SlideWriter"
        parser.parse(True)
        parser.get_parsed_content("initialize")
        self._evaluator: Any = parser.get_parsed_content("evaluator")
        self._writer: SlideWriter = parser.get_parsed_content("probability_maps")
        self._dataset = self._writer.sampler.dataset
        self._dataset.take_mpps(config["datalist"])
        self._dataset.cache.wait_seconds = float("inf")  # others that hold room finish by themselves

    def about(self) -> dict[str, Any]:
        """Keys of ``run.json`` that do not depend on slides."""
        return {**self._writer.inferer.settings, **self._writer.provenance}

    def stage(self, path: str) -> dict[str, Any]:
        """See what there is to do for a slide, and copy one from an object store: while another is in work.

        Returns:
            ``skip``: its map is up to date; ``error``: why it cannot be copied, or None.
        """
        try:
            check_result_name(path, RESERVED_NAMES)
            skip = self._writer.is_up_to_date(path)
            if not skip and is_url(path):
                self._dataset.cache.fetch(path)
        except InputError as error:
            return {"skip": False, "error": str(error)}
        return {"skip": skip, "error": None}

    def infer(self, path: str, staged: dict[str, Any]) -> dict[str, Any]:
        """Compute a slide and write its map.

        Args:
            path: the slide.
            staged: what `stage` said.

        Returns:
            ``state``: ``done``, ``skipped``, ``failed`` or ``fatal``; ``reason`` of the latter two; ``entry`` of
            ``run.json``; ``seconds_in``, ``tiles``, ``mm2``, ``seconds`` for this slide; ``warnings``.
        """
        started = time.monotonic()
        timing = self._writer.timing
        before = dict(timing.seconds_in), timing.num_tiles, timing.mm2
        self._writer.forget()
        try:
            state, reason = self._infer(path, staged)
        except Exception as error:  # the master ends the run with it, as one process would
            state, reason = "fatal", explain(error)
        finally:
            self._writer.sampler.release(path)
        entry = {"slide": path, "num_positions": 0, "seconds": 0.0, "cucim_fault": None}
        if state == "done":
            entry = dict(self._writer.done[0])
        elif state == "skipped":
            sidecar = self._writer.results.read_sidecar(slide_name(path))
            entry |= {key: sidecar.get(key) for key in ("num_positions", "seconds", "cucim_fault")}
        return {
            "state": state,
            "reason": reason,
            "entry": entry,
            "seconds_in": {what: seconds - before[0][what] for what, seconds in timing.seconds_in.items()},
            "tiles": timing.num_tiles - before[1],
            "mm2": timing.mm2 - before[2],
            "seconds": time.monotonic() - started,
            "warnings": _warnings.take(),
        }

    def fraction(self) -> float:
        """How much of the slide in work is done, 0 to 1."""
        return self._writer.fraction

    def _infer(self, path: str, staged: dict[str, Any]) -> tuple[str, str]:
        if staged["skip"]:
            return "skipped", ""
        if staged["error"] is not None:
            return "failed", staged["error"] + self._writer.older_map_remark(path)
        self._dataset.data = [{"image": path}]
        self._evaluator.state.epoch_length = None  # ignite keeps the number of tiles of the slide before
        self._evaluator.run()
        if self._writer.failed:
            return "failed", self._writer.failed[path]
        return "done", ""


def start_worker(config: dict[str, Any], folder: str) -> tuple[SlideWorker | None, dict[str, Any]]:
    """Make a worker, and introduce it to the master.

    Args:
        config: see `SlideWorker`.
        folder: see `SlideWorker`.

    Returns:
        The worker; ``host``, ``process``, ``about``, and ``error``: why it could not be made, or None.
    """
    found: dict[str, Any] = {"host": os.uname().nodename, "process": os.getpid(), "about": {}, "error": None}
    try:
        worker = SlideWorker(config, folder)
    except Exception as error:  # the master ends the run with it, as one process would
        return None, {**found, "error": explain(error)}
    return worker, {**found, "about": worker.about()}


class _Warnings(logging.Handler):
    """Keeps warnings for the master, which prints them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[str] = []
        self._mutex = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record's text; errors are told as the slide's reason."""
        if record.levelno == logging.WARNING:
            with self._mutex:
                self._lines.append(record.getMessage())

    def take(self) -> list[str]:
        """What was warned of since the last call."""
        with self._mutex:
            lines, self._lines = self._lines, []
        return lines


_warnings = _Warnings()
