"""Ignite handler that turns tiles into probability maps on disk."""

from __future__ import annotations

import logging
import signal
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from ignite.engine import Engine, Events
from tqdm import tqdm

from ..errors import FilesFailedError, InputError, Stopped, StopRequest, counted, some_of
from ..folders.names import check_result_name, slide_name
from ..network.transfers import Copy, bring_back
from ..slides.fallbacks import tell_fallbacks
from .freshness import expected_sidecar, older_map_remark
from .growing_map import GrowingMap, GrowingScreen, Grown
from .provenance import describe_weights, versions
from .results import RESERVED_NAMES, open_results
from .run_summary import RunSummary, outcome, tissue_warning
from .tile_inferer import warm_up
from .tile_plan import SlidePlan, Tile
from .tile_sampler import TileSampler

logger = logging.getLogger(__name__)

_SUMMARY_SECONDS = 10.0
_WAIT_SECONDS = 0.2
_MOST_LATE = 2
"""Iterations that a GPU may be behind: one that it computes and one that waits for it, each with its memory."""


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
    end to fail the run for it. Where several processes share a queue, the first locks the folder, looks which slides
    are to be computed, waits for the others at the end, and sums all up.

    Args:
        output_dir: folder for the maps, or its address in an object store.
        sampler: where finished and failed slides are left out; its queue says which process this is.
        inferer: what computes, for its settings and what it noted of each slide.
        weights: the file of weights, for its hash.
        resume: skip slides whose map is up to date.
        screen_weights: the file of the screen's weights, of no effect where the dataset has no screen.

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
        screen_weights: str | Path | None = None,
    ) -> None:
        self.results = open_results(output_dir)
        self.sampler = sampler
        self.queue = sampler.queue
        self.inferer = inferer
        self.resume = resume
        self.provenance: dict[str, Any] = {**describe_weights(weights), "versions": versions()}
        if sampler.dataset.screen is not None:
            self.provenance |= describe_weights(screen_weights, "screen_")
        self.summary = RunSummary(self.queue)
        self.done, self.skipped, self.failed = self.summary.done, self.summary.skipped, self.summary.failed
        self.timing = self.summary.timing
        self._expected: dict[str, dict[str, Any]] = {}
        self._maps: dict[str, GrowingMap] = {}
        self._screens: dict[str, GrowingScreen] = {}
        self._screened: dict[str, Grown] = {}
        self._late: deque[tuple[list[Tile], Copy | None]] = deque()
        self._summarized = 0.0
        self._position = 0.0
        self._progress: tqdm[Any] | None = None
        self._stop_request = StopRequest(self._stop)
        sampler.settle = self.settle

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.STARTED, self._forget)
        engine.add_event_handler(Events.STARTED, self.start)
        self.timing.attach(engine)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.settle)
        engine.add_event_handler(Events.COMPLETED, self.complete)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.abort)

    def start(self, engine: Engine) -> None:
        """Lock the folder, find the slides whose maps are up to date, and start the progress bar.

        Raises:
            InputError: if another run holds the folder.
        """
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # tumor-detection listens itself, MONAI does not
            self._stop_request.__enter__()
        self.sampler.meanwhile = partial(warm_up, engine, self.timing)
        if self.queue.rank > 0:
            return
        self.results.lock()
        self.summary.earlier = self.results.read_summary()
        paths = [sample["image"] for sample in self.sampler.dataset.data]
        for path in paths:
            try:
                check_result_name(path, RESERVED_NAMES)
            except InputError as error:
                self._set_aside(path, str(error))
                continue
            if self.is_up_to_date(path):
                self.skipped.append(path)
                if self.results.read_sidecar(slide_name(path)).get("num_positions") == 0:
                    self.summary.skipped_without_tissue.append(path)
                self.sampler.skip.add(path)
        if self.skipped:
            logger.warning("%s done already", some_of(len(self.skipped), len(paths), "slide", "is", "are"))
        self.queue.open([path for path in paths if path not in self.sampler.skip])
        form = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} slides [{elapsed}<{remaining}] {postfix}"
        self._progress = tqdm(total=len(paths) - len(self.skipped), desc="inference", bar_format=form, smoothing=0.05)

    def is_up_to_date(self, path: str) -> bool:
        """Whether a slide may be skipped; says why not where there is a map."""
        self._expected[path] = self._settings(path)
        reason = self.results.outdated(slide_name(path), self._expected[path]) if self.resume else ""
        if reason:
            logger.warning("%s: computed again: %s", Path(path).name, reason)
        return reason is None

    def older_map_remark(self, path: str) -> str:
        """What to say of the map that a slide which failed has from an earlier run; see `freshness`."""
        read_sidecar = partial(self.results.read_sidecar, slide_name(path))
        return older_map_remark(read_sidecar, self.sampler.dataset.assumed_mpp(path))

    def __call__(self, engine: Engine) -> None:
        """Let the results of this iteration's tile, or tiles, come back, and take in those that are there."""
        tiles = engine.state.batch["tile"]
        tiles = [tiles] if isinstance(tiles, Tile) else tiles
        is_empty = not any(tile.positions.any() for tile in tiles)
        self._late.append((tiles, None if is_empty else bring_back(engine.state.output["pred"].float())))
        self._take_in(_MOST_LATE)

    def settle(self) -> None:
        """Take in all results, however long a GPU takes for them."""
        self._take_in(0)

    def _forget(self) -> None:
        """Leave results that an earlier run of the engine, which an error ended, did not take in."""
        self._late.clear()

    def _take_in(self, num_left: int) -> None:
        """Take in results that came back, and wait for all but the last few."""
        while self._late and (len(self._late) > num_left or self._late[0][1] is None or self._late[0][1].is_done()):
            tiles, copy = self._late.popleft()
            values = None if copy is None else copy.take().numpy()
            for index, tile in enumerate(tiles):
                rows, cols = tile.positions.shape
                self._take(tile, None if values is None else values[index, 0, :rows, :cols])

    def _take(self, tile: Tile, values: npt.NDArray[np.float32] | None) -> None:
        """Take in the probabilities of a tile, as far as it has positions."""
        if tile.path in self.failed:
            return
        if tile.error is not None or tile.plan is None:
            self._set_aside(tile.path, tile.error or "not planned")
            return
        if tile.path not in self._expected:
            self._expected[tile.path] = self._settings(tile.path)
        probabilities = values if tile.positions.any() else None
        if probabilities is not None and not np.isfinite(probabilities).all():
            self._set_aside(tile.path, f"{tile.path}: the network gave NaN; check the weights and the precision")
            return
        self.timing.num_tiles += 1
        if tile.plan.look is not None:
            self._screen(tile, tile.plan, probabilities)
            return
        if tile.path not in self._maps:
            self._maps[tile.path] = GrowingMap(tile.plan, self._screened.pop(tile.path, None))
        mm2 = self._maps[tile.path].take(tile, probabilities)
        share = 1 / tile.plan.num_tiles
        if self.sampler.dataset.screen is None:
            self.timing.mm2 += mm2
        else:  # the screen had it
            share /= 2
        if self._maps[tile.path].tiles_left == 0:
            self.timing.add("compute")
            self._write(tile.path)
            self.timing.add("write")
        self._advance(share, Path(tile.path).name)

    def _screen(self, tile: Tile, plan: SlidePlan, probabilities: npt.NDArray[np.float32] | None) -> None:
        """Take in a tile of a screen; the last one says where the network looks."""
        if tile.path not in self._screens:
            self._screens[tile.path] = GrowingScreen(plan)
        screen = self._screens[tile.path]
        self.timing.mm2 += screen.take(tile, probabilities)
        if screen.tiles_left == 0 and self.sampler.dataset.screen is not None:
            chosen, self._screened[tile.path] = self._screens.pop(tile.path).finish(self.sampler.dataset.screen)
            self.sampler.look(screen.look, chosen)
        self._advance(0.5 / plan.num_tiles, Path(tile.path).name)

    def complete(self, engine: Engine) -> None:
        """Wait for the other processes, write ``run.json`` and let other runs in."""
        self._stop_request.__exit__(None, None, None)
        if self.queue.rank > 0:
            self.summary.tell(is_last=True)
            return
        while not self.queue.is_finished():
            time.sleep(_WAIT_SECONDS)
            self._advance(0.0, "")
            self._summarize_at_times()
        self._close()
        numbers = len(self.summary.all_done()), len(self.skipped), len(self.summary.all_failed())
        logger.info("%s", outcome(*numbers, self.results.path))

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.close()
        try:
            self._summarize()
        finally:
            self.results.unlock()

    def abort(self, engine: Engine, error: BaseException) -> None:
        """Note in ``run.json`` what is done, let other runs in, and pass the error on."""
        self._stop_request.__exit__(None, None, None)
        try:
            if self.queue.rank == 0:
                self._close()
        except InputError as second:  # the disk may be full: the first error says more
            logger.warning("%s", second)
        raise error

    def _stop(self) -> None:
        raise Stopped(self._stop_request.number or 0)

    def finish(self) -> None:
        """Warn of slides without tissue or without cuCIM, and fail the run if slides were set aside, by any process.

        It is called in each process; the first one speaks and fails.

        Raises:
            FilesFailedError: if any was.
        """
        if self.queue.rank > 0:
            tell_fallbacks({})  # the first process tells of all
            return
        failed = self.summary.all_failed()
        total = len(self.summary.all_done()) + len(self.skipped) + len(failed)
        if empty := self.summary.without_tissue():
            logger.warning("%s", tissue_warning(empty, total))
        tell_fallbacks(self.summary.without_cucim())
        if failed:
            reason = next(iter(failed.values()))
            raise FilesFailedError(
                f"{len(failed)} of {counted(total, 'slide')} failed, the others are done (see "
                f"{self.results.path}/run.json); first: {reason}",
                failed,
            )

    def _settings(self, path: str) -> dict[str, Any]:
        """What a map of the slide depends on, as it stands in its sidecar."""
        return expected_sidecar(self.sampler.dataset, path, self.inferer.settings, self.provenance)

    def _write(self, path: str) -> None:
        whole = self._maps.pop(path)
        about = whole.describe()
        sidecar = {**about, **self.inferer.report(path), **self._expected.get(path, {}), **self.provenance}
        self.results.write(slide_name(path), whole.values, sidecar, whole.plan.artifacts)
        self.sampler.release(path)
        told = ("num_positions", "artifacts", "seconds", "cucim_fault")
        self.done.append({"slide": path, **{key: about[key] for key in told}})
        self.summary.tell()
        self._summarize_at_times()

    def _set_aside(self, path: str, reason: str) -> None:
        reason += self.older_map_remark(path)
        logger.error("%s", reason)
        for kept in (self._maps, self._screens, self._screened):
            kept.pop(path, None)
        self.inferer.report(path)
        self.failed[path] = reason
        self.sampler.release(path)
        self.sampler.skip.add(path)
        self.summary.tell()
        self._advance(1.0, Path(path).name)

    def _summarize_at_times(self) -> None:
        if self.queue.rank == 0 and time.monotonic() - self._summarized > _SUMMARY_SECONDS:
            self._summarize()

    def _summarize(self) -> None:
        self._summarized = time.monotonic()
        self.results.write_summary({**self.summary.content(), **self.inferer.settings, **self.provenance})

    def _advance(self, slides: float, name: str) -> None:
        if self._progress is not None:
            self._progress.set_postfix_str(f"{self.summary.rates()}, {name}", refresh=False)
            whole = len(self.done) + len(self.failed)
            in_work = self._maps or self._screens or self._screened
            self._position = whole if slides == 1 or not in_work else self._position + slides
            target = self._position + self.summary.num_by_others()
            self._progress.update(max(0.0, min(target, self._progress.total) - self._progress.n))
