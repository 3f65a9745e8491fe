"""Tiles with their pixels, read ahead by processes that the run outlives."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InputError
from ..slides.reader_process import LostReaderError
from .tile_plan import NO_POSITIONS, SlidePlan, Tile, make_sample
from .tile_reader import TileReader
from .tile_sampler import TileSampler
from .tiles import TileDataset

Answer = TypeVar("Answer")

_JOIN_SECONDS = 0.1
_AHEAD = 2  # tiles of each process that are read, or in work, before they are asked for


class TileLoader:
    """Iterates over the tiles of all slides, as torch's ``DataLoader`` would, but no slide ends it.

    One process plans the slides, the next while the tiles of one are read; others read the tiles in turns. When one of
    them dies, the slide that it read is named and set aside, and another process goes on with the next. This process
    opens no slide.

    Args:
        dataset: reads the pixels of tiles.
        sampler: yields tiles.
        num_workers: how many processes read; at least one does.
        pin_memory: put pixels where a GPU takes them from, as ``DataLoader`` does.
        persistent_workers: keep the processes from one iteration to the next.
    """

    def __init__(
        self,
        dataset: TileDataset,
        sampler: TileSampler,
        num_workers: int = 1,
        pin_memory: bool = False,
        persistent_workers: bool = False,
    ) -> None:
        self.sampler = sampler
        self.persistent_workers = persistent_workers
        self.pin_memory = pin_memory
        self._planner = _Asker(TileReader(dataset))
        self._readers = [_Asker(TileReader(dataset), pin_memory) for _ in range(max(1, num_workers))]
        self._lost: dict[str, str] = {}
        self._num_given = 0
        sampler.planner, sampler.look_planner = self._plan, self._plan_look

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield what `tile_plan.make_sample` makes of each tile of the sampler, in its order."""
        self._lost.clear()
        self._planner.start()
        for reader in self._readers:
            reader.start()
        waiting: deque[Future[dict[str, Any]]] = deque()
        is_done = False
        try:
            for tile in self.sampler:
                if tile is None:  # what was read must be computed first
                    yield waiting.popleft().result()
                    continue
                reader = self._readers[self._num_given % len(self._readers)]
                self._num_given += 1
                waiting.append(reader.ask(partial(self._read, tile)))
                if len(waiting) >= _AHEAD * len(self._readers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
            is_done = True
        finally:
            if not (is_done and self.persistent_workers):
                self.close()

    def close(self) -> None:
        """End the processes."""
        self._planner.close()
        for reader in self._readers:
            reader.close()

    def _plan(self, path: str, copy: str | None, num_before: int) -> Callable[[], list[Tile]]:
        first_tile = self._num_given + num_before
        planned: Future[list[Tile]] = self._planner.ask(
            lambda planner: planner.ask(path, "plan", path, copy, first_tile)
        )
        return planned.result

    def _plan_look(self, plan: SlidePlan, chosen: npt.NDArray[np.bool_]) -> list[Tile]:
        planned: Future[list[Tile]] = self._planner.ask(
            lambda planner: planner.ask(plan.path, "plan_look", plan, chosen, self._num_given)
        )
        return planned.result()

    def _read(self, tile: Tile, reader: TileReader) -> dict[str, Any]:
        if tile.plan is None or not tile.positions.any():
            return make_sample(tile, None)
        if tile.path in self._lost:  # other tiles of the slide may end the process as well
            return make_sample(tile._replace(positions=NO_POSITIONS, error=self._lost[tile.path]), None)
        try:
            return make_sample(tile, reader.read(tile.path, tile, pin_memory=self.pin_memory))
        except InputError as error:
            if isinstance(error, LostReaderError):
                self._lost[tile.path] = str(error)
            return make_sample(tile._replace(positions=NO_POSITIONS, error=str(error)), None)


class _Asker:
    """Asks one process, one question after the other, while the network computes."""

    def __init__(self, reader: TileReader, pin_memory: bool = False) -> None:
        self._reader = reader
        self._pin_memory = pin_memory
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is not None:
            return
        self._questions: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._is_closed = False
        self._reader.start()
        device = torch.cuda.current_device() if self._pin_memory else None
        self._thread = threading.Thread(target=self._work, args=(device,), daemon=True, name="tile reader")
        self._thread.start()

    def ask(self, question: Callable[[TileReader], Answer]) -> Future[Answer]:
        """The answer, which comes later; questions are answered in turn."""
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

    def _work(self, device: int | None) -> None:
        if device is not None:
            torch.cuda.set_device(device)  # each thread has its own, and the first takes memory of the first GPU
        for answer in iter(self._questions.get, None):
            if not self._is_closed:
                answer()
        self._reader.close()
