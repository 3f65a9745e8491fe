from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from torch.distributed import TCPStore

from scripts.errors import InputError
from scripts.inference import slide_queue
from scripts.inference.slide_queue import SharedSlideQueue, SlideQueue

Join = Callable[[int], SharedSlideQueue]


@pytest.fixture
def join(monkeypatch: pytest.MonkeyPatch) -> Iterator[Join]:
    """Makes the queue of a process, three in all, at a store as torchrun's."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    settings = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "WORLD_SIZE": "3"}
    settings |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(slide_queue, "_REFRESH_SECONDS", 0.0)

    def make(rank: int) -> SharedSlideQueue:
        monkeypatch.setenv("RANK", str(rank))
        return SharedSlideQueue()

    yield make
    logging.disable(logging.NOTSET)


def test_one_process_takes_all_in_their_order() -> None:
    queue = SlideQueue()
    queue.open(["b", "a"])
    assert list(queue.take(["b", "a"])) == ["b", "a"]
    assert (queue.others(), queue.is_finished(), queue.rank, queue.num_ranks) == ([], True, 0, 1)


def test_slides_are_handed_out_once_the_largest_first(join: Join, tmp_path: Path) -> None:
    sizes = {"a": 30, "b": 900, "c": 10, "d": 500}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    paths = [str(tmp_path / name) for name in sizes]
    first, second, third = (join(rank) for rank in range(3))
    assert not list(tmp_path.glob("*.lock"))
    first.open([*paths, str(tmp_path / "gone")])
    one, other = first.take([]), second.take([])
    taken = [next(one), next(other), next(other), next(one), next(other)]
    assert [os.path.basename(path) for path in taken] == ["b", "d", "a", "c", "gone"]
    assert list(one) == list(other) == list(third.take([])) == []


def test_many_takers_get_each_slide_once(join: Join) -> None:
    queues = [join(rank) for rank in range(3)]
    queues[0].open([str(index) for index in range(300)])
    with ThreadPoolExecutor(3) as threads:
        shares = list(threads.map(lambda queue: list(queue.take([])), queues))
    assert sorted((path for share in shares for path in share), key=int) == [str(index) for index in range(300)]


def test_the_others_wait_until_the_first_has_opened(join: Join) -> None:
    first, second = join(0), join(1)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(list, second.take([]))
        assert not waiting.done()
        first.open(["a"])
        assert waiting.result(timeout=300) == ["a"]


def wait_until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_the_first_learns_what_the_others_did(join: Join) -> None:
    first, second, third = (join(rank) for rank in range(3))
    assert first.others() == []
    second.tell({"done": 1})
    second.tell({"done": 2}, is_last=True)
    third.tell({"done": 7})
    # each has a connection of its own, so what the first asks may come before what the others told
    wait_until(lambda: [part["done"] for part in first.others()] == [2, 7])
    assert not first.is_finished()
    third.tell({"done": 8}, is_last=True)
    wait_until(first.is_finished)


def test_a_restarted_run_begins_anew(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    before = join(0)
    before.open(["a"])
    assert list(before.take([])) == ["a"]
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    after = join(0)
    after.open(["a"])
    assert list(after.take([])) == ["a"]


def test_without_torchrun_there_is_no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="RANK is not set"):
        SharedSlideQueue()
