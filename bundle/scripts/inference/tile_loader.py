"""Tiles with their pixels, read ahead by processes that the run outlives."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InputError
from ..network.transfers import Copy, DeviceFeed, make_feed
from ..slides.reader_process import LostReaderError
from .tile_plan import NO_POSITIONS, SlidePlan, Tile, make_sample
from .tile_reader import TileReader
from .tile_sampler import TileSampler
from .tiles import TileDataset

Answer = TypeVar("Answer")

_JOIN_SECONDS = 0.1
_AHEAD = 2  # tiles of each process, at least, that are read, or in work, before they are asked for


class TileLoader:
    """Iterates over the tiles of all slides, as torch's ``DataLoader`` would, but no slide ends it.

    One process plans the slides, the next while the tiles of one are read; others read the tiles in turns. When one of
    them dies, the slide that it read is named and set aside, and another process goes on with the next. This process
    opens no slide.

    Args:
        dataset: reads the pixels of tiles.
        sampler: yields tiles.
        num_workers: how many processes read; at least one does.
        device: where they are computed. On a GPU, tiles are copied there when they are read, the processes start while
            the first tiles are computed, and tiles of a slide that follow each other come together.
        persistent_workers: keep the processes from one iteration to the next.
    """

    def __init__(
        self,
        dataset: TileDataset,
        sampler: TileSampler,
        num_workers: int = 1,
        device: str | torch.device = "cpu",
        persistent_workers: bool = False,
    ) -> None:
        self.sampler = sampler
        self.persistent_workers = persistent_workers
        self.feed = make_feed(torch.device(device))
        self._planner = _Asker(TileReader(dataset))
        self._readers = [_Asker(TileReader(dataset), self.feed) for _ in range(max(1, num_workers))]
        self._lost: dict[str, str] = {}
        self._num_given = 0
        sampler.planner, sampler.look_planner = self._plan, self._plan_look
        ending = weakref.finalize(self, _close, [self._planner, *self._readers], os.getpid())
        ending.atexit = False  # processes that are left then are ended anyway

    def start(self) -> None:
        """Start the processes before they are needed; meanwhile one imports what it takes to plan a slide."""
        self._planner.ask(lambda planner: planner.ask("", "prepare_to_plan"))
        self._start_readers()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield what `tile_plan.make_sample` makes of each tile of the sampler, in its order; of several, lists."""
        self._lost.clear()
        self._planner.start()
        is_done = False
        try:
            together: list[_Sample] = []
            most = self.feed.most_together if self.feed.is_ahead else 1  # the first tile is soon done
            for sample in self._samples():
                if together and (sample is None or not _are_together(together[-1], sample)):
                    yield _together(together)
                    together = []
                if sample is None:
                    self.sampler.settle()
                    continue
                together.append(sample)
                if len(together) == most:
                    yield _together(together)
                    together, most = [], self.feed.most_together
            if together:
                yield _together(together)
            is_done = True
        finally:
            if not (is_done and self.persistent_workers):
                self.close()

    def _samples(self) -> Iterator[_Sample | None]:
        """The tiles of the sampler; None where those before must be computed for the sampler to go on."""
        waiting: deque[Future[_Sample]] = deque()
        num_together = 0 if self.feed.is_ahead else self.feed.most_together + 1  # read while others are computed
        num_ahead = max(_AHEAD * len(self._readers), num_together)
        self._start_readers()
        for tile in self.sampler:
            if tile is None:
                yield waiting.popleft().result() if waiting else None
                continue
            reader = self._readers[self._num_given % len(self._readers)]
            self._num_given += 1
            waiting.append(reader.ask(partial(self._read, tile)))
            while len(waiting) >= num_ahead or (self.feed.is_ahead and waiting and waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def close(self) -> None:
        """End the processes."""
        _close([self._planner, *self._readers], os.getpid())

    def _start_readers(self) -> None:
        for reader in self._readers if not self.feed.is_ahead else ():
            reader.start()

    def _plan(self, path: str, copy: str | None, num_before: int) -> Callable[[], list[Tile]]:
        first_tile = self._num_given + num_before
        planned: Future[list[Tile]] = self._planner.ask(
            lambda planner: planner.ask(path, "plan", path, copy, first_tile)
        )
        return planned.result

    def _plan_look(self, plan: SlidePlan, chosen: npt.NDArray[np.bool_]) -> list[Tile]:
        first_tile = self._num_given
        planned: Future[list[Tile]] = self._planner.ask(
            lambda planner: planner.ask(plan.path, "plan_look", plan, chosen, first_tile)
        )
        return planned.result()

    def _read(self, tile: Tile, reader: TileReader) -> _Sample:
        if tile.plan is None or not tile.positions.any():
            return _Sample(tile)
        if tile.path in self._lost:  # other tiles of the slide may end the process as well
            return _Sample(tile._replace(positions=NO_POSITIONS, error=self._lost[tile.path]))
        try:
            return _Sample(tile, self.feed.send(reader.read(tile.path, tile, memory=self.feed.allocate)))
        except InputError as error:
            if isinstance(error, LostReaderError):
                self._lost[tile.path] = str(error)
            return _Sample(tile._replace(positions=NO_POSITIONS, error=str(error)))


def start_reading(dataloader: Any) -> bool:
    """Start the processes of a loader while the network is made; one that is no `TileLoader` is left alone.

    Args:
        dataloader: the loader.

    Returns:
        Whether they start.
    """
    if not isinstance(dataloader, TileLoader):
        return False
    dataloader.start()
    return True


class _Sample(NamedTuple):
    """A tile and its pixels, which are on their way; None if it has none."""

    tile: Tile
    pixels: Copy | None = None


def _are_together(sample: _Sample, other: _Sample) -> bool:
    """Whether both are of one slide and scale, so that one network computes them in one mode, and have pixels."""
    return sample.tile.plan is other.tile.plan and sample.pixels is not None and other.pixels is not None


def _together(samples: list[_Sample]) -> dict[str, Any]:
    """One tile as `make_sample` makes it, several as lists."""
    made = [make_sample(tile, None if pixels is None else pixels.take()) for tile, pixels in samples]
    return made[0] if len(made) == 1 else {key: [sample[key] for sample in made] for key in made[0]}


class _Asker:
    """Asks one process, one question after the other, while the network computes."""

    def __init__(self, reader: TileReader, feed: DeviceFeed | None = None) -> None:
        self._reader = reader
        self._feed = feed
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is not None:
            return
        self._questions: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._is_closed = False
        self._reader.start()
        self._thread = threading.Thread(target=self._work, daemon=True, name="tile reader")
        self._thread.start()

    def ask(self, question: Callable[[TileReader], Answer]) -> Future[Answer]:
        """The answer, which comes later; questions are answered in turn."""
        self.start()
        future: Future[Answer] = Future()

        def answer() -> None:
            try:
                future.set_result(question(self._reader))
            except Exception as error:  # raised where the answer is taken
                future.set_exception(error)

        self._questions.put(answer)
        return future

    def close(self) -> None:
        if self._thread is None:
            return
        self._is_closed = True
        self._questions.put(None)
        while self._thread.is_alive():
            self._reader.kill()  # again, if a question was about to start another process
            self._thread.join(_JOIN_SECONDS)
        self._thread = None

    def _work(self) -> None:
        if self._feed is not None:
            self._feed.enter()
        for answer in iter(self._questions.get, None):
            if not self._is_closed:
                answer()
        self._reader.close()


def _close(askers: list[_Asker], owner: int) -> None:
    """End processes, in the process that started them: a copy of the loader in another is none of theirs."""
    if os.getpid() == owner:
        for asker in askers:
            asker.close()
