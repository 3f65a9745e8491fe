"""Ignite handler that turns tiles into probability maps on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ignite.engine import Engine, Events
from tqdm import tqdm

from . import bundle_root
from .errors import InputError
from .files import make_output_dir, write_json, write_npy
from .tiles import SlidePlan, Tile, TileSampler

logger = logging.getLogger(__name__)

_VERSIONED = ("monai", "torch", "numpy", "openslide-python", "openslide-bin", "cucim-cu13")


class ProbabilityMapWriter:
    """Collects the probabilities of each slide's tiles and writes its map when the last one is in.

    For a slide ``<stem>.<suffix>``: ``<stem>.npy``, float32, (rows, cols) [row, col], 0 outside the foreground; and
    ``<stem>.json``, which says what the map is of and what made it. ``run.json`` sums up the run. Each file is written
    whole or not at all. A slide that fails is set aside; call `finish` at the end to fail the run for it.

    Args:
        output_dir: folder for the maps.
        sampler: where a failed slide's remaining tiles are cancelled.
        weights: the file of weights, for its hash.
        mode: how the map is computed, for the sidecar.

    Raises:
        InputError: if the folder cannot be written or the weights not read.
    """

    def __init__(
        self, output_dir: str | Path, sampler: TileSampler, weights: str | Path | None = None, mode: str = "sliding"
    ) -> None:
        self.output_dir = make_output_dir(output_dir)
        if weights is None:
            logger.warning("weights is null: the network is as network_def makes it, untrained; give --weights FILE")
        self.sampler = sampler
        self.provenance = {
            "mode": mode,
            "weights": None if weights is None else Path(weights).name,
            "weights_sha256": None if weights is None else _sha256(Path(weights)),
            "versions": _versions(),
        }
        self.done: list[dict[str, Any]] = []
        self.failed: dict[str, str] = {}
        self._maps: dict[str, npt.NDArray[np.float32]] = {}
        self._tiles_left: dict[str, int] = {}
        self._started: dict[str, float] = {}
        self._run_started = time.monotonic()
        self._progress: tqdm[Any] | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.complete)

    def start(self, engine: Engine) -> None:
        """Start the clock and the progress bar."""
        self._run_started = time.monotonic()
        form = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} slides [{elapsed}<{remaining}] {postfix}"
        self._progress = tqdm(total=len(self.sampler.dataset.data), desc="inference", bar_format=form)

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
        self._advance(1 / tile.plan.num_tiles, Path(tile.path).name)
        if self._tiles_left[tile.path] == 0:
            self._write(tile.plan)

    def complete(self, engine: Engine) -> None:
        """Write ``run.json``."""
        if self._progress is not None:
            self._progress.close()
        write_json(
            self.output_dir / "run.json",
            {
                "slides_done": self.done,
                "slides_failed": [{"slide": path, "reason": reason} for path, reason in self.failed.items()],
                "seconds": round(time.monotonic() - self._run_started, 3),
                **self.provenance,
            },
        )
        logger.info("%d probability maps in %s", len(self.done), self.output_dir)

    def finish(self) -> None:
        """Fail the run if slides were set aside.

        Raises:
            InputError: if any was.
        """
        if self.failed:
            total = len(self.done) + len(self.failed)
            reason = next(iter(self.failed.values()))
            raise InputError(
                f"{len(self.failed)} of {total} slides failed, the others are done (see "
                f"{self.output_dir / 'run.json'}); first: {reason}"
            )

    def _write(self, plan: SlidePlan) -> None:
        prob_map = self._maps.pop(plan.path)
        seconds = round(time.monotonic() - self._started.pop(plan.path), 3)
        del self._tiles_left[plan.path]
        name = Path(plan.path).stem
        write_npy(self.output_dir / f"{name}.npy", prob_map)
        write_json(
            self.output_dir / f"{name}.json",
            {
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
                **self.provenance,
            },
        )
        self.done.append({"slide": plan.path, "num_positions": plan.num_positions, "seconds": seconds})

    def _set_aside(self, path: str, reason: str) -> None:
        logger.error("%s", reason)
        left = self._tiles_left.pop(path, 1)
        self._maps.pop(path, None)
        self._started.pop(path, None)
        self.failed[path] = reason
        self.sampler.skip.add(path)
        self._advance(1.0 if left else 0.0, Path(path).name)

    def _advance(self, slides: float, name: str) -> None:
        if self._progress is not None:
            self._progress.update(min(slides, self._progress.total - self._progress.n))
            self._progress.set_postfix_str(name, refresh=False)


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
