"""Which samples a process takes in an epoch, and in which order, whatever came before and however many share them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Any

import torch
from torch.utils.data import DistributedSampler

from ..errors import InputError, counted


class RankSampler(DistributedSampler[Any]):
    """The samples of one of the processes that train together; with one process, all of them.

    All processes draw the same order from the seed and the epoch, cut it into steps of ``batch_size``, and share each
    step out. So a step holds the same samples however many processes there are, and a run that is resumed goes on with
    the order that it would have had. It is a `DistributedSampler` since MONAI's engines tell those the epoch.

    Args:
        dataset: what is sampled.
        batch_size: samples per step, of all processes together.
        rank: which of the processes this is, from 0.
        num_ranks: how many there are.
        shuffle: draw another order for each epoch; otherwise it is that of the dataset.
        seed: of the order.
        fill: complete a last step that has fewer samples than there are processes with the epoch's first samples, since
            every process must take every step of a training. Otherwise each sample occurs once.
        drop_last: leave out a last step of fewer samples than ``batch_size``; of another order these are others.

    Raises:
        InputError: if ``batch_size`` or the dataset is too small for each process to get a sample, or the dataset for
            a whole step.
    """

    def __init__(
        self,
        dataset: Sized,
        batch_size: int,
        rank: int = 0,
        num_ranks: int = 1,
        shuffle: bool = False,
        seed: int = 0,
        fill: bool = False,
        drop_last: bool = False,
    ) -> None:
        super().__init__(dataset, num_replicas=num_ranks, rank=rank, shuffle=shuffle, seed=seed)  # type: ignore[arg-type]
        for name, count in (("batch_size", batch_size), ("samples", len(dataset))):
            if count < num_ranks:
                raise InputError(
                    f"{name}: {count} cannot be shared by {counted(num_ranks, 'process', 'processes')}; give more, or "
                    f"fewer processes"
                )
        self.count = len(dataset)
        self.num_taken = self.count - self.count % batch_size if drop_last else self.count
        if not self.num_taken:
            raise InputError(f"batch_size must be at most {self.count}, the number of samples, but is {batch_size}")
        self.batch_size = batch_size
        self.fill = fill
        self._num_skipped = 0

    def local_batch_size(self) -> int:
        """Samples per step of this process."""
        return len(range(self.rank, self.batch_size, self.num_replicas))

    def start_at(self, step: int) -> None:
        """Leave out the first steps of the next epoch, of a run that is resumed within it; later epochs are whole."""
        self._num_skipped = step * self.local_batch_size()

    def __len__(self) -> int:
        return len(self._share(range(self.num_taken)))

    def __iter__(self) -> Iterator[int]:
        """Iterate over indices into the dataset."""
        order: Sequence[int] = range(self.count)
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed + self.epoch)
            order = torch.randperm(self.count, generator=generator).tolist()
        num_skipped, self._num_skipped = self._num_skipped, 0
        return iter(self._share(order[: self.num_taken])[num_skipped:])

    def _share(self, order: Sequence[int]) -> list[int]:
        return rank_share(order, self.batch_size, self.rank, self.num_replicas, self.fill)


def rank_share(order: Sequence[int], batch_size: int, rank: int, num_ranks: int, fill: bool = False) -> list[int]:
    """What one process takes of an epoch.

    Args:
        order: the epoch's samples.
        batch_size: samples per step, of all processes together.
        rank: which of the processes.
        num_ranks: how many there are.
        fill: see `RankSampler`.

    Returns:
        Samples; of each step every ``num_ranks``-th.
    """
    share: list[int] = []
    for start in range(0, len(order), batch_size):
        step = list(order[start : start + batch_size])
        if fill and len(step) < num_ranks:
            step += order[: num_ranks - len(step)]
        share += step[rank::num_ranks]
    return share
