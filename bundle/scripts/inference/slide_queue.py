"""Which slide a process takes next: in one process all in turn, in several the largest that none has taken.

Processes share no more than a counter and what each has done so far, in the store that ``torchrun`` keeps. None waits
for another while there are slides.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from ..ranks import count_ranks, quiet, read_rank

_POLL_SECONDS = 0.1
_REFRESH_SECONDS = 1.0


class SlideQueue:
    """All slides for one process.

    Attributes:
        rank: which process of the run this is; the first, 0, answers for the folder of results.
        num_ranks: how many there are.
    """

    rank = 0
    num_ranks = 1

    def open(self, paths: Sequence[str]) -> None:
        """Say which slides are to be computed; called by the first process."""

    def take(self, paths: Sequence[str]) -> Iterator[str]:
        """Take one slide after the other.

        Args:
            paths: all slides of the run.

        Yields:
            Those that this process is to compute.
        """
        yield from paths

    def tell(self, part: dict[str, Any], is_last: bool = False) -> None:
        """Let the first process know what this one has done so far.

        Args:
            part: values of JSON.
            is_last: whether that is all.
        """

    def others(self) -> list[dict[str, Any]]:
        """What the other processes told last; at most a second old."""
        return []

    def is_finished(self) -> bool:
        """Whether all other processes told their last."""
        return True


class SharedSlideQueue(SlideQueue):
    """Slides handed out among processes that ``torchrun`` started.

    Raises:
        InputError: see `ranks.read_rank`.
    """

    def __init__(self) -> None:
        self.rank = read_rank()
        self.num_ranks = count_ranks()
        quiet(self.rank)
        store, _, _ = next(iter(rendezvous("env://")))
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # a run that was restarted begins anew
        self.store: Store = PrefixStore(f"slides {attempt}", store)
        self._seen: list[dict[str, Any]] = []
        self._seen_at = -_REFRESH_SECONDS

    def open(self, paths: Sequence[str]) -> None:
        """Put them up, the largest first, so that none is begun when the others are nearly through."""
        self.store.set("paths", json.dumps(sorted(paths, key=_num_bytes, reverse=True)))

    def take(self, paths: Sequence[str]) -> Iterator[str]:
        """See `SlideQueue.take`; waits until the first process has opened the queue."""
        while not self.store.check(["paths"]):
            time.sleep(_POLL_SECONDS)
        waiting = json.loads(self.store.get("paths"))
        while (position := self.store.add("taken", 1) - 1) < len(waiting):
            yield waiting[position]

    def tell(self, part: dict[str, Any], is_last: bool = False) -> None:
        """See `SlideQueue.tell`."""
        self.store.set(f"part {self.rank}", json.dumps({**part, "is_last": is_last}))

    def others(self) -> list[dict[str, Any]]:
        """See `SlideQueue.others`."""
        if time.monotonic() - self._seen_at >= _REFRESH_SECONDS:
            keys = [f"part {rank}" for rank in range(self.num_ranks) if rank != self.rank]
            self._seen = [json.loads(self.store.get(key)) for key in keys if self.store.check([key])]
            self._seen_at = time.monotonic()
        return self._seen

    def is_finished(self) -> bool:
        """See `SlideQueue.is_finished`."""
        finished = [part for part in self.others() if part["is_last"]]
        return len(finished) == self.num_ranks - 1


def _num_bytes(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:  # reading the slide will say why
        return 0
