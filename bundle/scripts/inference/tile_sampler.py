"""Which tiles are read, and in which order: slide by slide, and in mode cascade those of the screen first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from ..errors import InputError
from ..folders.names import is_url
from .slide_queue import SlideQueue
from .tile_plan import NO_POSITIONS, LookPlanner, Planner, SlidePlan, Tile
from .tiles import TileDataset


class TileSampler(Sampler[Tile | None]):
    """Yields the tiles of all slides, one slide after the other, planning each when its turn comes.

    Where the dataset has a screen, a slide has two turns: the tiles of its screen, and then those of the positions that
    `look` is called with when the screen is computed. The next slide is screened in between. So what reads and what
    computes has work meanwhile, and each map is done one screen later.

    Args:
        dataset: the dataset; a slide put into ``skip`` meanwhile is left.
        queue: which slides this process takes; all of them if not given.

    Attributes:
        plan: what plans a slide in place of the dataset, see `TileDataset.tiles`.
        plan_look: what plans its second turn in place of the dataset, see `TileDataset.plan_look`.
    """

    def __init__(self, dataset: TileDataset, queue: SlideQueue | None = None) -> None:
        self.dataset = dataset
        self.queue = queue or SlideQueue()
        self.skip: set[str] = set()
        self.plan: Planner | None = None
        self.plan_look: LookPlanner | None = None
        self._chosen: dict[str, tuple[SlidePlan, npt.NDArray[np.bool_]]] = {}

    def _ahead(self, path: str) -> str | None:
        """The slide that comes next, or None: where several processes take slides, another may take it."""
        if self.queue.num_ranks > 1:
            return None
        paths = [sample["image"] for sample in self.dataset.data]
        return next((later for later in paths[paths.index(path) + 1 :] if later not in self.skip), None)

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
        screened: deque[str] = deque()
        for path in self.queue.take([sample["image"] for sample in self.dataset.data]):
            if path in self.skip:
                continue
            if is_url(path):  # the cache has room for a slide in work and the next, which is being copied
                yield from self._looks(screened, 0)
            for tile in self.dataset.tiles(path, self._ahead(path), self.plan):
                if tile.path in self.skip:
                    break
                yield tile
            if self.dataset.screen is not None:
                screened.append(path)
                yield from self._looks(screened, 1)
        yield from self._looks(screened, 0)

    def _looks(self, screened: deque[str], num_left: int) -> Iterator[Tile | None]:
        """The second turn of slides, but for the last ones."""
        while len(screened) > num_left:
            path = screened.popleft()
            while path not in self._chosen and path not in self.skip:
                yield None
            for tile in self._look_tiles(*self._chosen.pop(path)) if path in self._chosen else ():
                if path in self.skip:
                    break
                yield tile

    def _look_tiles(self, plan: SlidePlan, chosen: npt.NDArray[np.bool_]) -> list[Tile]:
        try:
            if self.plan_look is not None:
                return self.plan_look(plan, chosen)
            return self.dataset.plan_look(plan, chosen, 0)
        except InputError as error:
            return [Tile(plan.path, None, (0, 0), NO_POSITIONS, str(error))]
