"""Ignite handler that turns tiles into probability maps on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from ignite.engine import Engine, Events
from tqdm import tqdm

from . import bundle_root
from .errors import InputError
from .files import write_json
from .results import ResultFolder, reading_settings, slide_identity
from .tiles import SlidePlan, Tile, TileSampler
from .timing import Timing

logger = logging.getLogger(__name__)

_VERSIONED = ("monai", "torch", "openvino", "onnxruntime", "numpy", "openslide-python", "openslide-bin", "cucim-cu13")
_SUMMARY_SECONDS = 10.0


class Reporter(Protocol):
    """What the handler asks of an inferer; see `tile_inferer.TileInferer`."""

    settings: dict[str, Any]

    def report(self, path: str) -> dict[str, Any]:
        """Hand out what was noted of a slide."""


class ProbabilityMapWriter:
    """Collects the probabilities of each slide's tiles and writes its map when the last one is in.

    For a slide ``<stem>.<suffix>``: ``<stem>.npy``, float32, (rows, cols) [row, col], 0 outside the foreground; and
    ``<stem>.json``, which says what the map is of and what made it. ``run.json`` sums up the run. Each file is written
    whole or not at all. A slide whose map is up to date is skipped; one that fails is set aside; call `finish` at the
    end to fail the run for it.

    Args:
        output_dir: folder for the maps.
        sampler: where finished and failed slides are left out.
        inferer: what computes, for its settings and what it noted of each slide.
        weights: the file of weights, for its hash.
        resume: skip slides whose map is up to date.

    Raises:
        InputError: if the folder cannot be written or the weights not read.
    """

    def __init__(
        self,
        output_dir: str | Path,
        sampler: TileSampler,
        inferer: Reporter,
        weights: str | Path | None = None,
        resume: bool = True,
    ) -> None:
        self.results = ResultFolder(output_dir)
        if weights is None:
            logger.warning("weights is null: the network is as network_def makes it, untrained; give --weights FILE")
        self.sampler = sampler
        self.inferer = inferer
        self.resume = resume
        self.provenance: dict[str, Any] = {
            "weights": None if weights is None else Path(weights).name,
            "weights_sha256": None if weights is None else _sha256(Path(weights)),
            "versions": _versions(),
        }
        self.done: list[dict[str, Any]] = []
        self.skipped: list[str] = []
        self.failed: dict[str, str] = {}
        self.timing = Timing()
        self._expected: dict[str, dict[str, Any]] = {}
        self._maps: dict[str, npt.NDArray[np.float32]] = {}
        self._tiles_left: dict[str, int] = {}
        self._started: dict[str, float] = {}
        self._summarized = 0.0
        self._progress: tqdm[Any] | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.STARTED, self.start)
        self.timing.attach(engine)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.complete)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.abort)

    def start(self, engine: Engine) -> None:
        """Lock the folder, find the slides whose maps are up to date, and start the progress bar.

        Raises:
            InputError: if another run holds the folder.
        """
        self.results.lock()
        paths = [sample["image"] for sample in self.sampler.dataset.data]
        for path in paths:
            self._expected[path] = self._settings(path)
            reason = self.results.outdated(Path(path).stem, self._expected[path]) if self.resume else ""
            if reason is None:
                self.skipped.append(path)
                self.sampler.skip.add(path)
            elif reason:
                logger.warning("%s: computed again: %s", Path(path).name, reason)
        if self.skipped:
            logger.warning("%d of %d slides are done already", len(self.skipped), len(paths))
        form = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} slides [{elapsed}<{remaining}] {postfix}"
        self._progress = tqdm(total=len(paths) - len(self.skipped), desc="inference", bar_format=form)

    def __call__(self, engine: Engine) -> None:
        """Take in the tile of this iteration."""
        tile: Tile = engine.state.batch["tile"]
        if tile.path in self.failed:
            return
        if tile.error is not None or tile.plan is None:
            self._set_aside(tile.path, tile.error or "not planned")
            return
        if tile.path not in self._maps:
            self._maps[tile.path] = np.zeros(tile.plan.map_shape, dtype=np.float32)
            self._tiles_left[tile.path] = tile.plan.num_tiles
            self._started[tile.path] = time.monotonic()
        if tile.positions.any():
            probabilities = engine.state.output["pred"][0, 0].float().cpu().numpy()
            if not np.isfinite(probabilities).all():
                self._set_aside(tile.path, f"{tile.path}: the network gave NaN; check the weights and the precision")
                return
            row, col = tile.map_location
            rows, cols = tile.positions.shape
            block = self._maps[tile.path][row : row + rows, col : col + cols]
            block[tile.positions] = probabilities[tile.positions]
        self._tiles_left[tile.path] -= 1
        self.timing.num_tiles += 1
        self.timing.mm2 += int(tile.positions.sum()) * (tile.plan.stride * tile.plan.mpp / 1000) ** 2
        if self._tiles_left[tile.path] == 0:
            self.timing.add("compute")
            self._write(tile.plan)
            self.timing.add("write")
        self._advance(1 / tile.plan.num_tiles, Path(tile.path).name)

    def complete(self, engine: Engine) -> None:
        """Write ``run.json`` and let other runs in."""
        if self._progress is not None:
            self._progress.close()
        try:
            self._summarize()
        finally:
            self.results.unlock()
        logger.info("%d probability maps in %s", len(self.done), self.results.path)

    def abort(self, engine: Engine, error: BaseException) -> None:
        """Note in ``run.json`` what is done, let other runs in, and pass the error on."""
        try:
            self.complete(engine)
        except InputError as second:  # the disk may be full: the first error says more
            logger.warning("%s", second)
        raise error

    def finish(self) -> None:
        """Fail the run if slides were set aside.

        Raises:
            InputError: if any was.
        """
        if self.failed:
            total = len(self.done) + len(self.skipped) + len(self.failed)
            reason = next(iter(self.failed.values()))
            raise InputError(
                f"{len(self.failed)} of {total} slides failed, the others are done (see "
                f"{self.results.path / 'run.json'}); first: {reason}"
            )

    def _settings(self, path: str) -> dict[str, Any]:
        """What a map of the slide depends on, as it stands in its sidecar."""
        asked = {key: value for key, value in self.inferer.settings.items() if key != "mode"}
        return {
            **slide_identity(path),
            "weights_sha256": self.provenance["weights_sha256"],
            "mode_asked": self.inferer.settings["mode"],
            **asked,
            **reading_settings(self.sampler.dataset, path),
            "bundle_version": self.provenance["versions"]["pathology_tumor_detection"],
        }

    def _write(self, plan: SlidePlan) -> None:
        prob_map = self._maps.pop(plan.path)
        seconds = round(time.monotonic() - self._started.pop(plan.path), 3)
        del self._tiles_left[plan.path]
        sidecar = {
            "slide": Path(plan.path).name,
            "shape": list(plan.shape),
            "stride": plan.stride,
            "mpp": plan.mpp,
            "model_downsample": plan.downsample,
            "mask": plan.mask,
            "backend": plan.backend,
            "num_positions": plan.num_positions,
            "num_tiles": plan.num_tiles,
            "max_probability": round(float(prob_map.max()), 6),
            "seconds": seconds,
            **self.inferer.report(plan.path),
            **self._expected.get(plan.path, {}),
            **self.provenance,
        }
        self.results.write(Path(plan.path).stem, prob_map, sidecar)
        self.done.append({"slide": plan.path, "num_positions": plan.num_positions, "seconds": seconds})
        if time.monotonic() - self._summarized > _SUMMARY_SECONDS:
            self._summarize()

    def _set_aside(self, path: str, reason: str) -> None:
        logger.error("%s", reason)
        self._tiles_left.pop(path, None)
        self._maps.pop(path, None)
        self._started.pop(path, None)
        self.inferer.report(path)
        self.results.remove(Path(path).stem)
        self.failed[path] = reason
        self.sampler.skip.add(path)
        self._advance(1.0, Path(path).name)

    def _summarize(self) -> None:
        self._summarized = time.monotonic()
        write_json(
            self.results.path / "run.json",
            {
                "slides_done": self.done,
                "slides_skipped": self.skipped,
                "slides_failed": [{"slide": path, "reason": reason} for path, reason in self.failed.items()],
                **self.timing.summary(),
                **self.inferer.settings,
                **self.provenance,
            },
        )

    def _advance(self, slides: float, name: str) -> None:
        if self._progress is not None:
            self._progress.set_postfix_str(f"{self.timing.rates()}, {name}", refresh=False)
            whole = len(self.done) + len(self.failed)
            target = whole if slides == 1 or not self._tiles_left else self._progress.n + slides
            self._progress.update(max(0.0, min(target, self._progress.total) - self._progress.n))


def _sha256(weights: Path) -> str:
    try:
        return hashlib.sha256(weights.read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise InputError(f"{weights}: no such file of weights; give another path or train first") from error
    except OSError as error:
        raise InputError(f"{weights}: cannot be read ({error.strerror}); give a file of weights") from error


def _versions() -> dict[str, str]:
    metadata = json.loads((Path(bundle_root()) / "configs" / "metadata.json").read_text(encoding="utf-8"))
    found = {"pathology_tumor_detection": str(metadata["version"])}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
