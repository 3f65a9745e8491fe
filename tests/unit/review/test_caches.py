from __future__ import annotations

import threading
import time

import pytest

from scripts.errors import InputError
from scripts.review.caches import Cache


def test_cache_makes_once_and_drops_the_least_recently_used() -> None:
    made: list[int] = []

    def make(key: int) -> int:
        made.append(key)
        time.sleep(0.02)
        return key * 10

    cache = Cache(make, 2)
    threads = [threading.Thread(target=cache.get, args=(1,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    assert [cache.get(key) for key in (2, 1, 3, 1, 2)] == [20, 10, 30, 10, 20]
    assert made == [1, 2, 3, 2]
    assert len(cache) == 2


def test_cache_keeps_no_failure() -> None:
    answers = iter([InputError("not yet"), 5])

    def make(_: str) -> int:
        answer = next(answers)
        if isinstance(answer, InputError):
            raise answer
        return answer

    cache = Cache(make, 2)
    with pytest.raises(InputError, match="not yet"):
        cache.get("a")
    assert cache.get("a") == 5
