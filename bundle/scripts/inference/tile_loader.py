"""Tiles with their pixels, read ahead by processes that the run outlives."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InputError
from ..slides.reader_process import LostReaderError
from .tile_plan import NO_POSITIONS, SlidePlan, Tile, make_sample
from .tile_reader import TileReader
from .tile_sampler import TileSampler
from .tiles import TileDataset

_AHEAD = 2  # tiles of each process that are read, or in work, before they are asked for


class TileLoader:
    """Iterates over the tiles of all slides, as torch's ``DataLoader`` would, but no slide ends it.

    One process plans the slides, others read the tiles in turns. When one of them dies, the slide that it read is named
    and set aside, and another process goes on with the next. This process opens no slide.

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
        self._planner = TileReader(dataset)
        self._lost: dict[str, str] = {}
        self._readers = [
            _ReadingThread(TileReader(dataset), self._lost, pin_memory) for _ in range(max(1, num_workers))
        ]
        self._num_given = 0
        sampler.plan, sampler.plan_look = self._plan, self._plan_look

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield what `tile_plan.make_sample` makes of each tile of the sampler, in its order."""
        self._lost.clear()
        self._planner.start()
        for reader in self._readers:
            reader.start()
        waiting: deque[_ReadingThread] = deque()
        is_done = False
        try:
            for tile in self.sampler:
                if tile is None:  # what was read must be computed first
                    yield waiting.popleft().take()
                    continue
                reader = self._readers[self._num_given % len(self._readers)]
                self._num_given += 1
                reader.give(tile)
                waiting.append(reader)
                if len(waiting) >= _AHEAD * len(self._readers):
                    yield waiting.popleft().take()
            while waiting:
                yield waiting.popleft().take()
            is_done = True
        finally:
            if not (is_done and self.persistent_workers):
                self.close()

    def close(self) -> None:
        """End the processes."""
        self._planner.close()
        for reader in self._readers:
            reader.close()

    def _plan(self, path: str, copy: str | None) -> list[Tile]:
        planned: list[Tile] = self._planner.ask(path, "plan", path, copy, self._num_given)
        return planned

    def _plan_look(self, plan: SlidePlan, chosen: npt.NDArray[np.bool_]) -> list[Tile]:
        planned: list[Tile] = self._planner.ask(plan.path, "plan_look", plan, chosen, self._num_given)
        return planned


class _ReadingThread:
    """Asks one process for tiles, one after the other, while the network computes."""

    def __init__(self, reader: TileReader, lost: dict[str, str], pin_memory: bool) -> None:
        self._reader = reader
        self._lost = lost
        self._pin_memory = pin_memory
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is not None:
            return
        self._given: SimpleQueue[Tile | None] = SimpleQueue()
        self._taken: SimpleQueue[dict[str, Any] | Exception] = SimpleQueue()
        self._is_closed = False
        self._reader.start()
        device = torch.cuda.current_device() if self._pin_memory else None
        self._thread = threading.Thread(target=self._work, args=(device,), daemon=True, name="tile reader")
        self._thread.start()

    def give(self, tile: Tile) -> None:
        self._given.put(tile)

    def take(self) -> dict[str, Any]:
        found = self._taken.get()
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        if self._thread is None:
            return
        self._is_closed = True
        self._reader.kill()
        self._given.put(None)
        self._thread.join()
        self._thread = None

    def _work(self, device: int | None) -> None:
        if device is not None:
            torch.cuda.set_device(device)  # each thread has its own, and the first takes memory of the first GPU
        for tile in iter(self._given.get, None):
            if not self._is_closed:
                try:
                    self._taken.put(self._read(tile))
                except Exception as error:  # raised where the tile is taken
                    self._taken.put(error)
        self._reader.close()

    def _read(self, tile: Tile) -> dict[str, Any]:
        if tile.plan is None or not tile.positions.any():
            return make_sample(tile, None)
        if tile.path in self._lost:  # other tiles of the slide may end the process as well
            return make_sample(tile._replace(positions=NO_POSITIONS, error=self._lost[tile.path]), None)
        try:
            return make_sample(tile, self._reader.read(tile.path, tile, pin_memory=self._pin_memory))
        except InputError as error:
            if isinstance(error, LostReaderError):
                self._lost[tile.path] = str(error)
            return make_sample(tile._replace(positions=NO_POSITIONS, error=str(error)), None)
