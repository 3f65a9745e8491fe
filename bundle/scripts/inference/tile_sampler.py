"""Which tiles are read, and in which order: slide by slide, and in mode cascade those of the screen first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from ..errors import InputError
from ..folders.names import is_url
from .slide_queue import SlideQueue
from .tile_plan import NO_POSITIONS, LookPlanner, Planner, SlidePlan, Tile
from .tiles import TileDataset

_LAST = 0.25
"""Of a slide's tiles: where processes share the slides, only then is the next one taken, which no other then takes."""


class TileSampler(Sampler[Tile | None]):
    """Yields the tiles of all slides, one slide after the other.

    While the tiles of a slide are handed out, the next is planned, or copied here if it has an address.

    Where the dataset has a screen, a slide has two turns: the tiles of its screen, and then those of the positions that
    `look` is called with when the screen is computed. The next slide is screened in between. So what reads and what
    computes has work meanwhile, and each map is done one screen later.

    Args:
        dataset: the dataset; a slide put into ``skip`` meanwhile is left.
        queue: which slides this process takes; all of them if not given.

    Attributes:
        planner: what plans a slide in place of the dataset.
        look_planner: what plans its second turn in place of the dataset.
        settle: makes sure that `look` is called, or a slide put into ``skip``, once all tiles that were told are given
            to the device; called where nothing else is left to do.
        meanwhile: what is done once, while the first slide is planned.
    """

    def __init__(self, dataset: TileDataset, queue: SlideQueue | None = None) -> None:
        self.dataset = dataset
        self.queue = queue or SlideQueue()
        self.skip: set[str] = set()
        self.planner: Planner | None = None
        self.look_planner: LookPlanner | None = None
        self.settle: Callable[[], None] = _nothing_computes
        self.meanwhile: Callable[[], None] | None = None
        self._paths: Iterator[str] = iter(())
        self._coming: tuple[str, Callable[[], list[Tile]] | None] | None = None
        self._chosen: dict[str, tuple[SlidePlan, npt.NDArray[np.bool_]]] = {}

    def release(self, path: str) -> None:
        """A slide is done with: the copy of one from an address may be removed."""
        if is_url(path):
            self.dataset.cache.release(path)

    def look(self, plan: SlidePlan, chosen: npt.NDArray[np.bool_]) -> None:
        """Say where to look at a slide whose screen is computed.

        Args:
            plan: of its map.
            chosen: (rows, cols) bool.
        """
        self._chosen[plan.path] = plan, chosen

    def __iter__(self) -> Iterator[Tile | None]:
        """Iterate over tiles; None means that none can be told before those that are read are computed."""
        self._chosen.clear()
        self._coming = None
        self._paths = self.queue.take([sample["image"] for sample in self.dataset.data])
        screened: deque[str] = deque()
        while (coming := self._take()) is not None:
            path, planned = coming
            meanwhile, self.meanwhile = self.meanwhile, None
            if meanwhile is not None:
                meanwhile()
            if is_url(path):  # the cache has room for a slide in work and the next, which is being copied
                yield from self._looks(screened, 0, begins=False)
            tiles = list(self.dataset.tiles(path, planned))
            yield from self._hand_out(path, tiles, begins=not screened)
            if self.dataset.screen is not None:
                screened.append(path)
                yield from self._looks(screened, 1)
        yield from self._looks(screened, 0)

    def _take(self) -> tuple[str, Callable[[], list[Tile]] | None] | None:
        """The slide whose turn it is, and what waits for its tiles, if another process plans it."""
        if self._coming is None:
            self._begin(0)
        coming, self._coming = self._coming, None
        return coming

    def _begin(self, num_before: int) -> None:
        """Take the next slide, if there is one, and let it be copied or planned."""
        path = next((path for path in self._paths if path not in self.skip), None)
        if path is None:
            return
        planned: Callable[[], list[Tile]] | None = None
        if is_url(path):
            if num_before:
                self.dataset.cache.fetch_ahead(path)
            if self.planner is not None:
                planned = partial(self._plan_copy, self.planner, path)
        elif self.planner is not None:
            planned = self.planner(path, None, num_before)
        self._coming = path, planned

    def _plan_copy(self, planner: Planner, path: str) -> list[Tile]:
        return planner(path, self.dataset.fetch(path), 0)()

    def _hand_out(self, path: str, tiles: list[Tile], begins: bool) -> Iterator[Tile]:
        """The tiles of a slide, until it fails; meanwhile the next slide begins, if it may."""
        start = int((1 - _LAST) * len(tiles)) if self.queue.num_ranks > 1 else 0
        for index, tile in enumerate(tiles):
            if path in self.skip:
                break
            if index == start and begins and self._coming is None:
                self._begin(len(tiles) - index)
            yield tile

    def _looks(self, screened: deque[str], num_left: int, begins: bool = True) -> Iterator[Tile | None]:
        """The second turn of slides, but for the last ones."""
        while len(screened) > num_left:
            path = screened.popleft()
            while path not in self._chosen and path not in self.skip:
                yield None
            if path in self._chosen:
                tiles = self._look_tiles(*self._chosen.pop(path))
                yield from self._hand_out(path, tiles, begins)

    def _look_tiles(self, plan: SlidePlan, chosen: npt.NDArray[np.bool_]) -> list[Tile]:
        try:
            if self.look_planner is not None:
                return self.look_planner(plan, chosen)
            return self.dataset.plan_look(plan, chosen, 0)
        except InputError as error:
            return [Tile(plan.path, None, (0, 0), NO_POSITIONS, str(error))]


def _nothing_computes() -> None:
    raise AssertionError("nothing says where to look at slides")
