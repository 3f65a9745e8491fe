from __future__ import annotations

from collections import Counter
from itertools import chain, zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from scripts.errors import InputError
from scripts.training.samplers import RankSampler, rank_share

COUNTS = st.tuples(st.integers(1, 4), st.integers(0, 20), st.integers(0, 8)).map(
    lambda drawn: (drawn[0], drawn[0] + drawn[1], drawn[0] + drawn[2])
)
"""(processes, samples, batch size), of which no process gets none."""


def steps(count: int, batch_size: int, num_ranks: int, epoch: int, **settings: bool) -> list[list[list[int]]]:
    """What each process's loader gives, step by step."""
    found = []
    for rank in range(num_ranks):
        sampler = RankSampler(range(count), batch_size, rank, num_ranks, seed=5, **settings)
        sampler.set_epoch(epoch)
        loader = DataLoader(
            range(count),  # type: ignore[arg-type]
            sampler=sampler,
            batch_size=sampler.local_batch_size(),
            collate_fn=list,
        )
        found.append(list(loader))
        assert len(found[-1]) == len(loader)
    return found


@given(COUNTS)
def test_validation_loses_nothing_and_counts_nothing_twice(counts: tuple[int, int, int]) -> None:
    num_ranks, count, batch_size = counts
    shares = [list(chain(*share)) for share in steps(count, batch_size, num_ranks, epoch=1)]
    assert all(shares), "each process has something for its metrics"
    assert sorted(chain(*shares)) == list(range(count))
    assert all(share == sorted(share) for share in shares)


@given(COUNTS, st.integers(0, 3))
def test_a_training_step_holds_the_same_samples_however_many_processes(
    counts: tuple[int, int, int], epoch: int
) -> None:
    num_ranks, count, batch_size = counts
    ((*alone, last),) = steps(count, batch_size, 1, epoch, shuffle=True, fill=True)
    shares = steps(count, batch_size, num_ranks, epoch, shuffle=True, fill=True)
    assert {len(share) for share in shares} == {len(alone) + 1}, "all take every step"
    assert all(batch for share in shares for batch in share)
    together = [sorted(chain(*batches)) for batches in zip_longest(*shares, fillvalue=[])]
    assert together[:-1] == [sorted(batch) for batch in alone]
    assert Counter(together[-1]) >= Counter(last)
    assert len(together[-1]) == max(len(last), num_ranks)


def test_each_epoch_has_its_own_order_whenever_it_comes() -> None:
    sampler = RankSampler(range(50), 8, shuffle=True, seed=3)
    orders = {}
    for epoch in (1, 2, 3):
        sampler.set_epoch(epoch)
        orders[epoch] = list(sampler)
        assert sorted(orders[epoch]) == list(range(50))
    assert orders[1] != orders[2] != orders[3]
    resumed = RankSampler(range(50), 8, shuffle=True, seed=3)
    resumed.set_epoch(3)
    assert list(resumed) == orders[3]
    other = RankSampler(range(50), 8, shuffle=True, seed=4)
    other.set_epoch(3)
    assert list(other) != orders[3]


def test_a_short_last_step_is_filled_from_the_front() -> None:
    assert [rank_share(range(7), 3, rank, 3, fill=True) for rank in range(3)] == [[0, 3, 6], [1, 4, 0], [2, 5, 1]]
    assert [rank_share(range(7), 3, rank, 3) for rank in range(3)] == [[0, 3, 6], [1, 4], [2, 5]]


@pytest.mark.parametrize(
    ("count", "batch_size", "message"),
    [(9, 2, "batch_size: 2 cannot be shared by 3 processes"), (2, 8, "samples: 2 cannot be shared by 3 processes")],
)
def test_a_process_without_samples_is_refused(count: int, batch_size: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RankSampler(range(count), batch_size, rank=1, num_ranks=3)


def test_only_whole_steps_are_taken_and_each_epoch_leaves_others_out() -> None:
    taken = [list(chain(*chain(*steps(11, 4, 1, epoch, shuffle=True, drop_last=True)))) for epoch in range(6)]
    assert {len(samples) for samples in taken} == {8}
    assert {len(set(samples)) for samples in taken} == {8}
    assert set(chain(*taken)) == set(range(11))
    of_two = [list(chain(*share)) for share in steps(11, 4, 2, 0, shuffle=True, drop_last=True)]
    assert sorted(chain(*of_two)) == sorted(taken[0])


def test_less_than_a_whole_step_is_refused() -> None:
    assert len(RankSampler(range(8), 8, drop_last=True)) == 8
    with pytest.raises(InputError, match="batch_size must be at most 7, the number of samples, but is 8"):
        RankSampler(range(7), 8, drop_last=True)


def test_the_first_steps_of_one_epoch_can_be_left_out() -> None:
    for rank in range(2):
        sampler = RankSampler(range(11), 4, rank, 2, shuffle=True, seed=2, fill=True)
        whole = list(sampler)
        sampler.start_at(2)
        assert list(sampler) == whole[2 * sampler.local_batch_size() :]
        assert len(sampler) == len(whole)
        assert list(sampler) == whole
